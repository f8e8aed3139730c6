"""Labels are found by every kind of key, the columns are reported, and what contradicts itself is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from hounsfield.cohort import Labelling, Splitting, scan, scan_for_prediction
from hounsfield.core import Cohort
from hounsfield.errors import LabelError, SplitError, UsageError

PATIENTS = 14
Write = Callable[..., Path]


def label(number: int) -> str:
    return ("no", "yes")[number % 2]


def looked(images: Path, table: Path | None = None, **options: Any) -> Cohort:
    names = ("key", "label", "positive", "uncertain", "blank", "patient_pattern")
    asked = {name: options.pop(name) for name in names if name in options}
    if isinstance(asked.get("label"), str):
        asked["label"] = (asked["label"],)
    splitting = Splitting(options.pop("split", "auto"), options.pop("folds", 3), **options)
    return scan(images, Labelling(table, **asked), splitting=splitting, workers=0)


def labels_by_path(cohort: Cohort) -> dict[str, str | None]:
    assert cohort.crosswalk is not None
    joined = cohort.usable.join(cohort.crosswalk.drop_nulls("case"), on="case")
    return dict(joined.select("path", "label").iter_rows())


@pytest.fixture
def pictures(tmp_path: Path, png: Write) -> Path:
    """Some of the files have no extension, some lie deeper."""
    for number in range(PATIENTS):
        place = "deep/er/" if number % 3 == 0 else ""
        png(tmp_path / "images" / f"{place}im{number:03d}{'' if number % 2 else '.png'}", number)
    return tmp_path / "images"


@pytest.fixture
def studies(tmp_path: Path, dicom: Write) -> Path:
    """Two studies of one series of two slices for every patient; leading zeros matter."""
    for number in range(PATIENTS):
        for study in (1, 2):
            for cut in (2, 1):
                uid = f"1.2.3.{number}.{study}"
                dicom(tmp_path / "images" / f"s{number}" / f"{study}-{cut}", f"00{number}", uid, f"{uid}.7", cut)
    return tmp_path / "images"


@pytest.mark.parametrize("where", ["relative", "windows", "dotted", "beside the table", "name"])
def test_by_path(pictures: Path, table: Write, where: str) -> None:
    lines = []
    wanted = {}
    for number, path in enumerate(sorted(path for path in pictures.rglob("*") if path.is_file())):
        relative = path.relative_to(pictures).as_posix()
        wanted[relative] = label(number)
        told = {
            "relative": relative, "windows": relative.replace("/", "\\"), "dotted": f"./{relative}",
            "beside the table": f"images/{relative}", "name": path.name,
        }[where]  # fmt: skip
        lines.append(f"{told},{label(number)}")
    cohort = looked(pictures, table("file,finding", *lines))
    assert labels_by_path(cohort) == wanted
    assert (cohort.about.key_column, cohort.about.label_column, cohort.about.unit) == (
        "file (path)",
        "finding",
        "image",
    )
    assert "each image counts as one" in cohort.about.patients_from
    assert cohort.quarantine.height == 0


def test_by_stem(pictures: Path, table: Write) -> None:
    cohort = looked(pictures, table("name,y", *[f"im{n:03d},{label(n)}" for n in range(PATIENTS)]))
    assert cohort.usable.height == PATIENTS
    assert all(label(int(Path(path).stem[2:])) == found for path, found in labels_by_path(cohort).items())


@pytest.mark.parametrize(
    ("kind", "unit", "cases", "slices"),
    [
        ("PatientID", "patient", PATIENTS, 4),
        ("StudyInstanceUID", "study", 2 * PATIENTS, 2),
        ("SeriesInstanceUID", "series", 2 * PATIENTS, 2),
    ],
)
def test_by_what_the_header_says(studies: Path, table: Write, kind: str, unit: str, cases: int, slices: int) -> None:
    series = ".7" if kind == "SeriesInstanceUID" else ""
    uids = [(f"1.2.3.{n}.{study}{series}", n) for n in range(PATIENTS) for study in (1, 2)]
    rows = [(f"00{n}", n) for n in range(PATIENTS)] if kind == "PatientID" else uids
    cohort = looked(studies, table("which,nodule,remark", *[f"{key},{label(n)},r{n}{key}" for key, n in rows]))
    assert (cohort.about.key_column, cohort.about.label_column) == (f"which ({kind})", "nodule")
    assert cohort.about.unit == unit
    assert cohort.usable.height == cases
    assert cohort.usable["files"].list.len().unique().to_list() == [slices]
    assert cohort.usable["patient"].n_unique() == PATIENTS
    assert all(label(int(path.split("/")[0][1:])) == found for path, found in labels_by_path(cohort).items())
    first = [path.as_posix()[-3:] for path, _ in cohort.locate(cohort.usable["files"][0].to_list())]
    assert first == (["1-1", "1-2", "2-1", "2-2"] if slices == 4 else first), (
        "slices in order, one study after the other"
    )
    assert first[0][-1] == "1"


def test_columns_can_be_named(pictures: Path, table: Write) -> None:
    rows = [f"im{n:03d},im{(n + 1) % PATIENTS:03d},{label(n)},{label(n // 2)}" for n in range(PATIENTS)]
    labels = table("name,next,a,b", *rows)
    with pytest.raises(LabelError, match="could be a, b"):
        looked(pictures, labels)
    one = looked(pictures, labels, label="a")
    assert (one.about.key_column, one.about.label_column) == ("name (stem)", "a")
    other = looked(pictures, labels, label="b", key="next")
    assert (other.about.key_column, other.about.label_column) == ("next (stem)", "b")
    moved = {Path(path).stem: found for path, found in labels_by_path(other).items()}
    assert moved == {f"im{(n + 1) % PATIENTS:03d}": label(n // 2) for n in range(PATIENTS)}
    for wrong in ({"label": "c"}, {"label": "a", "key": "c"}):
        with pytest.raises(LabelError, match="no column 'c'") as caught:
            looked(pictures, labels, **wrong)
        assert "name, next, a, b" in str(caught.value.fix)


@pytest.mark.parametrize("mark", ["\ufeff", ""])
@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_dialects(pictures: Path, table: Write, sign: str, mark: str) -> None:
    lines = [
        sign.join(line) for line in [("name", "label"), *[(f" im{n:03d} ", f" {label(n)}") for n in range(PATIENTS)]]
    ]
    cohort = looked(pictures, table(mark + lines[0], *lines[1:]))
    assert (cohort.about.labels, cohort.usable.height) == (["no", "yes"], PATIENTS)
    assert cohort.about.key_column == "name (stem)"


def test_two_labels_for_one_case(pictures: Path, table: Write) -> None:
    rows = [f"im{n:03d},{label(n)}" for n in range(PATIENTS)]
    for other in ("no", ""):
        cohort = looked(pictures, table("name,label", *rows, f"im001,{other}"), label="label")
        (why,) = cohort.table["quarantine"].drop_nulls()
        assert why == "two labels for one case: rows 3, 16 of the label table contradict each other"
        told = cohort.quarantine.filter(pl.col("kind") == "label").select("item", "reason").rows()
        assert told == [(f"row {row} of the label table", "contradicts row 3") for row in (3, 16)]
        assert cohort.usable.height == PATIENTS - 1
    again = looked(pictures, table("name,label", *rows, "im001,yes"))
    assert again.usable.height == PATIENTS
    assert again.quarantine.select("item", "reason").rows() == [("row 16 of the label table", "repeats row 3")]


def test_a_key_that_contradicts_itself_everywhere_is_refused(pictures: Path, table: Write) -> None:
    rows = [f"im{n:03d},{found}" for n in range(PATIENTS) for found in ("no", "yes")]
    with pytest.raises(LabelError, match="14 of 14 keys have two labels: two labels for one case: rows 2, 3") as caught:
        looked(pictures, table("name,label", *rows))
    assert "finer key" in str(caught.value.fix)


def test_two_labels_for_one_case_under_two_ways_to_write_its_path(pictures: Path, table: Write) -> None:
    paths = sorted(path.relative_to(pictures).as_posix() for path in pictures.rglob("*") if path.is_file())
    rows = [f"images/{path},{label(n)}" for n, path in enumerate(paths)]
    cohort = looked(pictures, table("name,label", *rows, f"{paths[0]},{label(1)}"))
    (why,) = cohort.table["quarantine"].drop_nulls()
    assert why.startswith("two labels for one case: rows 2 and 16 of the label table name the same image")


def test_unknown_labels_are_put_aside_and_not_guessed(pictures: Path, table: Write) -> None:
    rows = [f"im{n:03d},{'' if n == 0 else 'NA' if n == 3 else label(n)}" for n in range(PATIENTS)]
    cohort = looked(pictures, table("name,label", *rows))
    assert cohort.usable.height == PATIENTS - 2
    assert cohort.quarantine["reason"].to_list() == ["no label"] * 2


def test_rows_without_an_image_and_images_without_a_row(pictures: Path, table: Write) -> None:
    rows = [f"im{n:03d},{label(n)}" for n in range(1, PATIENTS)]
    (pictures / "im900.png").write_text("no picture")
    cohort = looked(pictures, table("name,label", *rows[:4], "im800,no", *rows[4:], "im900,yes"))
    found = {(item, kind): reason for item, kind, _, reason in cohort.quarantine.iter_rows() if kind == "label"}
    assert found[("row 6 of the label table", "label")] == "no image has this key"
    assert "quarantine" in found[("row 16 of the label table", "label")], "its image is there, but is no picture"
    assert cohort.table.filter(pl.col("quarantine") == "no label").height == 1
    assert cohort.usable.height == PATIENTS - 1


def test_covariates_of_the_table(pictures: Path, table: Write) -> None:
    rows = [f"im{n:03d},{label(n)},{'FM'[n % 2]},{40 + n},s{n % 3},P{n // 2}" for n in range(PATIENTS)]
    cohort = looked(pictures, table("name,label,Sex,age,hospital,patient_id", *rows))
    assert cohort.usable["patient"].n_unique() == PATIENTS // 2
    assert set(cohort.usable["sex"]) == {"F", "M"}
    assert set(cohort.usable["site"]) == {"s0", "s1", "s2"}
    assert set(cohort.usable["age"]) == {40.0 + n for n in range(PATIENTS)}
    assert cohort.about.patients_from == "the label table"


def test_patient_from_the_path(pictures: Path, table: Write) -> None:
    labels = table("name,label", *[f"im{n:03d},{label(n)}" for n in range(PATIENTS)])
    cohort = looked(pictures, labels, patient_pattern=r"im\d\d(\d)")
    assert cohort.usable["patient"].n_unique() == 10
    assert cohort.about.patients_from == "the path"
    for bad, words in (("im(", "no regular expression"), ("zz", "matches nothing")):
        with pytest.raises(UsageError, match=words):
            looked(pictures, labels, patient_pattern=bad)


def test_given_splits_of_the_table(pictures: Path, table: Write) -> None:
    parts = ["train"] * 8 + ["Val"] * 2 + ["calibration"] * 2 + ["testing"] * 2
    rows = [f"im{n:03d},{label(n)},{parts[n]}" for n in range(PATIENTS)]
    cohort = looked(pictures, table("name,label,split", *rows), folds=0)
    assert cohort.parts == {"train": 8, "validation": 2, "calibration": 2, "test": 2}
    assert "given" in cohort.about.split_sentence
    with pytest.raises(SplitError, match="holdout"):
        looked(pictures, table("name,label,split", *rows[1:], "im000,no,holdout"), folds=0)
    with pytest.raises(SplitError, match="some cases"):
        looked(pictures, table("name,label,split", *rows[1:], "im000,no,"), folds=0)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["name,label", *[f"x{n},{label(n)}" for n in range(PATIENTS)]], "no labels match"),
        (["name,label", *[f"im{n:03d},yes" for n in range(PATIENTS)]], "one class only"),
        (["name,label", *[f"im{n:03d}," for n in range(PATIENTS)]], "one class only|not clear"),
        (["name,size", *[f"im{n:03d},{n * 1.7}" for n in range(PATIENTS)]], "label column is not clear"),
        (["name", *[f"im{n:03d}" for n in range(PATIENTS)]], "1 column"),
        (["name,label"], "0 rows"),
        ([""], "cannot be read|0 rows"),
    ],
)
def test_tables_that_do_not_fit(pictures: Path, table: Write, lines: list[str], words: str) -> None:
    with pytest.raises(LabelError, match=words):
        looked(pictures, table(*lines))


def test_without_a_table(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="does not exist"):
        looked(pictures, tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)) * 9)
    with pytest.raises(LabelError):
        looked(pictures, tmp_path / "binary.csv")


def test_fewer_patients_than_folds(pictures: Path, table: Write) -> None:
    labels = table("name,label", *[f"im{n:03d},{'yes' if n < 3 else 'no'}" for n in range(PATIENTS)])
    assert looked(pictures, labels).about.folds == 3
    for folds in (0, 4):
        with pytest.raises(SplitError, match="fewer patients"):
            looked(pictures, labels, folds=folds)


def test_class_named_folders(tmp_path: Path, png: Write) -> None:
    for number in range(PATIENTS):
        png(tmp_path / ("NORMAL", "PNEUMONIA")[number % 2] / f"{number}" / "a.png", number)
    cohort = looked(tmp_path)
    assert (cohort.about.labels, cohort.about.positive) == (["NORMAL", "PNEUMONIA"], "PNEUMONIA")
    assert cohort.about.label_column == "folder names"
    assert all(path.startswith(found or "?") for path, found in labels_by_path(cohort).items())
    assert looked(tmp_path, positive="NORMAL").about.labels == ["PNEUMONIA", "NORMAL"]


def test_train_and_test_folders(tmp_path: Path, png: Write) -> None:
    for number in range(80):
        part = "Test" if number >= 64 else "train"
        png(tmp_path / part / label(number) / f"{number}.png", number)
    cohort = looked(tmp_path, folds=0)
    assert cohort.about.labels == ["no", "yes"]
    assert cohort.parts["test"] == 16
    assert set(cohort.parts) == {"train", "validation", "calibration", "test"}
    assert "no validation part: an eighth" in cohort.about.split_sentence
    tests = labels_by_path(Cohort(cohort.part("test"), cohort.about, crosswalk=cohort.crosswalk, root=cohort.root))
    assert all(path.startswith("Test/") for path in tests)
    folded = looked(tmp_path)
    assert folded.parts == {"train": 64, "test": 16}
    assert folded.part("test")["folds"].null_count() == 16
    assert folded.part("train")["folds"].null_count() == 0


def test_a_series_in_two_class_folders(tmp_path: Path, dicom: Write) -> None:
    for number in range(6):
        dicom(tmp_path / label(number) / f"{number}.dcm", "p", "1.2", "1.2.3", number)
    for number in range(6, 12):
        dicom(tmp_path / label(number) / f"{number}.dcm", f"p{number}", "1.2", f"1.2.3.{number}")
    cohort = looked(tmp_path)
    (why,) = cohort.table["quarantine"].drop_nulls()
    assert why == "two labels for one case: its files lie in 2 class folders"
    assert cohort.usable.height == 6


@pytest.mark.parametrize(
    ("stem", "labels", "positive"),
    [
        ("mine", ["0", "1"], "1"),
        ("breastmnist", ["normal or benign", "malignant"], "malignant"),
        ("pneumoniamnist", ["normal", "pneumonia"], "pneumonia"),
    ],
)
def test_an_archive_like_medmnist(tmp_path: Path, stem: str, labels: list[str], positive: str) -> None:
    generator = np.random.default_rng(0)
    sizes = {"train": 40, "val": 8, "test": 10}
    arrays = {}
    for part, count in sizes.items():
        arrays[f"{part}_images"] = generator.integers(0, 255, (count, 8, 8), dtype=np.uint8)
        arrays[f"{part}_labels"] = np.arange(count, dtype=np.uint8)[:, None] % 2
    np.savez(tmp_path / f"{stem}.npz", **arrays)
    for place in (tmp_path, tmp_path / f"{stem}.npz"):
        cohort = looked(place, folds=0)
        assert (cohort.about.labels, cohort.about.positive) == (labels, positive)
        parts = cohort.parts
        assert (parts["validation"], parts["test"], parts["train"] + parts["calibration"]) == (8, 10, 40)
        assert cohort.about.label_column == "labels in the archive"
        truth = {
            member: found
            for member, found in cohort.crosswalk.join(cohort.usable, on="case").select("member", "label").iter_rows()
        }
        number_of = (
            {name: str(place) for place, name in enumerate(labels)}
            if stem != "breastmnist"
            else {"malignant": "0", "normal or benign": "1"}
        )
        assert all(int(number_of[found]) == int(member.split("/")[1]) % 2 for member, found in truth.items())


def test_nothing_to_scan(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        looked(tmp_path / "none")
    with pytest.raises(UsageError, match="empty"):
        looked(tmp_path)
    (tmp_path / "notes.txt").write_text("words")
    with pytest.raises(UsageError, match="no images among 1 files: 1× not an image"):
        looked(tmp_path)


def test_pictures_without_any_label(pictures: Path, png: Write) -> None:
    for path in list(pictures.rglob("*")):
        if path.is_file():
            path.rename(pictures / path.name)
    (pictures / "deep" / "er").rmdir()
    (pictures / "deep").rmdir()
    with pytest.raises(LabelError, match="no label"):
        looked(pictures)


def test_for_prediction_labels_are_optional_but_must_be_known(pictures: Path, table: Write) -> None:
    cohort = scan_for_prediction(pictures, ["no", "yes"], "yes", workers=0)
    assert cohort.parts == {"test": PATIENTS}
    assert cohort.usable["label"].null_count() == PATIENTS
    rows = [f"im{n:03d},{label(n)}" for n in range(PATIENTS)]
    known = scan_for_prediction(pictures, ["no", "yes"], "yes", Labelling(table("name,label", *rows)), workers=0)
    assert known.usable["label"].null_count() == 0
    with pytest.raises(LabelError, match="does not know"):
        scan_for_prediction(pictures, ["no", "cancer"], "cancer", Labelling(table("name,label", *rows)), workers=0)
