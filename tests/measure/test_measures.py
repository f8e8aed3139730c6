"""Equality with scikit-learn, under weights and without; what must not matter; what must be said."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics

from hounsfield.measure import auc, auc_error, average_precision, measures
from hounsfield.measure.measures import NO_RESAMPLES
from hounsfield.measure.ranking import WeightedRanking
from hounsfield.measure.statistics import Statistics


def simulated(seed: int, n: int = 200, decimals: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Truth and probabilities with many ties."""
    generator = np.random.default_rng(seed)
    truth = (generator.random(n) < 0.3).astype(int)
    scores = 1 / (1 + np.exp(-(generator.normal(size=n) + 1.5 * truth - 1)))
    return truth, np.round(scores, decimals)


def many(seed: int, n: int = 300, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, n)
    raw = np.exp(generator.normal(size=(n, classes)) + 1.5 * np.eye(classes)[truth])
    return truth, raw / raw.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("decimals", [1, 2, 9])
def test_weighted_ranking_equals_scikit_learn(decimals: int) -> None:
    truth, scores = simulated(1, decimals=decimals)
    weights = np.random.default_rng(2).integers(0, 4, size=(20, len(truth))).astype(float)
    area, precision = WeightedRanking(truth == 1, scores).measure(weights)
    for row, weight in enumerate(weights):
        assert area[row] == pytest.approx(metrics.roc_auc_score(truth, scores, sample_weight=weight), abs=1e-12)
        expected = metrics.average_precision_score(truth, scores, sample_weight=weight)
        assert precision[row] == pytest.approx(expected, abs=1e-12)


def test_every_decided_measure_equals_scikit_learn_under_weights() -> None:
    truth, scores = simulated(3)
    decision = (scores >= 0.4).astype(int)
    weights = np.random.default_rng(4).integers(0, 3, size=(5, len(truth))).astype(float)
    found = Statistics(truth, scores[:, None], decision)(weights)
    for row, weight in enumerate(weights):
        common = {"sample_weight": weight}
        expected = {
            "sensitivity": metrics.recall_score(truth, decision, **common),
            "specificity": metrics.recall_score(truth, decision, pos_label=0, **common),
            "ppv": metrics.precision_score(truth, decision, **common),
            "npv": metrics.precision_score(truth, decision, pos_label=0, **common),
            "f1": metrics.f1_score(truth, decision, **common),
            "balanced_accuracy": metrics.balanced_accuracy_score(truth, decision, **common),
            "accuracy": metrics.accuracy_score(truth, decision, **common),
            "brier": metrics.brier_score_loss(truth, scores, **common),
            "log_loss": metrics.log_loss(truth, scores, **common),
            "mcc": metrics.matthews_corrcoef(truth, decision, **common),
        }
        ratios = metrics.class_likelihood_ratios(truth, decision, **common)
        expected |= dict(zip(("lr_positive", "lr_negative"), ratios, strict=True))
        for name, value in expected.items():
            assert found[name][row] == pytest.approx(value, abs=1e-12), name


def test_many_classes_equal_scikit_learn_macro() -> None:
    truth, scores = many(5)
    decision = scores.argmax(axis=1)
    found = measures(truth, scores, decision, np.arange(len(truth)), labels=list("abcd"), resamples=50)
    expected = {
        "auc": metrics.roc_auc_score(truth, scores, multi_class="ovr"),
        "sensitivity": metrics.recall_score(truth, decision, average="macro"),
        "ppv": metrics.precision_score(truth, decision, average="macro"),
        "f1": metrics.f1_score(truth, decision, average="macro"),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, decision),
        "brier": ((scores - np.eye(4)[truth]) ** 2).sum(axis=1).mean(),
        "log_loss": metrics.log_loss(truth, scores),
        "mcc": metrics.matthews_corrcoef(truth, decision),
    }
    for name, value in expected.items():
        assert found.overall[name].value == pytest.approx(value, abs=1e-12), name
    assert found.per_class["b"]["auc"].value == pytest.approx(metrics.roc_auc_score(truth == 1, scores[:, 1]))
    assert found.per_class["b"]["f1"].value == pytest.approx(metrics.f1_score(truth == 1, decision == 1))
    np.testing.assert_array_equal(found.confusion, metrics.confusion_matrix(truth, decision))


