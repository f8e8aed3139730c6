"""What is no image, or no whole one, is refused before a pixel is decoded, in words that name no patient."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import (
    HTJ2K,
    MPEG4HP41,
    BasicTextSRStorage,
    MediaStorageDirectoryStorage,
    RLELossless,
    RTDoseStorage,
    SegmentationStorage,
)

from hounsfield.errors import ReadError
from hounsfield.read import Source, read_headers, read_image
from hounsfield.read.decoders import decoder_table

STORED = np.arange(64 * 64, dtype=np.int16).reshape(64, 64)
SECRETS = ("Doe", "Jane", "MRN-778899", "1.2.826", "19500101")


def refusal(path: Path) -> str:
    """Return the reason for which both doors refuse a file."""
    reasons = []
    for read in (read_headers, read_image):
        with pytest.raises(ReadError) as caught:
            read(path)
        assert caught.value.where is not None
        text = f"{caught.value.what} {caught.value.fix}"
        assert not any(secret in text for secret in SECRETS)
        reasons.append(caught.value.what)
    return reasons[0]


@pytest.mark.parametrize("missing", [1, 100, 8192])
def test_cut_short(write, missing) -> None:
    path = write(STORED)
    path.write_bytes(path.read_bytes()[:-missing])
    assert f"{8192 - missing} of 8192 bytes" in refusal(path) or "without its pixels" in refusal(path)


def test_cut_within_the_header(write) -> None:
    path = write(STORED)
    path.write_bytes(path.read_bytes()[:400])
    assert "pixels" in refusal(path)


def test_fewer_frames_than_stated(write) -> None:
    assert "8192 of 24576 bytes" in refusal(write(STORED, NumberOfFrames=3))


@pytest.mark.parametrize("missing", [8, 12, 2000])
def test_compressed_and_cut_short(write, missing) -> None:
    path = write(np.random.default_rng(0).integers(0, 9999, (4, 64, 64)).astype(np.int16))
    dataset = dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(path)
    path.write_bytes(path.read_bytes()[:-missing])
    assert "incomplete" in refusal(path)


def test_compressed_with_fewer_frames_than_stated(write) -> None:
    path = write(np.stack([STORED] * 3))
    dataset = dcmread(path)
    dataset.compress(RLELossless)
    dataset.NumberOfFrames = 5
    dataset.save_as(path)
    assert "3 of 5 frames" in refusal(path)


@pytest.mark.parametrize(
    ("sop_class", "stored", "words"),
    [
        (BasicTextSRStorage, None, "without pixels: Basic Text SR"),
        (SegmentationStorage, STORED, "derived object, not an acquired image: Segmentation"),
        (RTDoseStorage, STORED, "derived object, not an acquired image: RT Dose"),
        (MediaStorageDirectoryStorage, None, "a directory of files"),
        ("1.2.3.4.5", None, "of an unknown kind"),
    ],
)
def test_other_objects(write, sop_class, stored, words) -> None:
    assert words in refusal(write(stored, SOPClassUID=sop_class, PatientBirthDate="19500101"))


def test_segmentation_told_by_modality_alone(write) -> None:
    assert "derived object" in refusal(write(STORED, Modality="SEG"))


@pytest.mark.parametrize("keyword", ["Rows", "Columns"])
def test_without_size(write, keyword) -> None:
    path = write(STORED, edit=lambda dataset: delattr(dataset, keyword))
    assert keyword in refusal(path)


def test_slope_of_zero(write) -> None:
    with pytest.raises(ReadError, match="RescaleSlope"):
        read_image(write(STORED, RescaleSlope=0, RescaleIntercept=0))


@pytest.mark.parametrize("syntax", [MPEG4HP41, "1.2.826.0.1.999"])
def test_unsupported_transfer_syntax(write, syntax) -> None:
    assert "transfer syntax is not supported" in refusal(_relabelled(write(STORED), syntax))


def test_missing_decoder_says_what_to_install(write, monkeypatch) -> None:
    row = next(row for row in decoder_table() if row["uid"] == HTJ2K)
    if row["available"]:
        from pydicom.pixels.decoders import HTJ2KDecoder

        monkeypatch.setattr(HTJ2KDecoder, "_available", {})
    with pytest.raises(ReadError) as caught:
        read_headers(_relabelled(write(STORED), HTJ2K))
    assert "pip install pylibjpeg" in caught.value.fix


def test_decoder_table_covers_the_common_syntaxes() -> None:
    rows = {row["name"]: row for row in decoder_table()}
    assert len(rows) >= 15
    for name in ("RLE Lossless", "JPEG 2000 Image Compression", "JPEG Extended (Process 2 and 4)"):
        assert rows[name]["available"]
        assert rows[name]["plugins"]
    assert "imagecodecs" in rows["JPEG Extended (Process 2 and 4)"]["plugins"]
    assert all(row["available"] or row["install"] for row in rows.values())


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "empty"), (b"name,label\na,1\n" * 99, "not an image"), (b"PK\x03\x04" + bytes(99), "not an image")],
)
def test_other_files(tmp_path, content, words) -> None:
    path = tmp_path / "labels.dcm"
    path.write_bytes(content)
    assert words in refusal(path)


def test_files_that_cannot_be_opened(tmp_path) -> None:
    assert "does not exist" in refusal(tmp_path / "nowhere.dcm")
    assert "a folder" in refusal(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(write) -> None:
    path = write(STORED)
    path.chmod(0)
    assert "no permission" in refusal(path)


def test_only_archives_have_members(write) -> None:
    with pytest.raises(ReadError, match="members"):
        read_image(Source(write(STORED), "train/0"))


def test_random_damage_never_raises_anything_else(write) -> None:
    path = write(STORED, PatientBirthDate="19500101", PixelSpacing=[1, 1], RescaleIntercept=0, RescaleSlope=1)
    good = path.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(150):
        bad = bytearray(good)
        for place in generator.integers(132, len(good) - 8192, 4):
            bad[place] = generator.integers(256)
        path.write_bytes(bad)
        for read in (read_headers, read_image):
            try:
                read(path)
            except ReadError as error:
                assert not any(secret in f"{error.what} {error.fix}" for secret in SECRETS)  # noqa: PT017


def _relabelled(path: Path, syntax: str) -> Path:
    dataset = dcmread(path)
    dataset.compress(RLELossless)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path)
    return path
