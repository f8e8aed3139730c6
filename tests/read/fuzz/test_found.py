"""What fuzzing has found, each as small as it could be made. The files are made here from pydicom's own."""

from __future__ import annotations

import struct
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate

from hounsfield.errors import ReadError
from hounsfield.read import each, read_headers, read_image
from tests.read.fuzz.harness import read_both

FILES = Path(pydicom.__file__).parent / "data/test_files"


def damaged(tmp_path: Path, name: str, old: bytes, new: bytes, *, last: bool = False) -> Path:
    """Write a copy of one of pydicom's files with some bytes replaced, the first or the last such ones."""
    raw = (FILES / name).read_bytes()
    at = raw.rfind(old) if last else raw.find(old)
    assert at > 0
    path = tmp_path / "damaged.dcm"
    path.write_bytes(raw[:at] + new + raw[at + len(old) :])
    return path


def test_a_panic_of_the_rle_decoder_is_a_reason(tmp_path) -> None:
    """pylibjpeg-rle is written in Rust: where a run writes past the end it panics, and that is no Exception."""
    dataset = dcmread(FILES / "MR_small_RLE.dcm")
    run, too_long = b"\x81\x05" * 32, b"\x81\x05" * 33  # 128 bytes each; a plane of 64 × 64 holds 32
    header = struct.pack("<16L", 2, 64, 64 + len(too_long), *[0] * 13)
    dataset.PixelData = encapsulate([header + too_long + run])
    path = tmp_path / "panic.dcm"
    dataset.save_as(path)
    with pytest.raises(ReadError, match="cannot be decoded"):
        read_image(path)


def test_more_pixels_than_frames(write) -> None:
    """pydicom returns all frames that the bytes make; the header promises fewer, and is right."""
    colours = np.arange(4 * 8 * 8 * 3, dtype=np.uint16).reshape(
        32, 8, 3
    )  # four frames of 8 × 8 behind a header for two

    def edit(dataset) -> None:
        dataset.NumberOfFrames, dataset.Rows = 2, 8

    path = write(colours, edit=edit, Modality="OT")
    assert read_headers(path)[0].frames == 2
    assert read_image(path).pixels.shape == (2, 8, 8, 3)


def test_more_compressed_frames_than_stated(tmp_path) -> None:
    path = damaged(tmp_path, "SC_rgb_rle_2frame.dcm", b"(\x00\x08\x00IS\x02\x002 ", b"(\x00\x08\x00IS\x02\x001 ")
    assert read_image(path).pixels.shape[0] == read_headers(path)[0].frames == 1


def test_a_birth_date_of_an_unknown_kind_does_not_cost_the_header(tmp_path) -> None:
    """One byte of the value representation, of an element that no pixel depends on."""
    path = damaged(tmp_path, "MR_small.dcm", b"\x10\x00\x30\x00DA", b"\x10\x00\x30\x00DI")
    assert read_headers(path)[0].rows == 64
    assert read_image(path).pixels.shape == (1, 64, 64)


def test_a_box_without_length_does_not_run_for_ever(tmp_path) -> None:
    """pydicom walks the boxes of a JP2 file inside DICOM, and never gets past one of length 0 (get_j2k_parameters)."""
    path = damaged(tmp_path, "GDCMJ2K_TextGBR.dcm", b"jp2h", b"jp2x")
    raw = path.read_bytes()
    at = raw.find(b"jp2x") - 4
    path.write_bytes(raw[:at] + b"\0\0\0\0" + raw[at + 4 :])
    ((_, result),) = each(read_both, [path], workers=1, seconds=3)
    assert not isinstance(result, ReadError), result.what
    assert result.said
    assert result.seconds < 1


@pytest.mark.parametrize("bits", [b"\x40\x00", b"\x18\x00", b"\x07\x00", b"\x00\x00"])
def test_impossible_bits_of_a_jpeg_kill_no_worker(tmp_path, bits) -> None:
    """GDCM ends the process over headers that contradict the picture (gdcm::Exception, never caught)."""
    name = "SC_rgb_jpeg_dcmtk.dcm"
    path = damaged(tmp_path, name, b"(\x00\x00\x01US\x02\x00\x08\x00", b"(\x00\x00\x01US\x02\x00" + bits)
    ((_, result),) = each(read_both, [path], workers=1, seconds=5)
    assert not isinstance(result, ReadError), result.what


def test_fewer_bits_stored_than_the_jpeg_has_kill_no_worker(tmp_path) -> None:
    name = "SC_rgb_jpeg_dcmtk.dcm"
    path = damaged(tmp_path, name, b"(\x00\x01\x01US\x02\x00\x08\x00", b"(\x00\x01\x01US\x02\x00\x07\x00")
    ((_, result),) = each(read_both, [path], workers=1, seconds=5)
    assert not isinstance(result, ReadError), result.what


def test_rubbish_inside_a_jpeg_kills_no_worker(tmp_path) -> None:
    """Bytes between two markers: GDCM ends the process, Pillow refuses or reads."""
    raw = (FILES / "SC_rgb_jpeg_dcmtk.dcm").read_bytes()
    at = raw.find(b"\xff\xc4", raw.find(b"\xff\xd8"))
    path = tmp_path / "damaged.dcm"
    path.write_bytes(raw[:at] + bytes(range(1, 28)) + raw[at + 27 :])
    ((_, result),) = each(read_both, [path], workers=1, seconds=5)
    assert not isinstance(result, ReadError), result.what


def test_damage_inside_jpeg_2000_kills_no_worker(tmp_path) -> None:
    """One byte of a packet of emri_small: GDCM throws a string, which ends the process; the other decoders refuse."""
    root = Path(find_spec("data_store").origin).parent / "data" if find_spec("data_store") else None
    if root is None:
        pytest.skip("pydicom-data is not installed: pip install pydicom-data")
    raw = bytearray((root / "emri_small_jpeg_2k_lossless.dcm").read_bytes())
    raw[17766] = 198
    path = tmp_path / "damaged.dcm"
    path.write_bytes(raw)
    ((_, result),) = each(read_both, [path], workers=1, seconds=5)
    assert not isinstance(result, ReadError), result.what
    assert result.said