def test_the_public_ranking_measures_agree_with_the_engine() -> None:
    truth, scores = many(6)
    found = measures(truth, scores, scores.argmax(axis=1), np.arange(len(truth)), labels=list("abcd"), resamples=0)
    assert found.overall["auc"].value == pytest.approx(auc(truth, scores))
    assert found.overall["average_precision"].value == pytest.approx(average_precision(truth, scores))
    assert found.overall["average_precision"].low is None and found.overall["average_precision"].note == NO_RESAMPLES


def test_auc_of_one_class_is_nan_and_of_missing_classes_is_over_the_rest() -> None:
    assert np.isnan(auc([1, 1], [0.2, 0.3]))
    assert np.isnan(average_precision([0, 0], [0.2, 0.3]))
    truth, scores = many(7)
    truth = np.where(truth == 3, 0, truth)
    expected = np.mean([metrics.roc_auc_score(truth == k, scores[:, k]) for k in range(3)])
    assert auc(truth, scores) == pytest.approx(expected)


def test_row_order_does_not_matter() -> None:
    truth, scores = simulated(8)
    patients = np.array([f"p{number // 3}" for number in range(len(truth))])
    order = np.random.default_rng(9).permutation(len(truth))
    decision = (scores >= 0.4).astype(int)
    first = measures(truth, scores, decision, patients, labels=["no", "yes"], resamples=200)
    second = measures(
        truth[order], scores[order], decision[order], patients[order], labels=["no", "yes"], resamples=200
    )
    for name, value in first.overall.items():
        other = second.overall[name]
        assert (value.value, value.low, value.high) == pytest.approx((other.value, other.low, other.high), abs=1e-9), (
            name
        )


def test_the_seed_alone_decides_and_the_global_state_is_left_alone() -> None:
    truth, scores = simulated(10)
    decision = (scores >= 0.4).astype(int)
    np.random.seed(3)  # noqa: NPY002 - the global state is what is watched here
    before = np.random.get_state()[1].copy()  # noqa: NPY002

    def run(seed: int) -> float | None:
        return (
            measures(truth, scores, decision, np.arange(len(truth)), labels=["no", "yes"], resamples=99, seed=seed)
            .overall["average_precision"]
            .low
        )

    assert run(1) == run(1) != run(2)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_perfect_separation_gets_an_exact_bound_and_says_so() -> None:
    truth = np.arange(40) % 2
    found = measures(truth, np.where(truth, 0.9, 0.1), truth, np.arange(40), labels=["no", "yes"], resamples=100)
    for name in ("auc", "sensitivity", "specificity"):
        estimate = found.overall[name]
        assert (estimate.value, estimate.high) == (1.0, 1.0)
        assert estimate.low == pytest.approx(0.025 ** (1 / 20))  # 20 of 20: Clopper-Pearson
        assert "that of 20" in estimate.note and estimate.method == "exact bound"


def test_one_class_leaves_none_with_the_reason() -> None:
    scores = np.linspace(0.1, 0.9, 30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = measures(
            np.ones(30, int), scores, (scores > 0.5).astype(int), np.arange(30), labels=["no", "ill"], resamples=50
        )
    assert found.overall["auc"].value is None and found.overall["auc"].note == "every case here is ill"
    assert found.overall["specificity"].value is None
    assert found.overall["sensitivity"].value == pytest.approx(0.5)


def test_resamples_without_a_class_are_skipped_and_counted() -> None:
    truth = np.zeros(40, int)
    truth[:2] = 1
    scores = np.random.default_rng(0).random(40)
    found = measures(truth, scores, (scores > 0.5).astype(int), np.arange(40), labels=["no", "yes"], resamples=1000)
    assert 60 < found.overall["average_precision"].skipped < 240  # (1 - 2/40)^40 = 0.13
    assert found.overall["specificity"].skipped == 0


def test_one_patient_has_no_interval() -> None:
    truth, scores = simulated(11, 20)
    found = measures(truth, scores, truth, np.zeros(20, int), labels=["no", "yes"], resamples=50)
    assert found.overall["auc"].low is None and "one patient" in found.overall["auc"].note


def test_the_standard_error_of_an_area_is_that_of_hanley_and_mcneil() -> None:
    """Their Table I: an area of 0.893 with 51 abnormal and 58 normal cases has a standard error of 0.032 (0.0325 unrounded)."""
    assert auc_error(0.893, 51, 58) == pytest.approx(0.0325, abs=5e-5)
    assert auc_error(1.0, 5, 9) == 0.0
    assert np.isnan(auc_error(0.5, 0, 9))
