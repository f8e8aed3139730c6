"""A cohort comes back from its files, keeps its promises, and keeps its private part private."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from hounsfield.core import Cohort
from hounsfield.core.cohort import SPLITS
from hounsfield.errors import UsageError

Make = Callable[..., Cohort]


def test_comes_back_from_its_files(cohort: Make, tmp_path: Path) -> None:
    made = cohort(tmp_path)
    made.save(tmp_path / "run")
    again = Cohort.load(tmp_path / "run")
    assert again.table.equals(made.table)
    assert again.table.schema == made.table.schema
    assert again.quarantine.equals(made.quarantine)
    assert again.crosswalk is not None
    assert made.crosswalk is not None
    assert again.crosswalk.equals(made.crosswalk)
    assert (again.about, again.root, again.digest) == (made.about, tmp_path.resolve(), made.digest)


def test_given_away_it_has_no_crosswalk(cohort: Make, tmp_path: Path) -> None:
    cohort().save(tmp_path / "run")
    assert not (tmp_path / "run" / "private").exists()
    again = Cohort.load(tmp_path / "run")
    assert again.crosswalk is None
    with pytest.raises(UsageError, match="crosswalk"):
        again.locate(["file-0"])


def test_private_is_not_opened_unless_asked_for(cohort: Make, tmp_path: Path) -> None:
    made = cohort(tmp_path)
    made.save(tmp_path)
    (tmp_path / "private" / "crosswalk.parquet").write_bytes(b"whoever reads this fails")
    assert Cohort.load(tmp_path, private=False).table.equals(made.table)
    assert Cohort.load(tmp_path, private=False).crosswalk is None
    with pytest.raises(UsageError, match="not a cohort"):
        Cohort.load(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_private_is_for_the_owner_alone(cohort: Make, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        cohort(tmp_path).save(tmp_path)
    finally:
        os.umask(before)
    private = tmp_path / "private"
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in private.iterdir()] == [0o600]


def test_what_is_given_away_names_no_path(cohort: Make, tmp_path: Path) -> None:
    cohort(tmp_path).save(tmp_path)
    for name in ("cohort.parquet", "quarantine.csv"):
        content = (tmp_path / name).read_bytes()
        assert b"Doe" not in content
        assert os.fsencode(tmp_path) not in content


def test_files_are_found_again(cohort: Make, tmp_path: Path) -> None:
    found = cohort(tmp_path).locate(["file-3", "file-0"])
    assert found == [(tmp_path / "scans" / "Doe 3.png", None), (tmp_path / "scans" / "Doe 0.png", None)]


def test_putting_aside_keeps_the_digest(cohort: Make) -> None:
    made = cohort()
    after = made.put_aside({"case-1": "it cannot be read", "case-4": "damaged"}, stage="prepare")
    assert after.digest == made.digest
    assert made.usable.height == 6
    assert set(after.usable["case"]) == {"case-0", "case-2", "case-3", "case-5"}
    assert after.table.height == 6
    assert after.quarantine.rows()[-2:] == [
        ("case-1", "case", "prepare", "it cannot be read"), ("case-4", "case", "prepare", "damaged"),
    ]  # fmt: skip
    again = after.put_aside({"case-1": "another reason"}, stage="predict")
    assert again.table.equals(after.table), "the first reason stays"
    assert made.put_aside({}, stage="predict") is made


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("label", ["yes"] * 6),
        ("split", ["train"] * 6),
        ("files", [["other"]] * 6),
        ("age", [1.0] * 6),
        ("folds", [[0]] * 6),
    ],
)
def test_what_was_scanned_changes_the_digest(cohort: Make, column: str, values: list[Any]) -> None:
    assert cohort(**{column: values}).digest != cohort().digest


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"patient": ["p", "q", "p", "r", "s", "t"]}, "more than one split"),
        (
            {
                "patient": ["p", "p", "q", "r", "s", "t"],
                "split": ["train"] * 6,
                "folds": [[0], [1], [0], [0], [0], [0]],
            },
            "fold",
        ),
        (
            {
                "patient": ["p", "p", "q", "r", "s", "t"],
                "split": ["train"] * 6,
                "folds": [[0], None, [0], [0], [0], [0]],
            },
            "fold",
        ),
        ({"case": ["a", "a", "b", "c", "d", "e"]}, "twice"),
        ({"split": ["train", "holdout", "train", "train", "test", "test"]}, "split"),
        ({"split": ["train", None, "train", "train", "test", "test"]}, "split"),
    ],
)
def test_broken_promises_are_refused(cohort: Make, columns: dict[str, list[Any]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        cohort(**columns)


def test_a_case_in_quarantine_needs_no_split_and_may_be_of_any_patient(cohort: Make) -> None:
    aside = ["a leak", None, None, None, None, None]
    made = cohort(patient=["p", "q", "p", "r", "s", "t"], quarantine=aside)
    assert made.usable.height == 5
    assert cohort(split=[None, "train", "train", "train", "test", "test"], quarantine=aside).parts == {
        "train": 3,
        "test": 2,
    }


def test_parts_in_the_order_of_use(cohort: Make) -> None:
    made = cohort(split=["test", "calibration", "validation", "train", "train", "test"])
    assert list(made.parts.items()) == [("train", 2), ("validation", 1), ("calibration", 1), ("test", 2)]
    assert list(made.parts) == list(SPLITS)
    assert made.part("train", "test").height == 4


def test_columns_are_the_ones_of_the_schema(cohort: Make) -> None:
    made = cohort()
    with pytest.raises(ValueError, match="SCHEMA"):
        Cohort(made.table.drop("age"), made.about)


def test_damaged_files(cohort: Make, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no cohort here"):
        Cohort.load(tmp_path)
    cohort().save(tmp_path)
    whole = (tmp_path / "cohort.parquet").read_bytes()
    for content in (b"", b"PAR1", whole[:-20], whole[: len(whole) // 2]):
        (tmp_path / "cohort.parquet").write_bytes(content)
        with pytest.raises(UsageError, match="not a cohort"):
            Cohort.load(tmp_path)
    (tmp_path / "cohort.parquet").write_bytes(whole)
    (tmp_path / "quarantine.csv").unlink()
    with pytest.raises(UsageError, match="not a cohort"):
        Cohort.load(tmp_path)


def test_a_cohort_of_before_regions_still_loads_with_its_digest(cohort: Make, tmp_path: Path) -> None:
    made = cohort()
    made.save(tmp_path)
    _without_columns(tmp_path / "cohort.parquet", ["region", "mask"])
    again = Cohort.load(tmp_path)
    assert again.table.equals(made.table)
    assert again.digest == made.digest
    _without_columns(tmp_path / "cohort.parquet", ["age"])
    with pytest.raises(UsageError, match="not a cohort"):
        Cohort.load(tmp_path)


def _without_columns(path: Path, names: list[str]) -> None:
    table = pq.read_table(path)
    pq.write_table(table.drop_columns([name for name in names if name in table.column_names]), path)


def test_regions_change_the_digest_and_come_back(cohort: Make, tmp_path: Path) -> None:
    regions = [[1.0, 2.0, 3.5], None, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], None, None, None]
    masks = [None, "file-mask", None, None, None, None]
    made = cohort(region=regions, mask=masks)
    made.save(tmp_path)
    again = Cohort.load(tmp_path)
    assert (again.table["region"].to_list(), again.table["mask"].to_list()) == (regions, masks)
    assert len({again.digest, cohort().digest, cohort(region=regions).digest, cohort(mask=masks).digest}) == 4


@pytest.mark.parametrize("numbers", [[], [1.0], [1.0, 2.0, 3.0, 4.0]])
def test_a_region_is_a_centre_or_a_box(cohort: Make, numbers: list[float]) -> None:
    with pytest.raises(ValueError, match="region of interest"):
        cohort(region=[numbers, None, None, None, None, None])
