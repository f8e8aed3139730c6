"""Operating points that were fixed before: what they give here, and what that means elsewhere."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from hounsfield.core import Predictions
from hounsfield.errors import PredictionsError, UsageError
from hounsfield.evaluate import Evaluation, by_patient, evaluate
from hounsfield.evaluate.operating import at_prevalence

from .test_evaluate import made, simulated


def with_points(predictions: Predictions, **cuts: float) -> Predictions:
    values = predictions.probabilities[:, 0]
    table = predictions.table.with_columns(pl.Series(f"called:{rule}", values >= cut) for rule, cut in cuts.items())
    return Predictions(table, predictions.task.model_copy(update={"points": cuts}))


def test_each_rule_is_judged_by_its_own_calls() -> None:
    truth, probability = simulated(300)
    found = evaluate(with_points(made(truth, probability), low=0.2, high=0.8), resamples=200)
    assert [point.rule for point in found.points] == ["low", "high"]
    for point, cut in zip(found.points, (0.2, 0.8), strict=True):
        called = probability >= cut
        assert point.threshold == cut
        assert point.estimates["sensitivity"].value == pytest.approx(called[truth == 1].mean())
        assert point.estimates["ppv"].value == pytest.approx(truth[called].mean())


def test_at_the_prevalence_of_the_cases_bayes_gives_what_was_counted() -> None:
    truth, probability = simulated(300)
    found = evaluate(with_points(made(truth, probability), rule=0.5), resamples=200).points[0]
    here = found.at[0]
    called = probability >= 0.5
    assert here.ppv.value == pytest.approx(truth[called].mean()) and here.npv.value == pytest.approx(
        1 - truth[~called].mean()
    )
    assert here.found == pytest.approx(1000 * (truth * called).mean()) and here.missed == pytest.approx(
        1000 * (truth * ~called).mean()
    )
    assert here.found + here.missed + here.alarms + here.cleared == pytest.approx(1000)
    assert here.ppv.low < here.ppv.value < here.ppv.high


def test_where_the_disease_is_rarer_alarms_are_less_often_right() -> None:
    truth, probability = simulated(300)
    found = evaluate(with_points(made(truth, probability), rule=0.5), resamples=200, prevalences=[0.02]).points[0]
    here, rare = found.at
    assert rare.prevalence == 0.02 and rare.ppv.value < here.ppv.value and rare.npv.value > here.npv.value
    se, sp = (found.estimates[name].value for name in ("sensitivity", "specificity"))
    assert rare.ppv.value == pytest.approx(0.02 * se / (0.02 * se + 0.98 * (1 - sp)))
    assert rare.npv.value == pytest.approx(0.98 * sp / (0.98 * sp + 0.02 * (1 - se)))


def test_a_rule_without_a_false_alarm_has_the_value_of_these_cases() -> None:
    truth, probability = simulated(60)
    probability = np.where(truth == 1, probability, probability * 0.3)
    point = evaluate(with_points(made(truth, probability), rule=0.6), resamples=100).points[0]
    assert point.estimates["lr_positive"].value is None
    assert at_prevalence(point.estimates, 0.01).ppv.value == 1.0 and "not one false alarm" in point.at[0].ppv.note


def test_points_survive_a_file_and_counts_cover_every_threshold() -> None:
    truth, probability = simulated(100)
    found = evaluate(with_points(made(truth, probability), rule=0.4), resamples=100, prevalences=[0.1])
    again = Evaluation.from_dict(found.to_dict())
    assert again.points == found.points and again.counts == found.counts
    assert len(found.counts) == 101 and all(sum(row) == 100 for row in found.counts)
    assert found.counts[0] == [int(truth.sum()), 0, int((1 - truth).sum()), 0]


def test_a_fold_without_a_rule_leaves_it_out_and_a_missing_column_is_refused() -> None:
    truth, probability = simulated(40)
    table = with_points(made(truth, probability), rule=0.4)
    gaps = table.table.with_columns(pl.when(pl.int_range(40) > 3).then(pl.col("called:rule")).alias("called:rule"))
    assert evaluate(Predictions(gaps, table.task), resamples=100).points == []
    with pytest.raises(PredictionsError, match="called:rule"):
        Predictions(table.table.drop("called:rule"), table.task)


def test_patients_are_called_anew() -> None:
    truth, probability = simulated(90)
    cases = with_points(made(truth, probability, patient=[f"q{i // 3}" for i in range(90)]), rule=0.4)
    found = by_patient(cases)
    assert found.table["called:rule"].to_list() == (found.probabilities[:, 0] >= 0.4).tolist()


def test_a_prevalence_is_a_share() -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        evaluate(made(*simulated(40)), prevalences=[2])
