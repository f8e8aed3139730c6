"""Sets of labels: what they promise, they keep, whatever the model is worth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from hounsfield.measure import expected_coverage, floors, rejection, sets

LEVEL = 0.9


def simulated(
    generator: np.random.Generator, cases: int, classes: int, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    truth = generator.integers(0, classes, cases)
    scores = softmax(generator.normal(size=(cases, classes)) + strength * np.eye(classes)[truth], axis=1)
    return truth, scores if classes > 2 else scores[:, 1:]


def test_a_floor_leaves_out_the_share_that_may_be_missed() -> None:
    # 19 cases: (19 + 1) · 0.1 = 2, so the second lowest is the floor, and one of 19 is below.
    values = np.linspace(0.05, 0.95, 19)
    assert floors(np.ones(19), values[:, None], LEVEL)[1] == pytest.approx(values[1])
    assert floors(np.ones(8), values[:8, None], LEVEL).tolist() == [
        0.0,
        0.0,
    ]  # (8 + 1) · 0.1 < 1: nothing may be left out


def test_a_set_may_hold_none_one_or_all() -> None:
    found = sets(np.array([[0.5], [0.05], [0.95]]), [0.6, 0.6])
    assert found.tolist() == [[False, False], [True, False], [False, True]]
    assert sets(np.array([[0.5]]), [0.4, 0.4]).all()
    assert sets(np.array([[0.2, 0.5, 0.3]]), np.array([[0.3, 0.4, 0.3]])).tolist() == [[False, True, True]]


@pytest.mark.parametrize(("classes", "strength"), [(2, 1.0), (2, 0.0), (4, 2.0)])
def test_coverage_of_each_label_lies_where_theory_puts_it(classes: int, strength: float) -> None:
    """Twenty new splits: of 20 · classes intervals of 95% at least nine in ten hold, and the mean is that asked for."""
    inside, shares = [], []
    for seed in range(20):
        generator = np.random.default_rng(seed)
        truth, probability = simulated(generator, 400 * classes, classes, strength)
        half = np.arange(len(truth)) % 2 == 0
        found = sets(probability[~half], floors(truth[half], probability[half], LEVEL))
        for label in range(classes):
            mine = truth[~half] == label
            share = found[mine, label].mean()
            low, high = expected_coverage(int((truth[half] == label).sum()), int(mine.sum()), LEVEL)
            inside.append(low <= share <= high)
            shares.append(share)
    assert np.mean(inside) >= 0.9
    assert np.mean(shares) == pytest.approx(LEVEL, abs=0.02)


def test_with_few_cases_nothing_is_ruled_out_and_coverage_is_whole() -> None:
    assert expected_coverage(5, 100, LEVEL) == (1.0, 1.0)
    low, high = expected_coverage(10_000, 10_000, LEVEL)
    assert 0.88 < low < LEVEL < high < 0.92


def test_the_surest_cases_are_left_and_ties_stay_together() -> None:
    truth, decision = np.array([1, 1, 0, 0, 1]), np.array([1, 1, 0, 1, 0])
    found = rejection(truth, decision, [0.9, 0.8, 0.8, 0.2, 0.1], steps=5)
    assert found == [(1.0, 0.6), (0.8, 0.75), (0.6, 1.0)]
