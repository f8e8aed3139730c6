"""Rows and logits become Predictions: one label per case, or the state of each of several."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import polars as pl
import pytest

from hounsfield.core import Calibration, Plan, Predictions
from hounsfield.core.calibration import OperatingPoint
from hounsfield.core.cohort import SCHEMA
from hounsfield.predict import tabulate

LOGITS = np.array([[0.0, 4.0], [2.0, -1.0], [-3.0, 0.5]])


def plan(task: str, labels: list[str]) -> Plan:
    """What `tabulate` asks of a plan."""
    values = {"task": task, "labels": labels, "positive": labels[1] if task == "binary" else None}
    return cast(Plan, SimpleNamespace(
        **{name: SimpleNamespace(value=value) for name, value in values.items()},
        outputs=labels[1:] if task == "binary" else labels,
    ))  # fmt: skip


def rows(**columns: list[Any]) -> pl.DataFrame:
    blank: dict[str, list[Any]] = {name: [None] * 3 for name in SCHEMA} | {
        "case": ["x", "y", "z"],
        "split": ["test"] * 3,
    }
    return pl.DataFrame(blank | columns, schema=SCHEMA)


def calibration(**values: Any) -> Calibration:
    return Calibration(**({"temperature": 1.0, "offsets": [0.0, 0.0], "fitted_on": "c", "cases": 9} | values))


def test_states_and_decisions_of_several_labels() -> None:
    known = rows(states=[[1, 0], [-1, None], None])
    one = calibration(temperatures=[1.0, 2.0], offsets=[0.5, 0.0], thresholds=[0.7, 0.6], operating_point="youden")
    made = tabulate(known, LOGITS, plan("multilabel", ["a", "b"]), one, "abc", "test")
    np.testing.assert_allclose(made.probabilities, 1 / (1 + np.exp(-(LOGITS / [1, 2] + [0.5, 0]))))
    assert made.truth_states.tolist() == [[1, 0], [-1, -1], [-1, -1]]
    assert made.decision_states.tolist() == [[0, 1], [1, 0], [0, 0]]
    assert made.task.multi_label and made.task.thresholds == [0.7, 0.6] and made.task.operating_point == "youden"
    assert made.table.schema["truth:a"] == made.table.schema["decision:b"] == pl.Int8()
    np.testing.assert_array_equal(made.logits, LOGITS)


def test_a_calibration_of_its_own_for_each_row() -> None:
    each = [calibration(thresholds=[cut, cut]) for cut in (0.4, 0.95, 0.04)]
    made = tabulate(rows(states=[[1, 1]] * 3), LOGITS, plan("multilabel", ["a", "b"]), each, "abc", "folds")
    assert made.decision_states.tolist() == [[1, 1], [0, 0], [1, 1]]


def test_every_rule_calls_each_case_and_folds_have_thresholds_of_their_own() -> None:
    def at(*cuts: float) -> Calibration:
        points = [
            OperatingPoint(rule=rule, threshold=cut) for rule, cut in zip(("youden", "cost=5"), cuts, strict=False)
        ]
        return calibration(offsets=[0.0], threshold=cuts[0], operating_point="youden", points=points)

    known, logits = rows(label=["a", "b", "a"]), LOGITS[:, :1]
    one = tabulate(known, logits, plan("binary", ["a", "b"]), at(0.5, 0.1), "abc", "test")
    values = one.probabilities[:, 0]
    assert one.task.points == {"youden": 0.5, "cost=5": 0.1}
    assert one.table["called:cost=5"].to_list() == (values >= 0.1).tolist()
    each = [at(0.5, 0.1), at(0.4, 0.1), at(0.3)]
    folds = tabulate(known, logits, plan("binary", ["a", "b"]), each, "abc", "folds")
    assert folds.task.points == {"youden": None, "cost=5": None}
    assert folds.table["called:youden"].to_list() == (values >= [0.5, 0.4, 0.3]).tolist()
    assert folds.table["called:cost=5"][2] is None


def test_sets_hold_the_labels_that_cannot_be_ruled_out(tmp_path: Path) -> None:
    one = calibration(offsets=[0.0], floors={"a": 0.3, "b": 0.6}, coverage=0.8)
    made = tabulate(rows(label=["a", "b", "a"]), LOGITS[:, :1], plan("binary", ["a", "b"]), one, "abc", "test")
    values = made.probabilities[:, 0]
    expected = [[name for name, held in (("a", 1 - p >= 0.3), ("b", p >= 0.6)) if held] for p in values]
    assert made.table["set"].to_list() == expected and made.task.coverage == 0.8
    made.save(tmp_path / "p.parquet")
    assert Predictions.load(tmp_path / "p.parquet").table["set"].to_list() == expected
    made.write_csv(tmp_path / "p.csv")
    assert pl.read_csv(tmp_path / "p.csv")["set"].fill_null("").to_list() == ["|".join(names) for names in expected]


def test_sets_of_findings_tell_presence_and_absence_apart(tmp_path: Path) -> None:
    one = calibration(floors={"a": 0.3, "b": 0.9}, absent_floors={"a": 0.6, "b": 0.2}, coverage=0.8)
    made = tabulate(rows(states=[[1, 0]] * 3), LOGITS, plan("multilabel", ["a", "b"]), one, "abc", "test")
    values = made.probabilities
    for name, held in (("set", values >= [0.3, 0.9]), ("set_absent", 1 - values >= [0.6, 0.2])):
        assert made.table[name].to_list() == [
            [x for x, inside in zip("ab", row, strict=True) if inside] for row in held
        ]
    made.save(tmp_path / "p.parquet")
    assert Predictions.load(tmp_path / "p.parquet").task.coverage == 0.8
    old = tabulate(rows(states=[[1, 0]] * 3), LOGITS, plan("multilabel", ["a", "b"]), calibration(), "abc", "test")
    assert "set" not in old.table.columns and old.task.coverage is None  # a bundle from before there were sets


def test_two_exclusive_classes_and_two_labels_differ() -> None:
    several = tabulate(rows(), LOGITS, plan("multilabel", ["a", "b"]), calibration(), "abc", "test")
    classes = tabulate(
        rows(label=["a", "b", None]), LOGITS, plan("multiclass", ["a", "b"]), calibration(), "abc", "test"
    )
    np.testing.assert_allclose(classes.probabilities.sum(axis=1), 1)
    assert not np.allclose(several.probabilities, classes.probabilities)
    assert classes.table["decision"].to_list() == ["b", "a", "b"] and "truth:a" not in classes.table.columns
    assert several.table["truth"].null_count() == several.table["decision"].null_count() == 3


def test_one_label_of_which_a_case_may_have_it_or_not_is_no_binary_task() -> None:
    one = calibration(offsets=[0.0], thresholds=[0.6])
    made = tabulate(rows(states=[[1], [0], [None]]), LOGITS[:, :1], plan("multilabel", ["a"]), one, "abc", "test")
    assert made.decision_states[:, 0].tolist() == [0, 1, 0] and made.truth_states[:, 0].tolist() == [1, 0, -1]


def test_states_of_other_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        tabulate(rows(states=[[1, 0, 1]] * 3), LOGITS, plan("multilabel", ["a", "b"]), calibration(), "abc", "test")
