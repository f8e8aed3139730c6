"""Intervals: what they cover, and that patients, not images, are drawn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from hounsfield.measure import Estimate, difference, exact, measures, patient_weights, wilson


def test_weights_are_how_often_each_patient_was_drawn() -> None:
    patients = np.array(["b", "a", "b", "c"])
    weights = np.concatenate(list(patient_weights(patients, 50, seed=0)))
    assert weights.shape == (50, 4)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    np.testing.assert_array_equal(weights[:, [0, 1, 3]].sum(axis=1), 3)


def test_pieces_do_not_change_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(patient_weights(np.arange(30), 40, seed=5)))
    monkeypatch.setattr("hounsfield.measure.bootstrap._CHUNK", 100)
    np.testing.assert_array_equal(whole, np.concatenate(list(patient_weights(np.arange(30), 40, seed=5))))


def test_the_interval_of_auc_covers_the_truth_about_as_often_as_it_says() -> None:
    generator, truth = np.random.default_rng(0), np.arange(120) % 2
    expected, hits = float(norm.cdf(1 / np.sqrt(2))), 0
    for seed in range(120):
        scores = norm.cdf(generator.normal(size=120) + truth)
        found = measures(truth, scores, truth, np.arange(120), labels=["no", "yes"], resamples=300, seed=seed).overall[
            "auc"
        ]
        assert found.low is not None and found.high is not None
        hits += found.low <= expected <= found.high
    assert 0.88 <= hits / 120 <= 1.0


def test_repeated_patients_widen_the_interval() -> None:
    generator = np.random.default_rng(1)
    truth = np.repeat(np.arange(60) % 2, 8)
    scores = norm.cdf(np.repeat(generator.normal(size=60), 8) + truth + 0.1 * generator.normal(size=480))
    clustered = measures(
        truth, scores, truth, np.repeat(np.arange(60), 8), labels=["no", "yes"], resamples=500
    ).overall["auc"]
    naive = measures(truth, scores, truth, np.arange(480), labels=["no", "yes"], resamples=500).overall["auc"]
    assert clustered.low is not None and clustered.high is not None and naive.low is not None and naive.high is not None
    assert clustered.high - clustered.low > 2 * (naive.high - naive.low)


def test_the_calibration_error_of_a_calibrated_model_is_that_of_chance() -> None:
    generator = np.random.default_rng(2)
    inside = 0
    for seed in range(60):
        probability = generator.random(300)
        truth = (generator.random(300) < probability).astype(int)
        found = measures(
            truth, probability, truth, np.arange(300), labels=["no", "yes"], resamples=0, seed=seed
        ).overall
        error, chance = found["ece"], found["ece_by_chance"]
        assert error.value is not None and error.low is None and "pull" in error.note
        assert chance.low is not None and chance.high is not None
        inside += chance.low <= error.value <= chance.high
    assert 52 <= inside <= 60  # 95 in 100; fewer than 52 of 60 in 1 of 200 such tests


def test_a_model_that_is_off_shows_more_calibration_error_than_chance() -> None:
    generator = np.random.default_rng(3)
    probability = generator.random(300)
    truth = (generator.random(300) < probability**3).astype(int)
    found = measures(truth, probability, truth, np.arange(300), labels=["no", "yes"], resamples=0).overall
    assert found["ece"].value > 2 * found["ece_by_chance"].high


def test_exact_and_wilson_intervals_are_the_textbook_ones() -> None:
    assert exact(0, 10) == pytest.approx((0.0, 0.3085), abs=1e-4)
    assert exact(9, 10) == pytest.approx((0.5550, 0.9975), abs=1e-4)
    low, high = wilson([9], [10])
    assert (low[0], high[0]) == pytest.approx((0.5958, 0.9821), abs=1e-4)


def test_square_and_add_equals_newcombe_for_two_proportions() -> None:
    # Newcombe 1998, Stat Med 17:873, method 10: 56/70 - 48/80 = 0.2, 0.0524 to 0.3339.
    (low1,), (high1,) = wilson([48], [80])
    (low2,), (high2,) = wilson([56], [70])
    found = difference(Estimate(48 / 80, low1, high1, "", 80), Estimate(56 / 70, low2, high2, "", 70))
    assert found == pytest.approx((0.0524, 0.3339), abs=2e-4)
