"""Rows that are the same by any chain of marks have one first row; leaks and repeats are judged by it."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hounsfield.cohort.alike.same import Same, exactly_the_same
from hounsfield.cohort.duplicates import settle
from hounsfield.core import Cohort
from hounsfield.core.cohort import SCHEMA, About
from hounsfield.errors import SplitError

MARKS = st.lists(st.tuples(st.sampled_from([None, *"abcde"]), st.sampled_from([None, *"vwxyz"])), max_size=12)


@given(MARKS)
def test_chains_of_marks(marks: list[tuple[str | None, str | None]]) -> None:
    files, pixels = [one for one, _ in marks], [one for _, one in marks]
    pairs = exactly_the_same(files, pixels)
    joined = [{row} for row in range(len(marks))]
    for column in (files, pixels):
        for mark in set(column) - {None}:
            rows = {row for row, one in enumerate(column) if one == mark}
            touched = [group for group in joined if group & rows]
            joined = [group for group in joined if not group & rows] + [set().union(*touched)]
    assert {(pair.first, pair.second) for pair in pairs} == {
        (min(group), row) for group in joined for row in group if row != min(group)
    }


def cohort(given: list[str | None], labels: list[str], patients: list[str] | None = None) -> Cohort:
    count = len(given)
    columns: dict[str, list[Any]] = {name: [None] * count for name in SCHEMA}
    columns |= {
        "case": [f"case-{row}" for row in range(count)], "patient": patients or [f"p{row}" for row in range(count)],
        "label": labels, "given": given, "split": ["train"] * count,
    }  # fmt: skip
    about = About(unit="image", labels=["no", "yes"], patients_from="test", leaks="unchecked")
    return Cohort(pl.DataFrame(columns, schema=SCHEMA), about)


def fates(settled: Cohort) -> list[str | None]:
    return [None if why is None else why.split(";")[0] for why in settled.table["quarantine"]]


def exact(*pairs: tuple[int, int]) -> list[Same]:
    return [Same(first, second, "exact", "the same file or object") for first, second in pairs]


LEAK = "the same image stands in the test part (a leak)"
TWO = "the same image stands here under two labels"


@pytest.mark.parametrize(
    ("given", "labels", "leaks", "wanted"),
    [
        ([None, None, None], ["no", "no", "no"], "drop", [None, "the same image, a second time", None]),
        ([None, None, None], ["no", "yes", "no"], "drop", [TWO, TWO, None]),
        (["train", "test", "train"], ["no", "no", "no"], "drop", [LEAK, None, None]),
        (["train", "test", "train"], ["no", "no", "no"], "allow", [None, None, None]),
        (["train", "test", "train"], ["no", "yes", "no"], "allow", [TWO, None, None]),
        (["test", "test", "train"], ["no", "yes", "no"], "drop", [None, None, None]),
        (["0", "1", "2"], ["no", "no", "no"], "drop", [None, "the same image stands in the fold 0 (a leak)", None]),
    ],
)  # fmt: skip
def test_what_becomes_of_the_same_picture(
    given: list[str | None], labels: list[str], leaks: str, wanted: list[str]
) -> None:
    settled = settle(cohort(given, labels), exact((0, 1)), given=given[0] is not None, leaks=leaks)  # type: ignore[arg-type]
    assert fates(settled) == wanted
    assert settled.about.leaks_allowed == (1 if leaks == "allow" and labels[1] == "no" else 0)
    assert settled.pairs.height == 1


def test_a_leak_that_is_refused_names_the_pair() -> None:
    with pytest.raises(SplitError, match=r"1 time.*case-0 in the train part and case-1 in the test part"):
        settle(cohort(["train", "test", "test"], ["no", "no", "yes"]), exact((0, 1)), given=True, leaks="refuse")


def test_what_is_like_a_picture_is_like_its_equal_in_another_part() -> None:
    """Row 0 repeats row 1 of the test part and goes; row 2 was found to be like row 0, and so is like row 1."""
    same = [*exact((0, 1)), Same(0, 2, "near", "re-saved")]
    settled = settle(
        cohort(["train", "test", "train", "test"], ["no", "no", "no", "yes"]), same, given=True, leaks="drop"
    )
    assert fates(settled) == [LEAK, None, "nearly the same image stands in the test part (a leak)", None]
    ours = settle(cohort([None] * 4, ["no", "no", "no", "yes"]), same, given=False, leaks="drop")
    assert ours.table["group"].to_list()[2] == "p0", "its equal was put aside, and it stays with the one that is kept"


def test_patients_are_joined_by_chains_of_pictures_that_both_keep() -> None:
    near = [Same(0, 1, "near", "re-saved"), Same(1, 2, "near", "re-saved"), Same(3, 4, "near", "re-saved")]
    settled = settle(cohort([None] * 6, ["no", "yes"] * 3), near, given=False, leaks="drop")
    groups = settled.table["group"].to_list()
    assert groups == ["p0", "p0", "p0", "p3", "p3", "p5"]
    assert settled.table["patient"].n_unique() == 6, "they stay patients of their own"
    parted = settle(
        cohort(["train", "test", "test", *["train"] * 3], ["no", "yes"] * 3), near, given=True, leaks="drop"
    )
    assert fates(parted)[0] == "nearly the same image stands in the test part (a leak)"
    assert parted.table["group"].to_list()[1:3] == ["p1", "p1"], "what is put aside joins nothing"
