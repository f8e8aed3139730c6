"""What the audit says of labels, leaks, patients and pairs: counted right, gravest first, nobody named."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from hounsfield.audit import checks
from hounsfield.audit.facts import facts_of
from hounsfield.core import Cohort
from hounsfield.core.cohort import PAIRS, QUARANTINE, SCHEMA, About

COUNT = 6


def cohort(
    aside: list[tuple[str, str, str]] | None = None, pairs: list[tuple[Any, ...]] | None = None, allowed: int = 0,
    patients_from: str = "PatientID", **columns: list[Any],
) -> Cohort:  # fmt: skip
    """Six cases; a keyword replaces a column, `aside` is (item, kind, reason)."""
    blank: dict[str, list[Any]] = {name: [None] * COUNT for name in SCHEMA}
    blank |= {
        "case": [f"case-{place}" for place in range(COUNT)], "patient": [f"patient-{place}" for place in range(COUNT)],
        "frames": [[1]] * COUNT, "label": ["no", "yes"] * 3, "split": ["train"] * COUNT,
    }  # fmt: skip
    blank |= columns
    blank["group"] = blank["patient"]
    about = About(
        unit="image", labels=["no", "yes"], positive="yes", patients_from=patients_from, leaks="allow" if allowed else "drop",
        leaks_allowed=allowed,
    )  # fmt: skip
    rows = [(item, kind, "scan", reason) for item, kind, reason in aside or []]
    return Cohort(
        pl.DataFrame(blank, schema=SCHEMA), about, pl.DataFrame(rows, schema=QUARANTINE, orient="row"),
        pl.DataFrame(pairs or [], schema=PAIRS, orient="row"),
    )  # fmt: skip


def test_labels_that_were_left_over_are_counted() -> None:
    row = "row {} of the label table"
    made = cohort(
        [
            ("case-0", "case", "two labels for one case: rows 2, 9 of the label table contradict each other"),
            (row.format(2), "label", "contradicts row 2"), (row.format(9), "label", "contradicts row 2"),
            (row.format(3), "label", "no image has this key"), (row.format(4), "label", "its image is in quarantine"),
            (row.format(5), "label", "repeats row 4"), (row.format(6), "label", "the row has no key"),
        ],
        quarantine=["two labels", "no label", "no label", "its label is uncertain", None, None],
        split=[None, None, None, None, "train", "train"],
    )  # fmt: skip
    told = {item.sentence: item for item in checks.label_items(made)}
    assert list(told) == [
        "1 case with two labels that contradict each other: put aside.",
        "2 row(s) of the label table have no usable image.",
        "1 row(s) of the label table name no image.",
        "2 cases without a label: put aside.",
        "1 case whose label is uncertain: put aside.",
        "1 row(s) of the label table repeat another one.",
    ]
    assert told["2 cases without a label: put aside."].cases == ["case-1", "case-2"]
    assert not checks.label_items(cohort())


def test_leaks() -> None:
    assert not checks.leak_items(cohort())
    (alarm,) = checks.leak_items(cohort(allowed=3))
    assert alarm.level == "alarm" and alarm.sentence.startswith("3 cases leak")
    reason = "nearly the same image stands in the test part (a leak); it is like case-5"
    (warning,) = checks.leak_items(cohort(quarantine=[reason, *[None] * 5], split=[None, *["train"] * 5]))
    assert (warning.level, warning.cases) == ("warning", ["case-0"])


def test_patients() -> None:
    assert not checks.patient_items(cohort())
    (unnamed,) = checks.patient_items(
        cohort(patients_from="the file: no patient is named, so each image counts as one")
    )
    assert "--patient-pattern" in unnamed.sentence
    (both,) = checks.patient_items(cohort(patient=["p", "p", "q", "r", "s", "t"]))
    assert both.sentence.startswith("1 patient(s) have cases under both labels") and both.cases == ["p"]
    (shared,) = checks.patient_items(
        cohort(study=["s", None, "s", "t", "u", "v"], series=["a", None, "a", "b", "c", "d"])
    )
    assert shared.sentence.startswith("1 studies have one UID under two patients")
    assert shared.cases == ["patient-0", "patient-2"]


def test_pairs_that_contradict_each_other_stand_first() -> None:
    made = cohort(
        pairs=[
            ("case-0", "case-2", "near", "mirrored left to right", 0.97, "both kept, never parted"),
            ("case-4", "case-5", "exact", "the same file or object", 1.0, "both put aside"),
        ],
        patient=["p", "a", "p", "b", "c", "d"],
    )
    pairs = checks.pairs_of(made)
    assert [(pair.first, pair.same_label, pair.same_patient) for pair in pairs] == [
        ("case-4", False, False), ("case-0", True, True),
    ]  # fmt: skip
    items = checks.duplicate_items(pairs, looked=True)
    assert [(item.level, item.sentence.split(":")[0].split(" of ")[0]) for item in items] == [
        ("warning", "1 pair"), ("warning", "1 pair"), ("note", "1 pair"), ("note", "1 pair"),
    ]  # fmt: skip
    assert "under two labels" in items[0].sentence and items[0].cases == ["case-4", "case-5"]
    assert checks.duplicate_items([], looked=True)[0].sentence.startswith("No picture stands there twice")
    assert checks.duplicate_items([], looked=False)[0].level == "warning"


@pytest.mark.parametrize("column", ["modality", "body_part"])
def test_a_mixed_cohort_is_told(column: str) -> None:
    (item,) = checks.image_items(cohort(**{column: ["CT", "CT", "MR", None, "CT", "CT"]}))
    assert "CT 4, MR 1" in item.sentence


def test_facts_of_the_table_and_of_artefacts() -> None:
    box = {"file": 0, "frame": 0, "top": 0.0, "left": 0.8, "bottom": 0.1, "right": 1.0, "score": 0.9}
    facts, families = facts_of(
        cohort(
            artefacts=[[{"kind": "text", **box}], [], [], None, [], [{"kind": "line", **box}]], age=[61.0, None, *[50.0] * 4],
            age_band=["60–74", "child", *["40–59"] * 4], rows=[10, 20, 30, 40, 50, 60],
        ),
        None,
    )  # fmt: skip
    assert facts.height == COUNT
    assert facts["text"].to_list() == [True, False, False, None, False, False]
    assert facts["text place"].to_list() == ["top right", *[None] * 5]
    assert facts["text area"][0] == pytest.approx(0.02)
    assert facts["age band"].to_list() == [None, "child", *[None] * 4], "where the age itself is known it says no more"
    assert facts["rows"].dtype == pl.Float64 and families["rows"] == "picture"
    assert (families["age"], families["line"], families["scanner"]) == ("patient", "burned in", "scanner and protocol")
