"""Which cases are explained, and for which label."""

from __future__ import annotations

import polars as pl
import pytest

from hounsfield.core import Predictions
from hounsfield.core.predictions import FIXED, Task
from hounsfield.errors import UsageError
from hounsfield.explain import choices_of, most_confident, panel_facts

# case: (truth, probability) of a and of b; called from 0.5 on
SEVERAL = {
    "v": ((1, 0.9), (0, 0.1)),  # a is right
    "w": ((1, 0.8), (1, 0.95)),  # both are right, b the more confident
    "x": ((0, 0.99), (0, 0.2)),  # a is a false alarm
    "y": ((0, 0.3), (1, 0.05)),  # b was missed
    "z": ((None, 0.97), (0, 0.01)),  # nobody knows whether a is there
}


def several() -> Predictions:
    fixed: dict[str, list[object]] = {name: [None] * len(SEVERAL) for name in FIXED} | {"case": list(SEVERAL)}
    table = pl.DataFrame(fixed, schema=FIXED)
    for place, label in enumerate("ab"):
        truth, values = zip(*(cells[place] for cells in SEVERAL.values()), strict=True)
        table = table.with_columns(
            pl.Series(f"truth:{label}", truth, pl.Int8), pl.Series(f"logit:{label}", values),
            pl.Series(f"probability:{label}", values),
            pl.Series(f"decision:{label}", [int(value >= 0.5) for value in values], pl.Int8),
        )  # fmt: skip
    return Predictions(table, Task(labels=["a", "b"], positive=None, multi_label=True, bundle="abc"))


def binary() -> Predictions:
    fixed: dict[str, list[object]] = {name: [None] * 4 for name in FIXED} | {"case": list("wxyz")}
    fixed |= {"truth": ["no", "yes", "no", None], "decision": ["no", "yes", "yes", "yes"]}
    values = pl.Series([0.1, 0.8, 0.7, 0.9])
    table = pl.DataFrame(fixed, schema=FIXED).with_columns(values.alias("logit:yes"), values.alias("probability:yes"))
    return Predictions(table, Task(labels=["no", "yes"], positive="yes", bundle="abc"))


def test_right_and_wrong_are_of_one_label_in_one_case() -> None:
    chosen = most_confident(several())
    told = [(one.case, one.target, one.kind, one.truth, one.decision, one.probability) for one in chosen]
    assert told == [
        ("w", "b", "right", "present", "present", 0.95),
        ("v", "a", "right", "present", "present", 0.9),
        ("x", "a", "wrong", "absent", "present", 0.99),
        ("y", "b", "wrong", "present", "absent", 0.95),
    ]
    facts = panel_facts(several(), chosen)
    assert facts[2] == {
        "kind": "wrong", "part": "test", "truth": "absent", "decision": "present", "probability": 0.99,
    }  # fmt: skip


def test_chosen_cases_take_the_decided_label_or_the_one_that_is_asked_for() -> None:
    chosen = choices_of(several(), {"w": None, "y": None, "v": "b", "z": None})
    assert [(one.case, one.target, one.kind) for one in chosen] == [
        ("w", "b", "right"),
        ("y", "a", "right"),  # none is called present, and a is the most probable
        ("v", "b", "right"),
        ("z", "a", "not known"),
    ]
    with pytest.raises(UsageError, match="no prediction"):
        choices_of(several(), {"elsewhere": None})
    with pytest.raises(UsageError, match="no label"):
        choices_of(several(), {"w": "c"})


def test_one_label_per_case() -> None:
    assert [(one.case, one.target, one.kind) for one in most_confident(binary())] == [
        ("x", "yes", "right"),
        ("w", "no", "right"),
        ("y", "yes", "wrong"),
    ]
    chosen = choices_of(binary(), {"z": None, "w": "yes"})
    assert [(one.target, one.kind, one.decision) for one in chosen] == [
        ("yes", "not known", "yes"),
        ("yes", "right", "no"),
    ]
