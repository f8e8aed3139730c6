"""Two models on the same cases: published and exact values, and what pairing must and must not change."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from hounsfield.measure import area_parts, holm, mcnemar, paired_areas, paired_measures, unpaired
from hounsfield.measure.paired import CLUSTERED, DELONG, EXACT


def simulated(seed: int, cases: int = 200, gain: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = (generator.random(cases) < 0.4).astype(int)
    shared = generator.normal(size=cases)
    first, second = (shared + 0.6 * generator.normal(size=cases) + up * truth for up in (1.2, 1.2 + gain))
    return truth, first, second


def by_definition(truth: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """The variance of the difference as DeLong, DeLong and Clarke-Pearson write it, pair by pair."""

    def components(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ups, downs = scores[truth == 1], scores[truth == 0]
        wins = (ups[:, None] > downs[None, :]) + 0.5 * (ups[:, None] == downs[None, :])
        return wins.mean(axis=1), wins.mean(axis=0)

    (v1, w1), (v2, w2) = components(first), components(second)
    up, down = np.cov(np.stack([v1, v2])), np.cov(np.stack([w1, w2]))
    contrast = np.array([-1, 1])
    return float(contrast @ (up / len(v1) + down / len(w1)) @ contrast)


@pytest.mark.parametrize("decimals", [1, 8])
def test_the_difference_of_two_areas_is_that_of_delong(decimals: int) -> None:
    truth, first, second = (np.round(each, decimals) for each in simulated(1, gain=0.4))
    gap, p = paired_areas(truth, first, second, np.arange(200))
    assert gap.value == pytest.approx(roc_auc_score(truth, second) - roc_auc_score(truth, first))
    assert gap.low is not None and gap.high is not None and gap.method == DELONG
    error = np.sqrt(by_definition(truth, first, second))
    from scipy.stats import t

    freedom = min(truth.sum(), 200 - truth.sum()) - 1
    assert gap.high - gap.low == pytest.approx(2 * t.ppf(0.975, freedom) * error)
    assert p == pytest.approx(2 * t.sf(abs(gap.value) / error, freedom))


def test_repeated_cases_of_a_patient_change_nothing() -> None:
    truth, first, second = simulated(2, gain=0.3)
    alone, p = paired_areas(truth, first, second, np.arange(200))
    thrice, again = paired_areas(*(np.repeat(each, 3) for each in (truth, first, second, np.arange(200))))
    assert (thrice.low, thrice.high) == pytest.approx((alone.low, alone.high)) and thrice.method == CLUSTERED
    assert again == pytest.approx(p)


def test_pairing_is_surer_than_two_samples_and_a_model_equals_itself() -> None:
    truth, first, second = simulated(3)
    paired, _ = paired_areas(truth, first, second, np.arange(200))
    shuffled = np.concatenate([np.random.default_rng(0).permutation(second[truth == k]) for k in (0, 1)])
    order = np.concatenate([np.flatnonzero(truth == k) for k in (0, 1)])
    loose, _ = paired_areas(truth[order], first[order], shuffled, np.arange(200))
    assert paired.high - paired.low < 0.75 * (loose.high - loose.low)
    same, p = paired_areas(truth, first, 3 * first + 1, np.arange(200))
    assert (same.value, same.low, same.high, p) == (0.0, 0.0, 0.0, 1.0)


def test_equal_models_are_called_different_in_one_of_twenty_samples() -> None:
    found = [paired_areas(*simulated(seed), np.arange(200))[1] for seed in range(400)]
    assert 0.025 < np.mean([p < 0.05 for p in found if p is not None]) < 0.08


def test_two_sets_of_patients_differ_as_often_as_chance_says() -> None:
    found = []
    for seed in range(400):
        truth, first, _ = simulated(seed, 120)
        halves = [area_parts(truth[rows], first[rows], np.arange(60)) for rows in (slice(0, 60), slice(60, 120))]
        found.append(unpaired(*halves))
    assert 0.025 < np.mean([p < 0.05 for p in found if p is not None]) < 0.075
    truth, first, _ = simulated(7, 400)
    strong, weak = (area_parts(truth, scores, np.arange(400)) for scores in (first, first + 3 * np.sin(np.arange(400))))
    assert unpaired(strong, weak) < 0.001 and unpaired(strong, strong) == 1.0
    perfect = area_parts(truth, truth, np.arange(400))
    assert unpaired(strong, perfect) is None


def test_mcnemar_is_the_binomial_of_the_cases_that_differ() -> None:
    # 10 of 12 differing cases on one side: 2 · P(X ≤ 2 of 12) = 0.03857.
    first = np.array([True] * 10 + [False] * 2 + [True] * 30)
    second = np.array([False] * 10 + [True] * 2 + [True] * 30)
    found = mcnemar(first, second, np.arange(42))
    assert (found.first_only, found.second_only, found.method) == (10, 2, EXACT)
    assert found.p == pytest.approx(0.03857, abs=1e-5)
    assert mcnemar(first, first, np.arange(42)).p == 1.0


def test_clustered_mcnemar_is_that_of_mcnemar_where_each_patient_repeats_one_case() -> None:
    first = np.array([True] * 40 + [False] * 20 + [True] * 30)
    second = np.array([False] * 40 + [True] * 20 + [True] * 30)
    found = mcnemar(np.repeat(first, 3), np.repeat(second, 3), np.repeat(np.arange(90), 3))
    assert found.p == pytest.approx(2 * norm.sf(20 / np.sqrt(60)))  # McNemar's statistic without continuity correction
    assert (found.first_only, found.second_only) == (120, 60)


def test_every_measure_is_compared_within_the_same_resamples() -> None:
    truth, first, second = simulated(4, gain=0.8)
    probabilities = [norm.cdf(each - 0.6) for each in (first, second)]
    decided = [(each > 0.5).astype(int) for each in probabilities]
    gaps = paired_measures(
        truth, (probabilities[0], decided[0]), (probabilities[1], decided[1]), np.arange(200), resamples=500
    )
    assert gaps["sensitivity"].value == pytest.approx(decided[1][truth == 1].mean() - decided[0][truth == 1].mean())
    area, _ = paired_areas(truth, first, second, np.arange(200))
    width = gaps["auc"].high - gaps["auc"].low
    assert width == pytest.approx(area.high - area.low, rel=0.15)
    assert "ece" not in gaps and gaps["log_loss"].value < 0


def test_one_class_gives_no_difference_and_says_why() -> None:
    gap, p = paired_areas(np.ones(5), np.arange(5), np.arange(5), np.arange(5))
    assert gap.value is None and "no two classes" in gap.note and p is None


def test_holm_multiplies_the_smallest_most_and_keeps_the_order() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, np.nan, 0.6])[0] == 1.0 and np.isnan(holm([0.9, np.nan, 0.6])[1])
