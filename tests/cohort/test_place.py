"""Splits by time, by site, by scanner, given by a column, repeated; and what is done about leaks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture

from hounsfield.cohort import Labelling, Looking, Splitting, scan
from hounsfield.cohort.alike.same import Same
from hounsfield.cohort.duplicates import settle
from hounsfield.cohort.place import place
from hounsfield.core import Cohort
from hounsfield.core.cohort import SCHEMA, About
from hounsfield.errors import LabelError, SplitError, UsageError

Write = Callable[..., Path]
COUNT = 60


@pytest.fixture
def pictures(tmp_path: Path, png: Write) -> Path:
    for number in range(COUNT):
        png(tmp_path / "images" / f"im{number:03d}.png", number)
    return tmp_path / "images"


def by(pictures: Path, labels: Path, how: str = "auto", **more: Any) -> Cohort:
    looking = Looking(pixels=more.pop("pixels", False))
    return scan(
        pictures, Labelling(labels, label=("label",)), splitting=Splitting(how, **more), looking=looking, workers=0
    )


def row(number: int, *cells: object) -> str:
    return ",".join([f"im{number:03d}", ("no", "yes")[number % 2], *map(str, cells)])


def test_by_time(pictures: Path, table: Write) -> None:
    """Patient P0 was examined first and last: all of P0 is in the test part."""
    days = [f"20{10 + number // 12}-{1 + number % 12:02d}-15" for number in range(COUNT)]
    people = [0 if number in (0, 59) else number for number in range(COUNT)]
    rows = [row(number, days[number], f"P{people[number]}") for number in range(COUNT)]
    cohort = by(pictures, table("name,label,study_date,patient", *rows), "time")
    assert cohort.about.split_sentence.startswith("Split by time")
    last = cohort.usable.group_by("group").agg(pl.col("day").max(), pl.col("split").first())
    ends = {
        name: last.filter(pl.col("split") == name)["day"] for name in ("train", "validation", "calibration", "test")
    }
    assert ends["train"].max() < ends["validation"].min() <= ends["validation"].max() < ends["calibration"].min()
    assert ends["calibration"].max() < ends["test"].min()
    assert cohort.usable["day"].min() == 0
    assert cohort.parts == {"train": 36, "validation": 9, "calibration": 6, "test": 9}
    assert not any(day in cohort.about.model_dump_json() for day in days), "no date is told"


def test_by_time_needs_dates_and_labels(pictures: Path, table: Write) -> None:
    with pytest.raises(SplitError, match="no study date"):
        by(pictures, table("name,label", *[row(number) for number in range(COUNT)]), "time")
    ordered = [
        f"im{number:03d},{'yes' if number >= 40 else 'no'},2020-01-{1 + number // 2:02d}" for number in range(COUNT)
    ]
    with pytest.raises(SplitError, match="the train part lacks a label"):
        by(pictures, table("name,label,date", *ordered), "time")
    rows = [row(number, "" if number < 4 else f"2020-02-{1 + number // 3:02d}") for number in range(COUNT)]
    cohort = by(pictures, table("name,label,date", *rows), "time")
    assert (
        cohort.table["quarantine"].drop_nulls().to_list() == ["no study date is known, and the split goes by time"] * 4
    )


def test_a_site_held_out(pictures: Path, table: Write) -> None:
    """Patient 3 was seen at both sites: in the test part by one image, and lost for training by the other."""
    rows = [row(number, "North" if number < 15 else "South", 3 if number == 20 else number) for number in range(COUNT)]
    cohort = by(pictures, table("name,label,site,patient", *rows), "site=North")
    assert cohort.part("test")["site"].unique().to_list() == ["North"]
    assert cohort.part("test").height == 15
    assert set(cohort.part("train", "validation", "calibration")["site"]) == {"South"}
    (why,) = cohort.table["quarantine"].drop_nulls()
    assert "held out (a leak)" in why
    assert (
        "North is held out" in cohort.about.split_sentence
        and "1 case(s) would have leaked" in cohort.about.split_sentence
    )
    with pytest.raises(SplitError, match="no case has the site 'East'") as caught:
        by(pictures, table("name,label,site,patient", *rows), "site=East")
    assert "North, South" in str(caught.value.fix)


def test_every_scanner_once(pictures: Path, table: Write) -> None:
    rows = [row(number, f"S{number % 3}") for number in range(COUNT)]
    cohort = by(pictures, table("name,label,scanner", *rows), "scanner")
    assert cohort.about.folds == 3
    assert cohort.about.split_sentence == "3 folds, one for each scanner: S0, S1, S2."
    pairs = set(cohort.usable.select("scanner", pl.col("folds").list.first()).iter_rows())
    assert pairs == {("S0", 0), ("S1", 1), ("S2", 2)}
    with pytest.raises(SplitError, match="2 different sites"):
        by(pictures, table("name,label,site", *[row(number, number % 4 // 2) for number in range(COUNT)]), "site")


def test_a_column_of_folds(pictures: Path, table: Write) -> None:
    rows = [row(number, number // 2 % 4 + 1) for number in range(COUNT)]
    cohort = by(pictures, table("name,label,cv", *rows), "column=cv")
    assert (cohort.about.folds, cohort.about.repeats) == (4, 1)
    assert cohort.about.split_sentence == "The 4 folds are those given with the data."
    assert sorted(cohort.usable["folds"].list.first().unique()) == [0, 1, 2, 3]
    with pytest.raises(LabelError, match="no column 'fold'"):
        by(pictures, table("name,label,cv", *rows), "column=fold")
    with pytest.raises(UsageError, match="no label table"):
        scan(pictures, splitting=Splitting("column=cv"), workers=0)


def test_a_given_split_can_be_passed_over(pictures: Path, table: Write) -> None:
    rows = [row(number, ("holdout", "rest")[number % 2]) for number in range(COUNT)]
    labels = table("name,label,split", *rows)
    with pytest.raises(SplitError, match="holdout"):
        by(pictures, labels)
    assert set(by(pictures, labels, "patient").parts) == {"train", "validation", "calibration", "test"}


def test_folds_that_are_repeated(pictures: Path, table: Write) -> None:
    labels = table("name,label", *[row(number) for number in range(COUNT)])
    cohort = by(pictures, labels, folds=5, repeats=3, seed=7)
    assert (cohort.about.folds, cohort.about.repeats) == (5, 3)
    assert "5 folds by patient, stratified by label, 3 times, seeds 7 to 9" in cohort.about.split_sentence
    divisions = np.array(cohort.usable["folds"].to_list())
    assert divisions.shape == (COUNT, 3)
    for repeat in range(3):
        assert np.bincount(divisions[:, repeat]).tolist() == [12] * 5
    assert (divisions[:, 0] != divisions[:, 1]).any() and (divisions[:, 1] != divisions[:, 2]).any()


@pytest.mark.parametrize("how", ["patients", "time=1", "site=", "column", "=x"])
def test_ways_that_there_are_not(how: str) -> None:
    with pytest.raises(UsageError, match="no way to split"):
        Splitting(how)


def test_options_that_do_not_go_together() -> None:
    for how, more in (
        ("time", {"folds": 5}),
        ("site=A", {"folds": 5}),
        ("auto", {"repeats": 2}),
        ("auto", {"leaks": "hide"}),
    ):
        with pytest.raises(UsageError):
            Splitting(how, **more)


@pytest.fixture
def leaking(tmp_path: Path, table: Write) -> tuple[Path, Path]:
    """A given split in which a picture of test stands in train again, saved as JPEG; one is mirrored; one patient is in two."""
    folder = tmp_path / "smooth"
    folder.mkdir()
    parts = ["train"] * 36 + ["validation"] * 8 + ["calibration"] * 8 + ["test"] * 8
    rows = []
    for number in range(COUNT):
        coarse = np.random.default_rng(number).integers(0, 255, (9, 9), dtype=np.uint8)
        picture = Picture.fromarray(coarse).resize((160, 160), Picture.Resampling.BICUBIC)
        picture.save(folder / f"im{number:03d}.png")
        if number == 59:
            picture.save(folder / "again.jpg", quality=70)
            rows.append("again.jpg,yes,train,again")
        if number == 40:
            picture.transpose(Picture.Transpose.FLIP_LEFT_RIGHT).save(folder / "mirrored.png")
            rows.append("mirrored.png,no,train,mirrored")
        patient = 52 if number == 2 else number
        rows.append(f"im{number:03d}.png,{('no', 'yes')[number % 2]},{parts[number]},{patient}")
    return folder, table("file,label,split,patient", *rows)


def test_leaks_of_a_given_split_are_dropped_refused_or_allowed(leaking: tuple[Path, Path]) -> None:
    dropped = by(*leaking, pixels=True)
    aside = dropped.table.filter(pl.col("quarantine").is_not_null())
    assert aside["given"].to_list() == ["train"] * 3
    reasons = sorted(aside["quarantine"])
    assert reasons[0].startswith("nearly the same image stands in the test part (a leak); it is like case-")
    assert reasons[1].startswith("nearly the same image stands in the validation part (a leak); it is like case-")
    assert reasons[2] == "the patient also stands in the test part (a leak)"
    twin = reasons[0].rpartition(" ")[2]
    assert twin in set(dropped.part("test")["case"]), "the pair is named"
    assert dropped.parts == {"train": 35, "validation": 8, "calibration": 8, "test": 8}
    assert "3 case(s) would have leaked" in dropped.about.split_sentence
    hows = dict(dropped.pairs.select("how", "fate").iter_rows())
    assert any("mirrored left to right" in how for how in hows)
    with pytest.raises(SplitError, match="the given split leaks: 3 time") as caught:
        by(*leaking, pixels=True, leaks="refuse")
    assert "case-" in caught.value.what
    allowed = by(*leaking, pixels=True, leaks="allow")
    assert allowed.usable.height == COUNT + 2
    assert allowed.about.leaks_allowed == 3
    assert "3 case(s) leak from one part into another, as was allowed" in allowed.about.split_sentence
    assert by(*leaking, pixels=False).usable.height == COUNT + 1, "unseen, only the patient is found"


def test_our_own_split_keeps_pictures_together(leaking: tuple[Path, Path]) -> None:
    for seed in range(6):
        cohort = by(*leaking, "patient", pixels=True, seed=seed)
        place_of = dict(cohort.usable.select("case", "split").iter_rows())
        assert cohort.pairs.height == 2
        assert all(place_of[first] == place_of[second] for first, second, *_ in cohort.pairs.iter_rows())
        assert "(2 joined to another)" in cohort.about.split_sentence


NAMES = ("a", "b", "c")
ROWS = st.lists(
    st.tuples(
        st.integers(0, 25), st.sampled_from(NAMES[:2]), st.sampled_from(["train", "validation", "calibration", "test"]),
        st.integers(0, 900), st.sampled_from(["N", "S", "E"]),
    ),
    min_size=8, max_size=60,
)  # fmt: skip
HOWS = st.sampled_from(["patient", "auto", "given", "time", "site=N", "site", "scanner=S"])


@settings(max_examples=150, deadline=None)
@given(
    ROWS,
    HOWS,
    st.integers(0, 99),
    st.integers(0, 3),
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=5),
)
def test_no_patient_and_no_picture_is_ever_in_two_parts(
    drawn: list[Any], how: str, seed: int, folds: int, alike: list[tuple[int, int]]
) -> None:
    """Whatever the labels, the given parts and the way: Cohort itself refuses a patient or a group in two places."""
    count = len(drawn)
    columns: dict[str, list[Any]] = {name: [None] * count for name in SCHEMA}
    columns |= {
        "case": [f"case-{number}" for number in range(count)], "patient": [f"p{one[0]}" for one in drawn],
        "label": [one[1] for one in drawn], "given": [one[2] for one in drawn], "day": [one[3] for one in drawn],
        "site": [one[4] for one in drawn], "scanner": [one[4] for one in drawn], "split": ["train"] * count,
    }  # fmt: skip
    about = About(unit="image", labels=["a", "b"], patients_from="test", leaks="unchecked")
    start = Cohort(pl.DataFrame(columns, schema=SCHEMA), about)
    same = [Same(min(pair), max(pair), "near", "re-saved") for pair in dict.fromkeys(alike) if pair[0] != pair[1]]
    many = folds + 2 if folds and how in ("patient", "auto", "given") else 0
    splitting = Splitting(how, many, 2 if many else 1, seed)
    given_used = splitting.uses_given(start.usable["given"])
    settled = settle(start, same, given=given_used, leaks="drop")
    try:
        placed = place(settled.usable, splitting)
    except SplitError:
        return
    home: dict[str, set[Any]] = {}
    for number, (patient, group) in enumerate(settled.usable.select("patient", "group").iter_rows()):
        where = (placed.splits[number], tuple(placed.folds[number] or ()))
        assert (placed.splits[number] is None) == (number in placed.quarantine), "placed, or put aside with the reason"
        if number not in placed.quarantine:
            home.setdefault(f"patient {patient}", set()).add(where)
            home.setdefault(f"group {group}", set()).add(where)
    assert all(len(places) == 1 for places in home.values())
    kept = {case for number, case in enumerate(settled.usable["case"]) if number not in placed.quarantine}
    group_of = dict(settled.usable.select("case", "group").iter_rows())
    for pair in same:
        one, two = f"case-{pair.first}", f"case-{pair.second}"
        if one in kept and two in kept:
            assert group_of[one] == group_of[two]
