"""DICOMDIR: what it lists and what of it is there, in the spellings that CDs come in."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage, generate_uid

from hounsfield.errors import ReadError
from hounsfield.read.dicomdir import is_dicomdir, listed_files

REAL = Path(pydicom.__file__).parent / "data/test_files/dicomdirtests"
SECRET = "Doe^Jane"


@pytest.fixture
def directory(tmp_path: Path) -> Callable[..., Path]:
    """Write a DICOMDIR: `directory(file ID, …)`, each a list of components or (list, {Keyword: value})."""

    def write(*file_ids: object, undefined: bool = False) -> Path:
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.FileSetID = "CD"
        patient = Dataset()
        patient.RecordInUseFlag, patient.DirectoryRecordType, patient.PatientName = 0xFFFF, "PATIENT", SECRET
        records = [patient]
        for item in file_ids:
            parts, changes = item if isinstance(item, tuple) else (item, {})
            record = Dataset()
            record.RecordInUseFlag, record.DirectoryRecordType = 0xFFFF, "IMAGE"
            with pydicom.config.disable_value_validation():
                record.ReferencedFileID = parts
                for keyword, value in changes.items():
                    setattr(record, keyword, value)
            record.is_undefined_length_sequence_item = undefined
            records.append(record)
        dataset.DirectoryRecordSequence = records
        dataset["DirectoryRecordSequence"].is_undefined_length = undefined
        path = tmp_path / "DICOMDIR"
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)
        return path

    return write


def make(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"image")
    return paths


@pytest.mark.parametrize("name", ["", "-bigEnd", "-implicit", "-nooffset", "-nopatient", "-reordered"])
def test_real_directories(name) -> None:
    path = REAL / f"DICOMDIR{name}"
    assert is_dicomdir(path)
    there, missing = listed_files(path)
    assert (len(there), missing) == (31, [])
    assert all(found.is_file() for found in there)
    assert there[0] == REAL / "77654033/CR1/6154"


def test_copy_without_some_files(tmp_path) -> None:
    shutil.copytree(REAL / "TINY_ALPHA", tmp_path / "cd")
    there, missing = listed_files(tmp_path / "cd/DICOMDIR")
    assert (len(there), len(missing)) == (50, 0)
    there[3].unlink()
    assert listed_files(tmp_path / "cd/DICOMDIR") == ([*there[:3], *there[4:]], [there[3]])
    shutil.rmtree(tmp_path / "cd/PT000000")
    assert len(listed_files(tmp_path / "cd/DICOMDIR")[1]) == 50


def test_empty() -> None:
    assert listed_files(REAL / "DICOMDIR-empty.dcm") == ([], [])


@pytest.mark.parametrize(
    ("listed", "on_disk"),
    [
        (["IMAGES", "IM1"], "images/im1"),
        (["IMAGES", "IM1"], "Images/IM1;1"),
        (["IMAGES", "IM1"], "IMAGES/IM1."),
        (["IMAGES", "IM1"], "images/im1.;1"),
        (["images", "im1.dcm"], "IMAGES/IM1.DCM"),
        ("IMAGES/IM1", "IMAGES/IM1"),
        (["", "IMAGES", ".", "IM1 "], "IMAGES/IM1"),
    ],
)
def test_spellings(directory, tmp_path, listed, on_disk) -> None:
    assert listed_files(directory(listed)) == ([], [tmp_path / "/".join(_clean(listed))])
    [place] = make(tmp_path, on_disk)
    assert listed_files(directory(listed)) == ([place], [])


def _clean(listed: object) -> list[str]:
    parts = listed.split("/") if isinstance(listed, str) else list(listed)
    return [part.strip() for part in parts if part.strip() not in ("", ".")]


def test_exact_name_comes_first_and_each_file_once(directory, tmp_path) -> None:
    upper, lower = make(tmp_path, "A/IM1", "A/im1")
    assert listed_files(directory(["A", "im1"], ["A", "IM1"], ["A", "IM1"], ["A", "Im1"])) == ([lower, upper], [])


def test_only_images_in_use(directory, tmp_path) -> None:
    make(tmp_path, "IM1", "IM2", "SR1")
    path = directory(
        "IM1", ("IM2", {"RecordInUseFlag": 0}), ("SR1", {"DirectoryRecordType": "SR DOCUMENT"}), undefined=True
    )
    assert listed_files(path) == ([tmp_path / "IM1"], [])


def test_a_folder_is_no_file(directory, tmp_path) -> None:
    (tmp_path / "IM1").mkdir()
    assert listed_files(directory("IM1", ["IM1", "X"])) == ([], [tmp_path / "IM1", tmp_path / "IM1/X"])


@pytest.mark.parametrize("listed", [["..", "IM1"], ["A", "..", "..", "IM1"], "../IM1", "C:/IM1", ["C:", "IM1"]])
def test_nothing_outside_the_folder(directory, listed) -> None:
    with pytest.raises(ReadError, match="outside its folder"):
        listed_files(directory(listed))


def test_record_without_a_name(directory) -> None:
    with pytest.raises(ReadError, match="names no file"):
        listed_files(directory("IM1", ""))


@pytest.mark.parametrize("undefined", [False, True])
def test_cut_short(directory, undefined) -> None:
    path = directory(*[["A", f"IM{number}"] for number in range(20)], undefined=undefined)
    whole = path.read_bytes()
    records = whole.index(b"\x04\x00\x20\x12")
    for end in (-1, -30, len(whole) // 2, records + 12, records + 6, records, 200):
        path.write_bytes(whole[:end])
        with pytest.raises(ReadError, match=r"damaged or cut short|not a DICOMDIR") as caught:
            listed_files(path)
        assert caught.value.where == str(path)
        assert SECRET not in str(caught.value)


def test_random_damage_gives_nothing_but_a_read_error(directory) -> None:
    path = directory(*[["A", f"IM{number}"] for number in range(10)])
    whole, generator = path.read_bytes(), np.random.default_rng(0)
    for _ in range(150):
        bad = bytearray(whole)
        for place in generator.integers(0, len(whole), 4):
            bad[place] = generator.integers(256)
        path.write_bytes(bad)
        is_dicomdir(path)
        try:
            listed = listed_files(path)
        except ReadError as error:
            assert SECRET not in str(error)  # noqa: PT017
        else:
            assert all(found.is_relative_to(path.parent) for found in listed[1])


def test_what_is_no_directory(write, tmp_path) -> None:
    image = write(np.zeros((4, 4), np.int16))
    bare = write(np.zeros((4, 4), np.int16), name="bare", preamble=False)
    (tmp_path / "text").write_text("text")
    (tmp_path / "meta").write_bytes(bytes(128) + b"DICM" + b"\xff" * 50)
    for path in (image, bare, tmp_path / "text", tmp_path / "meta"):
        assert not is_dicomdir(path)
        with pytest.raises(ReadError, match="not a DICOMDIR"):
            listed_files(path)
    with pytest.raises(ReadError, match="does not exist"):
        listed_files(tmp_path / "nowhere")
