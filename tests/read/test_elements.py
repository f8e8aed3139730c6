"""The quick walk sees what pydicom sees, or leaves the file to pydicom."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from pydicom import config, dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from hounsfield.errors import ReadError
from hounsfield.read import read_headers, read_image, tags
from hounsfield.read.codestream import size_of
from hounsfield.read.dataset import wanted_tags
from hounsfield.read.elements import walk

PIXELS = np.arange(64, dtype=np.uint16).reshape(8, 8)


def _nested(dataset: Dataset) -> None:
    inner = Dataset()
    inner.CodeValue = "1"
    inner.CodeMeaning = "x" * 40_000  # longer than the first piece that is read
    outer = Dataset()
    outer.ConceptNameCodeSequence = Sequence([inner, inner])
    dataset.ProcedureCodeSequence = Sequence([outer])
    dataset.AnatomicRegionSequence = Sequence([inner])
    dataset[0x00081032].is_undefined_length = True
    for item in dataset.ProcedureCodeSequence:
        item.is_undefined_length_sequence_item = True
        item[0x0040A043].is_undefined_length = True


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_nested_sequences_are_stepped_over(write, syntax) -> None:
    path = write(PIXELS, syntax=syntax, edit=_nested, PixelSpacing=[0.5, 0.5])
    with path.open("rb") as file:
        found = walk(file, wanted_tags())
    assert found is not None
    whole = dcmread(path)
    assert found.pixels == 0x7FE00010
    assert found.length == PIXELS.nbytes
    assert path.read_bytes()[found.start : found.start + found.length] == whole.PixelData
    assert set(found.dataset.keys()) == {element.tag for element in whole if element.tag in wanted_tags()}
    assert tags.numbers(found.dataset, "PixelSpacing") == (0.5, 0.5)


@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_what_is_not_plain_is_left_to_pydicom(write, syntax) -> None:
    path = write(PIXELS, syntax=syntax)
    with path.open("rb") as file:
        assert walk(file, wanted_tags()) is None
    assert np.array_equal(read_image(path).pixels[0], PIXELS)


@pytest.mark.parametrize("cut", [200, 300, 500])
def test_a_walk_never_runs_past_the_end(write, cut) -> None:
    data = write(PIXELS).read_bytes()[:cut]
    found = walk(io.BytesIO(data), wanted_tags())
    assert found is None or found.start <= cut + 12


def test_elements_out_of_order_are_left_to_pydicom(write) -> None:
    data = bytearray(write(PIXELS).read_bytes())
    place = data.find(struct.pack("<HH", 0x0028, 0x0010))
    data[place : place + 4] = struct.pack("<HH", 0x0028, 0x0001)
    assert walk(io.BytesIO(bytes(data)), wanted_tags()) is None


def test_every_real_file_gives_the_same_values_as_pydicom(data) -> None:
    walked = 0
    folders = ("dicom-conformance/pydicom", "dicom-conformance/dcmqi", "dicom-series")
    for path in sorted(path for folder in folders for path in (data / folder).rglob("*") if path.is_file()):
        with path.open("rb") as file:
            found = walk(file, wanted_tags())
        if found is None:
            continue
        walked += 1
        with config.disable_value_validation():
            whole = dcmread(path, force=True, stop_before_pixels=True)
            for tag in wanted_tags().values():
                assert (tag in found.dataset) == (tag in whole), (path.name, tag)
                if tag in whole and whole[tag].VR != "SQ" and not tag.is_private:
                    assert found.dataset[tag].value == whole[tag].value, (path.name, tag)
                    name = whole[tag].keyword
                    assert tags.texts(found.dataset, name) == tags.texts(whole, name), (path.name, name)
                    assert tags.numbers(found.dataset, name) == tags.numbers(whole, name), (path.name, name)
    assert walked > 700


def test_a_picture_of_another_size_than_its_header_is_refused(data, tmp_path) -> None:
    for name, stated in (
        ("JPEG2000.dcm", (1024, 256)),
        ("JPEG-LL.dcm", (1024, 256)),
        ("MR_small_jpeg_ls_lossless.dcm", (64, 64)),
    ):
        source = data / "dicom-conformance/pydicom" / name
        dataset = dcmread(source)
        start = dataset.PixelData.find(b"\xff\x4f\xff\x51" if "2000" in name else b"\xff\xd8")
        assert size_of(dataset.PixelData[start : start + 4096]) == stated
        dataset.Rows = 4 * dataset.Rows
        dataset.save_as(tmp_path / name)
        for reader in (read_headers, read_image):
            with pytest.raises(ReadError, match="the compressed picture has"):
                reader(tmp_path / name)
    assert size_of(b"") is None
    assert size_of(b"\xff\xd8\xff\xc0") is None
    assert size_of(b"\xff\xd8" + b"\xff\xe0\x00\x01" * 10) is None
