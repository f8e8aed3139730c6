"""Several labels per case, uncertain and unknown ones, and tables that repeat or contradict themselves: counted and listed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hounsfield.cohort import Labelling, Looking, Splitting, scan
from hounsfield.core import Cohort
from hounsfield.errors import LabelError

Write = Callable[..., Path]
COUNT = 24
UNSEEN = Looking(pixels=False)


@pytest.fixture
def pictures(tmp_path: Path, png: Write) -> Path:
    for number in range(COUNT):
        png(tmp_path / "images" / f"im{number:03d}.png", number)
    return tmp_path / "images"


def scanned(images: Path, labels: Path, *names: str, split: str = "patient", **how: Any) -> Cohort:
    return scan(images, Labelling(labels, label=names, **how), splitting=Splitting(split, 3), looking=UNSEEN, workers=0)


def states(cohort: Cohort) -> dict[str, list[int | None]]:
    joined = cohort.usable.join(cohort.crosswalk.drop_nulls("case"), on="case")
    return {Path(path).stem: found for path, found in joined.select("path", "states").iter_rows()}


def rows(*cells: str) -> list[str]:
    """Rows of im000… with cells in turn."""
    return [f"im{number:03d},{cells[number % len(cells)]}" for number in range(COUNT)]


def test_states_of_several_labels(pictures: Path, table: Write) -> None:
    labels = table("name,Edema,Effusion,age", *rows("1.0,0,50", "0.0,yes,50", "-1.0,no,50", ",1,50", "0,Absent,50"))
    cohort = scanned(pictures, labels, "Edema", "Effusion")
    about = cohort.about
    assert (about.labels, about.multi_label, about.positive) == (["Edema", "Effusion"], True, None)
    assert about.label_column == "Edema, Effusion"
    told = states(cohort)
    assert [told[f"im00{number}"] for number in range(5)] == [[1, 0], [0, 1], [-1, 0], [None, 1], [0, 0]]
    assert cohort.usable["label"].null_count() == COUNT
    text = " ".join(about.notes)
    assert "Edema 5 present, 9 absent, 5 uncertain, 5 not known" in text
    assert "5 uncertain labels are not used" in text
    assert "3 folds by patient" in about.split_sentence
    for fold in range(3):
        inside = cohort.usable.filter(pl.col("folds").list.first() == fold)["states"].to_list()
        for place in (0, 1):
            assert {1, 0} <= {row[place] for row in inside}


@pytest.mark.parametrize(("policy", "state"), [("present", 1), ("absent", 0), ("unknown", -1)])
def test_policies_for_uncertain_states(pictures: Path, table: Write, policy: str, state: int) -> None:
    labels = table("name,a,b", *rows("1,0", "0,1", "-1,1", "uncertain,0"))
    cohort = scanned(pictures, labels, "a", "b", uncertain=policy)
    assert [states(cohort)[f"im00{number}"][0] for number in (2, 3)] == [state, state]


def test_what_an_empty_cell_means(pictures: Path, table: Write) -> None:
    labels = table("name,a,b", *rows("1,", ",1", ",", "0,0"))
    unknown = scanned(pictures, labels, "a", "b")
    assert unknown.usable.height == 18, "a case of which nothing is known is no case"
    assert set(unknown.table["quarantine"].drop_nulls()) == {"no label"}
    absent = scanned(pictures, labels, "a", "b", blank="absent")
    assert absent.usable.height == COUNT
    assert states(absent)["im002"] == [0, 0]
    assert "30 empty cells count as absent" not in " ".join(absent.about.notes)
    assert "24 empty cells count as absent" in " ".join(absent.about.notes)


def test_labels_that_are_listed_in_one_cell(pictures: Path, table: Write) -> None:
    labels = table("name,Finding Labels", *rows("Edema|Effusion", "No Finding", "Effusion", "Edema", ""))
    cohort = scanned(pictures, labels, "Finding Labels")
    assert cohort.about.labels == ["Edema", "Effusion"]
    told = states(cohort)
    assert [told[f"im00{number}"] for number in range(4)] == [[1, 1], [0, 0], [0, 1], [1, 0]]
    assert "im004" not in told
    assert "parted by |" in " ".join(cohort.about.notes)


def test_labels_with_commas_can_be_named_together(pictures: Path, table: Write) -> None:
    labels = table("name,a,b", *rows("1,0", "0,1"))
    assert scanned(pictures, labels, "a,b").about.labels == ["a", "b"]


@pytest.mark.parametrize(
    ("cells", "how", "words"),
    [
        (("1,0", "0,maybe"), {}, "row 3 of column 'b' holds neither present nor absent"),
        (("1,1", "0,1"), {}, "'b' is absent in none of 24"),
        (("1,", "0,"), {}, "'b' is present in none of 24"),
        (("1,0", "0,1"), {"positive": "a"}, "none is \\*the\\* positive one"),
        (("1,0", "0,1"), {"uncertain": "class"}, "only where a case has one label"),
    ],
)
def test_tables_of_several_labels_that_do_not_fit(
    pictures: Path, table: Write, cells: tuple[str, ...], how: dict[str, Any], words: str
) -> None:
    with pytest.raises(LabelError, match=words):
        scanned(pictures, table("name,a,b", *rows(*cells)), "a", "b", **how)


@pytest.mark.parametrize(
    ("policy", "usable", "labels", "positive"),
    [
        ("unknown", 16, {"0": 8, "1": 8}, "1"),
        ("present", 24, {"0": 8, "1": 16}, "1"),
        ("absent", 24, {"0": 16, "1": 8}, "1"),
        ("class", 24, {"-1": 8, "0": 8, "1": 8}, None),
    ],
)
def test_uncertain_ones_of_two_classes(
    pictures: Path, table: Write, policy: str, usable: int, labels: dict[str, int], positive: str | None
) -> None:
    cohort = scanned(pictures, table("name,label", *rows("1", "0", "-1")), uncertain=policy)
    assert cohort.usable.height == usable
    assert dict(cohort.usable.group_by("label").len().iter_rows()) == labels
    assert cohort.about.positive == positive
    aside = set(cohort.table["quarantine"].drop_nulls())
    assert aside == ({"its label is uncertain"} if policy == "unknown" else set())


def test_minus_one_beside_one_is_no_uncertain_label(pictures: Path, table: Write) -> None:
    cohort = scanned(pictures, table("name,label", *rows("1", "-1")))
    assert cohort.about.labels == ["-1", "1"]
    assert cohort.usable.height == COUNT


def test_tables_of_other_kinds(pictures: Path, tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "name": [f"im{number:03d}" for number in range(COUNT)],
            "label": [[1.0, 0.0, None][number % 3] for number in range(COUNT)],
            "sick": [number % 2 == 0 for number in range(COUNT)],
        }
    )
    frame.write_parquet(tmp_path / "labels.parquet")
    frame.write_csv(tmp_path / "labels.tsv", separator="\t")
    for name, labels in (("labels.parquet", ["0", "1"]), ("labels.tsv", ["0.0", "1.0"])):
        cohort = scanned(pictures, tmp_path / name, "label")
        assert (cohort.about.labels, cohort.usable.height) == (labels, 16)
        assert scanned(pictures, tmp_path / name, "sick").about.labels == ["false", "true"]
    frame.with_columns(deep=pl.Series([[1]] * COUNT)).write_parquet(tmp_path / "deep.parquet")
    with pytest.raises(LabelError, match="'deep' holds lists"):
        scanned(pictures, tmp_path / "deep.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and nothing")
    with pytest.raises(LabelError, match="cannot be read"):
        scanned(pictures, tmp_path / "broken.parquet")


CELLS = st.sampled_from(["yes", "no", "", "-1", "uncertain"])
KEYS = st.one_of(st.integers(0, COUNT - 1).map(lambda number: f"im{number:03d}"), st.sampled_from(["", "im900", "x"]))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(KEYS, CELLS), max_size=30))
def test_joins_lose_no_row(pictures: Path, table: Write, more: list[tuple[str, str]]) -> None:
    """Every row of the table is used by a case, or listed; every image is a case."""
    sure = [f"im{number:03d},{('no', 'yes')[number % 2]}" for number in range(COUNT)]
    labels = table("name,label", *sure, *[f"{key},{cell}" for key, cell in more])
    try:
        cohort = scanned(pictures, labels, "label")
    except LabelError as error:
        if "keys have two labels" not in error.what:
            raise
        return
    assert cohort.table.height == COUNT
    listed = cohort.quarantine.filter(pl.col("kind") == "label")["item"].to_list()
    assert len(set(listed)) == len(listed)
    numbers = {int(item.split()[1]) for item in listed}
    reasons = [why for why in cohort.table["quarantine"].drop_nulls() if "contradict" in why]
    contradicted = {int(row) for why in reasons for row in re.findall(r"\d+", why)}
    assert contradicted <= numbers
    # A row that is not listed is the one row of its key, and its case has just that label.
    told = {key: cell for key, cell in (line.split(",") for line in sure)}
    by_row = dict(enumerate([*told.items(), *more], start=2))
    joined = cohort.table.join(cohort.crosswalk.drop_nulls("case"), on="case")
    label_of = {Path(path).stem: label for path, label in joined.select("path", "label").iter_rows()}
    used = [by_row[row] for row in by_row if row not in numbers]
    assert len(used) == len({key for key, _ in used})
    assert all(label_of[key] == cell for key, cell in used)
    assert len(used) + len(numbers) == len(by_row)
