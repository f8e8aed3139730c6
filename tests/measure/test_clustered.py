"""Equality with pair by pair counting and with DeLong; degenerate cases; coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from hounsfield.measure import clustered_area, clustered_auc


def simulated(seed: int, patients: int = 40, effect: float = 1.0, mixed: bool = True, decimals: int = 1) -> tuple:
    generator = np.random.default_rng(seed)
    owner = np.repeat(np.arange(patients), generator.integers(1, 7, patients))
    truth = generator.random(len(owner)) < 0.5 if mixed else (generator.random(patients) < 0.5)[owner]
    scores = 0.8 * generator.normal(size=patients)[owner] + 0.6 * generator.normal(size=len(owner)) + effect * truth
    return truth.astype(int), np.round(scores, decimals), owner


def naive(truth: np.ndarray, scores: np.ndarray, owner: np.ndarray) -> tuple[float, float]:
    """Obuchowski 1997, written out."""
    x, y = scores[truth == 1], scores[truth == 0]
    psi = (x[:, None] > y[None, :]) + 0.5 * (x[:, None] == y[None, :])
    area, m, n = psi.mean(), len(x), len(y)
    clusters = np.unique(owner)
    up = np.array([(psi.mean(axis=1)[owner[truth == 1] == one] - area).sum() for one in clusters])
    down = np.array([(psi.mean(axis=0)[owner[truth == 0] == one] - area).sum() for one in clusters])
    i10, i01, i = len(np.unique(owner[truth == 1])), len(np.unique(owner[truth == 0])), len(clusters)
    s10 = i10 / ((i10 - 1) * m) * (up**2).sum()
    s01 = i01 / ((i01 - 1) * n) * (down**2).sum()
    s11 = i / (i - 1) * (up * down).sum()
    return float(area), float(s10 / m + s01 / n + 2 * s11 / (m * n))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("mixed", [True, False])
def test_ranks_equal_pair_by_pair_counting(seed: int, mixed: bool) -> None:
    truth, scores, owner = simulated(seed, mixed=mixed)
    found = clustered_area(truth, scores, owner)
    value, variance = naive(truth, scores, owner)
    assert found.value == pytest.approx(value, abs=1e-12)
    assert found.value == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert found.variance == pytest.approx(variance, rel=1e-9)


def test_one_case_each_is_delong() -> None:
    truth, scores, _ = simulated(7)
    x, y = scores[truth == 1], scores[truth == 0]
    psi = (x[:, None] > y[None, :]) + 0.5 * (x[:, None] == y[None, :])
    delong = psi.mean(axis=1).var(ddof=1) / len(x) + psi.mean(axis=0).var(ddof=1) / len(y)
    assert clustered_area(truth, scores, np.arange(len(truth))).variance == pytest.approx(delong, rel=1e-9)


def test_a_case_given_five_times_is_still_one_patient() -> None:
    truth, scores, _ = simulated(3)
    once = clustered_auc(truth, scores, np.arange(len(truth)))
    often = clustered_auc(np.repeat(truth, 5), np.repeat(scores, 5), np.repeat(np.arange(len(truth)), 5))
    assert (often.value, often.low, often.high) == pytest.approx((once.value, once.low, once.high))


def test_neither_order_nor_names_nor_scale_matter() -> None:
    truth, scores, owner = simulated(4)
    order = np.random.default_rng(0).permutation(len(truth))
    one = clustered_auc(truth, scores, owner)
    other = clustered_auc(truth[order], 3 * scores[order] - 7, np.array([f"p{9999 - each}" for each in owner])[order])
    assert (one.low, one.value, one.high) == pytest.approx((other.low, other.value, other.high))
    turned = clustered_auc(truth, -scores, owner)
    assert (1 - turned.high, 1 - turned.value, 1 - turned.low) == pytest.approx((one.low, one.value, one.high))


def test_a_higher_level_is_wider() -> None:
    truth, scores, owner = simulated(5)
    wide, narrow = (clustered_auc(truth, scores, owner, level=level) for level in (0.99, 0.8))
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_strata_compare_within_folds_only() -> None:
    truth, scores, owner = simulated(6)
    fold = owner % 4
    # A constant per fold would ruin a pooled AUC, and must not matter here.
    plain = clustered_area(truth, scores, owner, strata=fold)
    shifted = clustered_area(truth, scores + 100 * fold, owner, strata=fold)
    assert shifted.value == pytest.approx(plain.value)
    assert shifted.variance == pytest.approx(plain.variance)
    one = [roc_auc_score(truth[fold == each], scores[fold == each]) for each in range(4)]
    assert plain.value == pytest.approx(np.mean(one), abs=0.02)
    twice = clustered_area(truth, np.stack([scores] * 2, axis=1), owner, strata=np.stack([fold] * 2, axis=1))
    assert twice.value == pytest.approx(plain.value)


def test_the_variance_is_that_published_for_the_images_of_hanley_and_mcneil() -> None:
    """109 CT images rated by one reader (Radiology 1982, table I); Stata's manual (roctab) gives, by DeLong, an area of 0.8932, a
    standard error of 0.0307 and 0.83295 to 0.95339.
    """
    ratings = np.arange(5)
    scores = np.concatenate([np.repeat(ratings, [33, 6, 6, 11, 2]), np.repeat(ratings, [3, 2, 2, 11, 33])])
    found = clustered_area(np.repeat([0, 1], [58, 51]), scores, np.arange(109))
    assert found.value == pytest.approx(0.8932, abs=5e-5) and found.variance is not None
    error = np.sqrt(found.variance)
    assert error == pytest.approx(0.0307, abs=5e-5)
    ends = found.value + np.array([-1, 1]) * norm.ppf(0.975) * error
    assert ends == pytest.approx([0.83295, 0.95339], abs=1e-5)


def test_degenerate() -> None:
    owner = np.arange(10)
    truth = (owner < 5).astype(int)
    one_class = clustered_auc(np.ones(10), owner, owner)
    assert one_class.value is None and one_class.low is None and one_class.note
    assert clustered_auc([], [], []).value is None
    parted = clustered_auc(truth, -owner, owner)
    assert parted.value == 1 and parted.high == 1
    assert parted.low == pytest.approx(0.025**0.2)  # five pairs of five patients each, all in order
    assert clustered_auc(truth, owner, owner).high == pytest.approx(1 - 0.025**0.2)
    same = clustered_auc(truth, np.zeros(10), owner)
    assert same.value == 0.5 and same.low is None and same.note
    single = clustered_auc([1, 0, 0, 0], [3, 1, 2, 4], [0, 1, 2, 3])
    assert single.value == pytest.approx(2 / 3) and single.low is None and "two patients" in single.note


@pytest.mark.parametrize(("patients", "effect"), [(30, 0.0), (60, 1.0), (100, 2.0)])
def test_coverage(patients: int, effect: float) -> None:
    true = float(norm.cdf(effect / np.sqrt(2)))
    found = [clustered_auc(*simulated(seed, patients, effect, seed % 2 == 0, 6)) for seed in range(400)]
    inside = np.mean([one.low <= true <= one.high for one in found if one.low is not None])
    assert 0.92 <= inside <= 0.985


def test_large() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 2, 100_000)
    found = clustered_auc(truth, generator.normal(size=100_000) + truth, generator.integers(0, 30_000, 100_000))
    assert found.low < norm.cdf(1 / np.sqrt(2)) < found.high
    assert found.high - found.low < 0.01
