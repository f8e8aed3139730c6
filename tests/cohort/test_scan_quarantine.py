"""Nothing vanishes, nothing is judged twice, and nothing that is given away names a patient."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from pydicom import dcmread

from hounsfield.cohort import Labelling, Splitting, scan, scan_for_prediction
from hounsfield.cohort.pseudonyms import Pseudonyms, load_key
from hounsfield.core import Cohort
from hounsfield.errors import UsageError
from hounsfield.phantom import PhantomCohort

Write = Callable[..., Path]


def look(images: Path, table: Path | None = None, *, folds: int = 0, key: Path | None = None) -> Cohort:
    return scan(images, Labelling(table), splitting=Splitting(folds=folds), key_file=key, workers=0)


def fates(cohort: Cohort) -> dict[str, tuple[str | None, str | None]]:
    """Path → (split, reason for its quarantine); fails where a path has two fates or none."""
    assert cohort.crosswalk is not None
    cases = {case: (split, why) for case, split, why in cohort.table.select("case", "split", "quarantine").iter_rows()}
    files = {item: (None, why) for item, kind, _, why in cohort.quarantine.iter_rows() if kind == "file"}
    found = {}
    for key, case, path in cohort.crosswalk.select("key", "case", "path").iter_rows():
        assert path not in found
        assert (case in cases) != (key in files)
        found[path] = cases[case] if case in cases else files[key]
    return found


def everything(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def scanned(phantom: PhantomCohort) -> Cohort:
    return look(phantom.centre_a, phantom.labels, folds=3)


def test_the_planted_files_are_put_aside(phantom: PhantomCohort, scanned: Cohort) -> None:
    words = {
        "truncated": "incomplete", "not-dicom": "not an image", "not-an-image": "without pixels",
        "duplicate": "a second time",
        "unlabelled": "no label",
    }  # fmt: skip
    found = fates(scanned)
    planted = {one.path.relative_to(phantom.centre_a).as_posix(): one for one in phantom.planted}
    for path, one in planted.items():
        # Of two files with one SOP Instance UID either may be kept.
        others = [path] if one.twin is None else [path, one.twin.relative_to(phantom.centre_a).as_posix()]
        assert any(words[one.reason] in (found[other][1] or "") for other in others), (path, found[path])
    assert sum(why is not None for _, why in found.values()) == len(planted), "and nothing else is"
    assert scanned.usable.height == 16
    assert scanned.usable["files"].list.len().unique().to_list() == [3]


def test_nothing_vanishes(phantom: PhantomCohort, scanned: Cohort, tmp_path: Path) -> None:
    assert set(fates(scanned)) == everything(phantom.centre_a)
    # From above, with the labels and the truth among the files: the table is no image and none of the cohort's.
    root = phantom.labels.parent
    assert set(fates(look(root, phantom.labels, folds=3))) == everything(root) - {"labels.csv"}
    unlabelled = scan_for_prediction(root, ["no", "yes"], "yes", workers=0)
    assert set(fates(unlabelled)) == everything(root)


def test_nothing_given_away_names_a_patient(phantom: PhantomCohort, scanned: Cohort, tmp_path: Path) -> None:
    scanned.save(tmp_path)
    secrets = {"Phantom^", "PHANTOM", "Simulated Clinic", str(phantom.centre_a), "archive", "thorax", ".dcm", "IM0001"}
    for path in sorted(phantom.centre_a.rglob("*.dcm")):
        if path.name == "notes.dcm":
            continue
        dataset = dcmread(path, stop_before_pixels=True, defer_size=64)
        for name in (
            "PatientName",
            "PatientID",
            "StudyDate",
            "StudyTime",
            "StudyInstanceUID",
            "SeriesInstanceUID",
            "SOPInstanceUID",
        ):
            if dataset.get(name):
                secrets.add(str(dataset[name].value))
        for name in ("InstitutionName", "PatientBirthDate", "AccessionNumber"):
            if dataset.get(name):
                secrets.add(str(dataset[name].value))
    plain = io.BytesIO()
    Cohort.load(tmp_path, private=False).table.write_parquet(plain, compression="uncompressed")
    texts = [
        plain.getvalue(), (tmp_path / "cohort.parquet").read_bytes(), (tmp_path / "quarantine.csv").read_bytes(),
        scanned.about.model_dump_json().encode(),
    ]  # fmt: skip
    assert len(secrets) > 50
    for secret in secrets:
        assert not any(secret.encode() in text for text in texts), secret
    assert b"PHANTOM-A-0001" in (tmp_path / "private" / "crosswalk.parquet").read_bytes(), "the search can find them"


def test_pseudonyms_depend_on_the_key(tmp_path: Path, png: Write) -> None:
    for number in range(6):
        png(tmp_path / "images" / ("no", "yes")[number % 2] / f"{number}.png", number)
    one, again, other = (
        look(tmp_path / "images", folds=3, key=tmp_path / name) for name in ("a.key", "a.key", "b.key")
    )
    assert one.digest == again.digest != other.digest
    for column in ("case", "patient"):
        assert not set(one.table[column]) & set(other.table[column])
    assert not set(one.table["files"].explode()) & set(other.table["files"].explode())
    (tmp_path / "images").rename(tmp_path / "moved")
    moved = look(tmp_path / "moved", folds=3, key=tmp_path / "a.key")
    assert moved.digest == one.digest, "where the folder lies does not matter"


def test_the_key(tmp_path: Path) -> None:
    key = load_key(tmp_path / "deep" / "project.key")
    assert load_key(tmp_path / "deep" / "project.key") == key
    assert len(key) == 32
    assert (tmp_path / "deep" / "project.key").stat().st_mode & 0o777 == 0o600
    names = Pseudonyms(key)
    assert names.of("case", "a") == names.of("case", "a") == Pseudonyms(key).of("case", "a")
    assert len({names.of("case", "a"), names.of("patient", "a").replace("patient", "case"), names.of("case", "b")}) == 3
    for text, words in (("", "too short"), ("abcd", "too short"), ("not hexadecimal", "cannot be read")):
        (tmp_path / "bad.key").write_text(text)
        with pytest.raises(UsageError, match=words):
            load_key(tmp_path / "bad.key")


def test_the_same_picture_twice(tmp_path: Path, png: Write) -> None:
    for number in range(12):
        png(tmp_path / ("no", "yes")[number % 2] / f"{number}.png", number)
    png(tmp_path / "no" / "copy.png", 4)
    cohort = look(tmp_path, folds=3)
    found = fates(cohort)
    assert set(found) == everything(tmp_path)
    put_aside = {path: why for path, (_, why) in found.items() if why}
    assert list(put_aside) in (["no/copy.png"], ["no/4.png"])
    (why,) = put_aside.values()
    assert "a second time" in why
    twin = why.rpartition(" ")[2]
    assert twin in set(cohort.usable["case"]), "the pair is named"


def test_the_same_picture_under_two_labels(tmp_path: Path, png: Write) -> None:
    for number in range(12):
        png(tmp_path / ("no", "yes")[number % 2] / f"{number}.png", number)
    png(tmp_path / "yes" / "copy.png", 4)
    put_aside = {path: why for path, (_, why) in fates(look(tmp_path, folds=3)).items() if why}
    assert set(put_aside) == {"no/4.png", "yes/copy.png"}, "nobody knows which label is right, so neither is used"
    assert all("two labels" in why for why in put_aside.values())


@pytest.mark.parametrize("folds", [0, 3])
def test_leaks_cost_training_cases_and_never_test_cases(tmp_path: Path, png: Write, folds: int) -> None:
    for number in range(80):
        png(tmp_path / "train" / ("no", "yes")[number % 2] / f"{number}.png", number)
    for number in range(100, 112):
        png(tmp_path / "test" / ("no", "yes")[number % 2] / f"{number}.png", number)
    png(tmp_path / "train" / "no" / "leak.png", 100)
    png(tmp_path / "train" / "no" / "conflict.png", 101)
    png(tmp_path / "test" / "yes" / "twice.png", 103)
    png(tmp_path / "test" / "no" / "both.png", 105)
    found = fates(look(tmp_path, folds=folds))
    put_aside = {path: why for path, (_, why) in found.items() if why}
    assert set(put_aside) == {"train/no/leak.png", "train/no/conflict.png"}
    assert "in the test part (a leak)" in put_aside["train/no/leak.png"]
    assert "two labels" in put_aside["train/no/conflict.png"]
    assert sum(split == "test" for split, _ in found.values()) == 14


def test_a_patient_in_two_given_parts(tmp_path: Path, png: Write, table: Write) -> None:
    rows = []
    for number in range(40):
        png(tmp_path / "images" / f"{number}.png", number)
        part = ["train"] * 20 + ["val"] * 8 + ["calibration"] * 6 + ["test"] * 6
        patient = {0: 39, 20: 39, 1: 21}.get(number, number)
        rows.append(f"{number}.png,{('no', 'yes')[number % 2]},{part[number]},P{patient}")
    cohort = look(tmp_path / "images", table("file,label,split,patient", *rows))
    put_aside = {path: why for path, (_, why) in fates(cohort).items() if why}
    assert set(put_aside) == {"0.png", "20.png", "1.png"}
    assert "test part" in put_aside["0.png"]
    assert "validation part" in put_aside["1.png"]
    assert "3 case(s) would have leaked" in cohort.about.split_sentence


def test_the_same_dicom_object_twice_under_two_labels(tmp_path: Path, dicom: Write, table: Write) -> None:
    rows = []
    for number in range(12):
        dicom(tmp_path / "images" / f"{number}.dcm", f"p{number}", f"1.2.{number}", f"1.2.{number}.3")
        rows.append(f"{number}.dcm,{('no', 'yes')[number % 2]}")
    dicom(tmp_path / "images" / "copy.dcm", "p4", "1.2.4", "1.2.4.3")
    put_aside = {
        path: why
        for path, (_, why) in fates(
            look(tmp_path / "images", table("file,label", *rows, "copy.dcm,yes"), folds=3)
        ).items()
        if why
    }
    assert set(put_aside) == {"4.dcm", "copy.dcm"}
    assert all("two labels" in why for why in put_aside.values())


def test_labels_of_files_that_were_put_aside_are_told(phantom: PhantomCohort, table: Write) -> None:
    rows = list(csv.reader(phantom.labels.open()))
    lines = [",".join(row) for row in rows]
    cohort = look(phantom.centre_a, table(*lines, "PHANTOM-A-7777,yes,A"), folds=3)
    told = cohort.quarantine.filter(pl.col("kind") == "label")
    assert told.rows() == [("row 18 of the label table", "label", "scan", "no image has this key")]
