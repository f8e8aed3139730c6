"""Predictions come back from their file; a table that is none is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from hounsfield.core import Predictions
from hounsfield.core.predictions import FIXED, Task
from hounsfield.errors import PredictionsError

BINARY = Task(labels=["no", "yes"], positive="yes", threshold=0.4, operating_point="youden", bundle="ab" * 32)
MANY = Task(labels=["a", "b", "c"], positive=None, bundle="cd" * 32, name="external-B")


def table(task: Task, **columns: list[object]) -> pl.DataFrame:
    blank: dict[str, list[object]] = {name: [None] * 3 for name in FIXED}
    blank |= {"case": ["x", "y", "z"], "patient": ["p", "q", "q"], "truth": [task.labels[0], None, task.labels[-1]]}
    blank |= {"decision": [task.labels[-1]] * 3}
    frame = pl.DataFrame(blank, schema=FIXED)
    values = {f"{kind}:{name}": [0.1, 0.25, 1.0] for name in task.outputs for kind in ("logit", "probability")}
    return frame.with_columns(**{name: pl.Series(name, column) for name, column in (values | columns).items()})


@pytest.mark.parametrize("task", [BINARY, MANY], ids=["binary", "many"])
def test_come_back_from_their_file(task: Task, tmp_path: Path) -> None:
    made = Predictions(table(task), task)
    made.save(tmp_path / "deep" / "test.parquet")
    again = Predictions.load(tmp_path / "deep" / "test.parquet")
    assert again.table.equals(made.table)
    assert again.table.schema == made.table.schema
    assert (again.task, again.digest) == (made.task, made.digest)


def test_arrays() -> None:
    made = Predictions(table(BINARY), BINARY)
    assert made.truth.tolist() == [0, -1, 1]
    assert made.decisions.tolist() == [1, 1, 1]
    assert made.logits.shape == made.probabilities.shape == (3, 1)
    assert made.patients.tolist() == ["p", "q", "q"]
    assert Predictions(table(MANY), MANY).probabilities.shape == (3, 3)


def test_the_digest_follows_values_and_task() -> None:
    made = Predictions(table(BINARY), BINARY)
    other = table(BINARY, **{"logit:yes": [0.1, 0.25, 0.9]})
    assert Predictions(other, BINARY).digest != made.digest
    assert Predictions(table(BINARY), BINARY.model_copy(update={"threshold": 0.5})).digest != made.digest


@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan"), float("inf"), None])
def test_probabilities_that_are_none(value: float | None) -> None:
    with pytest.raises(PredictionsError, match="between 0 and 1"):
        Predictions(table(BINARY, **{"probability:yes": [0.1, value, 0.5]}), BINARY)


@pytest.mark.parametrize("column", [*FIXED, "logit:yes", "probability:yes"])
def test_every_column_is_needed(column: str) -> None:
    with pytest.raises(PredictionsError, match=column):
        Predictions(table(BINARY).drop(column), BINARY)


@pytest.mark.parametrize("column", ["truth", "decision"])
def test_labels_that_the_model_does_not_know(column: str) -> None:
    with pytest.raises(PredictionsError, match=r"perhaps"):
        Predictions(table(BINARY, **{column: ["no", "perhaps", "yes"]}), BINARY)


def test_no_cases_are_predictions_too() -> None:
    assert Predictions(table(BINARY).clear(), BINARY).logits.shape == (0, 1)


def test_files_that_hold_none(tmp_path: Path) -> None:
    path = tmp_path / "test.parquet"
    with pytest.raises(PredictionsError, match="no predictions here"):
        Predictions.load(path)
    for content in (b"", b"case,truth\n1,2\n"):
        path.write_bytes(content)
        with pytest.raises(PredictionsError, match="not a table of predictions"):
            Predictions.load(path)
    table(BINARY).write_parquet(path)  # the columns, but not what they mean
    with pytest.raises(PredictionsError, match="not a table of predictions"):
        Predictions.load(path)
    arrow = table(BINARY).to_arrow().replace_schema_metadata({"hounsfield": '{"labels": 3}'})
    pq.write_table(arrow, path)
    with pytest.raises(PredictionsError, match="not a table of predictions"):
        Predictions.load(path)


def test_numbers_keep_every_bit(tmp_path: Path) -> None:
    values = [float(np.nextafter(0.1, 1)), 1e-300, 1.0]
    made = Predictions(table(BINARY, **{"probability:yes": values, "logit:yes": [-700.0, 1e-17, 3.0]}), BINARY)
    made.save(tmp_path / "a.parquet")
    assert Predictions.load(tmp_path / "a.parquet").probabilities[:, 0].tolist() == values


SEVERAL = Task(labels=["a", "b"], positive=None, multi_label=True, thresholds=[0.3, 0.6], bundle="ef" * 32)


def states(**columns: list[object]) -> pl.DataFrame:
    none = dict.fromkeys(("truth", "decision"), [None] * 3)
    frame = table(SEVERAL).with_columns(**{name: pl.Series(name, values, pl.String) for name, values in none.items()})
    cells: dict[str, list[object]] = {"truth:a": [1, 0, None], "truth:b": [None, 1, None]}
    cells |= {"decision:a": [1, 1, 0], "decision:b": [0, 1, None]} | columns
    return frame.with_columns(**{name: pl.Series(name, column, pl.Int8) for name, column in cells.items()})


def test_several_labels_come_back_and_are_arrays_of_states(tmp_path: Path) -> None:
    made = Predictions(states(), SEVERAL)
    assert made.truth_states.tolist() == [[1, -1], [0, 1], [-1, -1]]
    assert made.decision_states.tolist() == [[1, 0], [1, 1], [0, -1]]
    assert made.known.tolist() == [True, True, False]
    assert made.probabilities.shape == (3, 2)
    made.save(tmp_path / "a.parquet")
    again = Predictions.load(tmp_path / "a.parquet")
    assert again.table.equals(made.table) and (again.task, again.digest) == (made.task, made.digest)
    assert Predictions(states(**{"truth:b": [0, 1, None]}), SEVERAL).digest != made.digest
    assert Predictions(states().clear(), SEVERAL).truth_states.shape == (0, 2)


def test_one_label_and_several_are_not_mixed_up() -> None:
    made = Predictions(states(), SEVERAL)
    for name in ("truth", "decisions"):
        with pytest.raises(PredictionsError, match="several labels"):
            getattr(made, name)
    for name in ("truth_states", "decision_states"):
        with pytest.raises(PredictionsError, match="one label"):
            getattr(Predictions(table(BINARY), BINARY), name)
    with pytest.raises(PredictionsError, match="holds one"):
        Predictions(states().with_columns(truth=pl.Series(["a", None, None])), SEVERAL)


@pytest.mark.parametrize("column", ["truth:a", "decision:b", "logit:a", "probability:b"])
def test_every_column_of_several_labels_is_needed(column: str) -> None:
    with pytest.raises(PredictionsError, match=column):
        Predictions(states().drop(column), SEVERAL)


@pytest.mark.parametrize("value", [-1, 2])
@pytest.mark.parametrize("column", ["truth:a", "decision:b"])
def test_states_are_present_or_absent_or_nothing(column: str, value: int) -> None:
    with pytest.raises(PredictionsError, match=column):
        Predictions(states(**{column: [1, value, None]}), SEVERAL)
    with pytest.raises(PredictionsError, match=column):
        Predictions(states().with_columns(pl.Series(column, [0.0, 0.5, 1.0])), SEVERAL)


@pytest.mark.parametrize(
    "change",
    [{"positive": "b"}, {"threshold": 0.5}, {"thresholds": [0.5]}, {"multi_label": False}],
)
def test_a_task_of_several_labels_that_contradicts_itself(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="several labels"):
        Task.model_validate(SEVERAL.model_dump() | change)
