"""Temperature, probabilities, thresholds and the points of curves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import _sigmoid_calibration  # type: ignore[attr-defined]

from hounsfield.errors import UsageError
from hounsfield.measure import (
    fit_isotonic,
    fit_platt,
    fit_temperature,
    probabilities,
    reliability_curve,
    roc_curve,
    threshold,
)


def test_probabilities_are_sigmoid_or_softmax_and_stable() -> None:
    np.testing.assert_allclose(probabilities([[0.0], [1000.0], [-1000.0]], multi_label=False)[:, 0], [0.5, 1.0, 0.0])
    found = probabilities(np.array([[1000.0, 0.0, -1000.0], [1.0, 2.0, 3.0]], dtype=np.float32), multi_label=False)
    assert found.dtype == np.float64 and np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(probabilities([[4.0]], multi_label=False, temperature=2, offsets=[-2.0])[0, 0], 0.5)


def test_a_batch_equals_its_rows() -> None:
    logits = np.random.default_rng(0).normal(size=(7, 3))
    alone = np.concatenate(
        [probabilities(row[None], multi_label=False, temperature=1.7, offsets=[0.1, 0, 1]) for row in logits]
    )
    np.testing.assert_array_equal(probabilities(logits, multi_label=False, temperature=1.7, offsets=[0.1, 0, 1]), alone)


@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize("known", [0.5, 3.0])
def test_a_known_temperature_is_found_again(outputs: int, known: float) -> None:
    generator = np.random.default_rng(1)
    logits = 2 * generator.normal(size=(20000, outputs))
    offsets = np.linspace(-0.5, 0.5, outputs)
    honest = probabilities(logits, multi_label=False, offsets=offsets)
    draw = generator.random(len(logits))
    truth = (draw < honest[:, 0]).astype(int) if outputs == 1 else (draw[:, None] > honest.cumsum(axis=1)).sum(axis=1)
    assert fit_temperature(logits * known, truth, offsets=offsets) == pytest.approx(known, rel=0.04)


def test_too_little_to_fit_leaves_the_temperature_at_one() -> None:
    logits = np.random.default_rng(2).normal(size=(50, 1))
    assert fit_temperature(logits, np.ones(50, int)) == 1.0
    assert fit_temperature(logits[:9], np.arange(9) % 2) == 1.0
    assert fit_temperature(np.where(np.arange(50) % 2, 1.0, -1.0)[:, None], np.arange(50) % 2) == pytest.approx(0.05)


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 100)), min_size=2, max_size=60),
    st.sampled_from(["youden", "sensitivity>=0.95", "sensitivity >= 0.5", "specificity≥0.9"]),
)
def test_thresholds_keep_their_promise_and_stay_clear_of_the_data(cases: list[tuple[int, int]], rule: str) -> None:
    truth, values = np.array([case[0] for case in cases]), np.array([case[1] for case in cases]) / 100
    if truth.min() == truth.max():
        with pytest.raises(UsageError):
            threshold(truth, values, rule)
        return
    cut = threshold(truth, values, rule)
    called = values >= cut
    sensitivity, specificity = called[truth == 1].mean(), (~called[truth == 0]).mean()
    if rule.startswith("sens"):
        assert sensitivity >= (0.95 if "95" in rule else 0.5)
    elif rule.startswith("spec"):
        assert specificity >= 0.9
    else:
        best = max(
            (values[truth == 1] >= t).mean() + (values[truth == 0] < t).mean() for t in np.linspace(-0.005, 1.005, 102)
        )
        assert sensitivity + specificity == pytest.approx(best)
    inside = values.min() < cut < values.max()
    assert not inside or np.abs(values - cut).min() > 0.004


def test_rules_take_the_best_of_what_they_leave_free() -> None:
    truth, values = [0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.6, 0.5, 0.8, 0.9]
    assert threshold(truth, values, "sensitivity>=0.6") == pytest.approx(0.7)
    assert threshold(truth, values, "specificity>=0.6") == pytest.approx(0.35)
    assert threshold([0, 1], [1.0, 1.0], "specificity>=0.9") > 1


@pytest.mark.parametrize(
    "rule",
    ["", "best", "sensitivity>0.9", "sensitivity>=1.5", "sensitivity>=0", "cost=0", "cost=-2", "__import__('os')"],
)
def test_other_rules_are_refused(rule: str) -> None:
    with pytest.raises(UsageError, match="youden"):
        threshold([0, 1], [0.1, 0.9], rule)


def test_a_cost_is_a_threshold_by_itself_and_is_the_cheapest_where_probabilities_are_honest() -> None:
    assert threshold([0, 1], [0.1, 0.9], "cost=4") == pytest.approx(0.2) == threshold([], [], " Cost = 4.0 ")
    generator = np.random.default_rng(5)
    values = generator.random(200_000)
    truth = generator.random(200_000) < values
    costs = {
        cut: 4 * (truth & (values < cut)).sum() + (~truth & (values >= cut)).sum()
        for cut in (0.1, 0.15, 0.2, 0.25, 0.3)
    }
    assert min(costs, key=costs.get) == 0.2


def test_reliability_bins_hold_equal_counts_and_keep_ties_together() -> None:
    generator = np.random.default_rng(3)
    values = generator.random(200)
    found = reliability_curve((generator.random(200) < values).astype(int), values)
    assert found.count.tolist() == [20] * 10
    assert np.abs(found.predicted - found.observed).max() < 0.3 and (found.low <= found.observed).all()
    assert reliability_curve([0, 1] * 50, [0.5] * 100).count.tolist() == [100]


def test_roc_curve_starts_and_ends_in_the_corners() -> None:
    found = roc_curve([0, 1, 0, 1], [0.1, 0.9, 0.5, 0.4])
    assert (found.x[0], found.y[0], found.x[-1], found.y[-1]) == (0, 0, 1, 1)


def test_two_labels_of_one_case_are_two_sigmoids_and_not_a_softmax() -> None:
    logits = np.array([[0.0, 4.0], [2.0, 2.0]])
    found = probabilities(logits, multi_label=True, temperature=[1.0, 2.0], offsets=[0.0, -2.0])
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-(logits / [1, 2] + [0, -2]))))
    assert found[1].sum() != pytest.approx(1)
    for place in range(2):
        alone = probabilities(logits[:, [place]], multi_label=False, temperature=1.0 + place, offsets=[-2.0 * place])
        np.testing.assert_array_equal(found[:, place], alone[:, 0])
    with pytest.raises(TypeError):
        probabilities(logits)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="in common"):
        probabilities(logits, multi_label=False, temperature=[1.0, 2.0])
    with pytest.raises(ValueError, match="greater than 0"):
        probabilities(logits, multi_label=True, temperature=[1.0, 0.0])


def test_platt_is_a_logistic_regression_on_soft_targets() -> None:
    """Against scikit-learn's own sigmoid calibration (Platt 1999), which works on the same targets."""
    generator = np.random.default_rng(5)
    logits = generator.normal(size=400) * 3
    truth = (generator.random(400) < 1 / (1 + np.exp(-(0.4 * logits - 0.7)))).astype(int)
    temperature, offsets = fit_platt(logits[:, None], truth)
    a, b = _sigmoid_calibration(logits, truth)
    assert 1 / temperature == pytest.approx(-a, rel=1e-3) and offsets[0] == pytest.approx(-b, abs=1e-3)


