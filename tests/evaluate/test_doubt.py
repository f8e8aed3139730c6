"""Sets and confidence on cases with a known truth."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from hounsfield.core import Predictions
from hounsfield.core.predictions import FIXED, Task
from hounsfield.errors import PredictionsError
from hounsfield.evaluate import Evaluation, evaluate

from .test_evaluate import made, simulated


def with_sets(predictions: Predictions, low: float, high: float) -> Predictions:
    """ "yes" is held from `low`, "no" up to `high`."""
    values = predictions.probabilities[:, 0]
    held = [[label for label, inside in (("no", value <= high), ("yes", value >= low)) if inside] for value in values]
    table = predictions.table.with_columns(pl.Series("set", held, pl.List(pl.String)))
    return Predictions(table, predictions.task.model_copy(update={"coverage": 0.9}))


def test_coverage_is_counted_for_all_and_for_each_label() -> None:
    truth, probability = simulated(200)
    found = evaluate(with_sets(made(truth, probability), 0.3, 0.6), resamples=50).doubt
    assert found is not None and found.target == 0.9
    held = np.where(truth == 1, probability >= 0.3, probability <= 0.6)
    assert found.coverage[""].value == pytest.approx(held.mean())
    assert found.coverage["yes"].value == pytest.approx(held[truth == 1].mean())
    assert found.coverage["no"].n == int((truth == 0).sum()) and found.coverage[""].low < held.mean()
    both = ((probability >= 0.3) & (probability <= 0.6)).mean()
    assert (
        found.sizes["2"] == pytest.approx(both)
        and "0" not in found.sizes
        and sum(found.sizes.values()) == pytest.approx(1)
    )


def test_sets_that_hold_nothing_are_counted() -> None:
    truth, probability = simulated(200)
    found = evaluate(with_sets(made(truth, probability), 0.7, 0.2), resamples=50).doubt
    assert found is not None and found.sizes["0"] == pytest.approx(((probability < 0.7) & (probability > 0.2)).mean())


def test_the_surer_the_cases_the_more_are_right_and_a_file_keeps_it() -> None:
    evaluation = evaluate(made(*simulated(400)), resamples=50)
    found = evaluation.doubt
    assert found is not None and found.target is None and found.coverage == {}
    shares, right = zip(*found.rejection, strict=True)
    assert shares[0] == 1.0 and right[0] == pytest.approx(evaluation.estimates["accuracy"].value)
    assert np.mean(right[-5:]) > right[0] and list(shares) == sorted(shares, reverse=True)
    assert Evaluation.from_dict(evaluation.to_dict()).doubt == found


def test_sets_without_a_column_are_refused() -> None:
    table = made(*simulated(20))
    with pytest.raises(PredictionsError, match="set"):
        Predictions(table.table, table.task.model_copy(update={"coverage": 0.9}))


def test_sets_that_do_not_keep_their_promise_are_warned_of() -> None:
    truth, probability = simulated(400)
    kept = evaluate(with_sets(made(truth, probability), 0.2, 0.8), resamples=50).warnings
    broken = evaluate(with_sets(made(truth, probability), 0.2, 0.3), resamples=50).warnings
    assert not any("Sets of labels" in text for text in kept)
    assert any("less often (no: " in text and "yes" not in text.split("less often")[1] for text in broken)


def test_several_labels_count_each_known_state() -> None:
    generator = np.random.default_rng(2)
    labels, cases = ["effusion", "nodule"], 300
    truth = (generator.random((cases, 2)) < 0.4).astype(int)
    values = 1 / (1 + np.exp(-(generator.normal(size=(cases, 2)) + 2 * truth - 1)))
    states = np.where(generator.random((cases, 2)) < 0.1, -1, truth)
    columns: dict[str, object] = {name: [None] * cases for name in FIXED}
    columns |= {"case": [f"c{row}" for row in range(cases)], "patient": [f"p{row // 2}" for row in range(cases)]}
    table = pl.DataFrame(columns, schema=FIXED)
    for place, label in enumerate(labels):
        known = [None if state < 0 else int(state) for state in states[:, place]]
        table = table.with_columns(
            pl.Series(f"truth:{label}", known, pl.Int8), pl.Series(f"decision:{label}", values[:, place] >= 0.5).cast(pl.Int8),
            pl.Series(f"logit:{label}", values[:, place]), pl.Series(f"probability:{label}", values[:, place]),
        )  # fmt: skip
    may = {"set": values >= 0.3, "set_absent": values <= 0.6}
    for name, inside in may.items():
        held = [[label for label, is_in in zip(labels, row, strict=True) if is_in] for row in inside]
        table = table.with_columns(pl.Series(name, held, pl.List(pl.String)))
    task = Task(labels=labels, positive=None, multi_label=True, thresholds=[0.5, 0.5], coverage=0.9, bundle="b")
    with pytest.raises(PredictionsError, match="set_absent"):
        Predictions(table.drop("set_absent"), task)
    evaluation = evaluate(Predictions(table, task), resamples=50)
    found, known = evaluation.doubt, states >= 0
    assert found is not None and set(found.coverage) == {"", "effusion", "no effusion", "nodule", "no nodule"}
    held = np.where(truth == 1, may["set"], may["set_absent"])
    assert found.coverage[""].value == pytest.approx(held[known].mean()) and found.coverage[""].n == known.sum()
    rows = known[:, 1] & (truth[:, 1] == 0)
    assert found.coverage["no nodule"].value == pytest.approx(held[rows, 1].mean())
    assert found.sizes["2"] == pytest.approx((may["set"] & may["set_absent"])[known].mean())
    right = ((values >= 0.5) == truth)[known]
    assert found.rejection[0] == (1.0, pytest.approx(right.mean())) and found.rejection[-1][1] > right.mean()
    assert Evaluation.from_dict(evaluation.to_dict()).doubt == found