def test_platt_stays_finite_where_classes_are_separated_and_keeps_the_order() -> None:
    logits = np.concatenate([np.linspace(-2, -1, 20), np.linspace(1, 2, 20)])[:, None]
    truth = (logits[:, 0] > 0).astype(int)
    temperature, offsets = fit_platt(logits, truth)
    told = probabilities(logits, multi_label=False, temperature=temperature, offsets=offsets)[:, 0]
    assert (np.diff(told) > 0).all() and told[20:].mean() == pytest.approx(21 / 22, abs=0.01)
    assert fit_platt(-logits, truth)[0] == pytest.approx(
        20.0
    )  # worse than chance: as flat as it may be, never turned round
    assert fit_platt(logits[:5], truth[:5], offsets=[0.3]) == (1.0, [0.3])


def test_an_isotonic_curve_rises_between_bounds_and_is_the_pooled_shares() -> None:
    logits = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])[:, None].repeat(10, axis=0)
    truth = np.concatenate([np.arange(10) < count for count in (0, 4, 2, 8, 10)]).astype(int)
    [(at, to)] = fit_isotonic(logits, truth)
    assert at == [-2.0, -0.5, 1.0, 2.0]  # 0.4 and 0.2 fall, so they are pooled
    np.testing.assert_allclose(1 / (1 + np.exp(-np.array(to))), [1 / 12, 0.3, 0.8, 11 / 12])
    told = probabilities([[-9.0], [-0.5], [0.0], [9.0]], multi_label=False, curves=[(at, to)])[:, 0]
    np.testing.assert_allclose(told[[0, 1, 3]], [1 / 12, 0.3, 11 / 12])
    assert 0.3 < told[2] < 0.8


def test_steps_that_are_nearer_than_rounding_may_matter_become_one() -> None:
    logits = np.concatenate([np.full(50, 0.0), np.full(50, 0.01), np.full(50, 3.0)])[:, None]
    truth = np.concatenate([np.zeros(50), np.ones(45), np.zeros(5), np.ones(50)]).astype(int)
    [(at, _)] = fit_isotonic(logits, truth)
    assert at == pytest.approx([0.005, 3.0])
