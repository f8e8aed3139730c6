"""What training fixes on its calibration cases."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hounsfield.core import Plan
from hounsfield.measure import auc, expected_coverage, probabilities, recalibration, threshold
from hounsfield.predict.predict import calibrated
from hounsfield.train.calibrate import RULES, calibrate


def simulated(cases: int = 200) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    truth = (generator.random(cases) < 0.3).astype(np.int64)
    return (generator.normal(size=cases) + 2 * truth - 1)[:, None], truth


def test_other_operating_points_are_fixed_beside_the_chosen_one(plan: Callable[..., Plan]) -> None:
    chosen = plan(operating_point="sensitivity >= 0.95")
    logits, truth = simulated()
    found = calibrate(chosen, logits, truth, {}, "the calibration part")
    rules = [point.rule for point in found.points]
    assert rules == ["sensitivity >= 0.95", *(rule for rule in RULES if rule != "sensitivity>=0.95")]
    cuts = {point.rule: point.threshold for point in found.points}
    assert cuts["sensitivity >= 0.95"] == found.threshold and cuts["cost=5"] == pytest.approx(1 / 6)
    values = 1 / (1 + np.exp(-(logits / found.temperature + found.offsets)))
    assert cuts["youden"] == pytest.approx(threshold(truth, values, "youden"))


def test_cases_of_one_label_fix_nothing(plan: Callable[..., Plan]) -> None:
    found = calibrate(plan(), np.zeros((12, 1)), np.zeros(12, dtype=np.int64), {}, "few")
    assert found.points == [] and found.threshold == 0.5 and "one label only" in found.note


def test_sets_hold_the_true_label_of_cases_like_the_calibration_ones(plan: Callable[..., Plan]) -> None:
    logits, truth = simulated(400)
    found = calibrate(plan(), logits[:200], truth[:200], {}, "half")
    assert set(found.floors) == {"no", "yes"} and found.coverage == 0.9 and "rule it out" not in found.note
    yes = 1 / (1 + np.exp(-(logits[200:, 0] / found.temperature + found.offsets[0])))
    held = np.where(truth[200:] == 1, yes >= found.floors["yes"], 1 - yes >= found.floors["no"])
    assert 0.82 < held.mean() < 0.98
    few = calibrate(plan(), logits[:12], truth[:12], {}, "few")
    assert 0.0 in few.floors.values() and "every set holds it" in few.note


def overconfident(cases: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits three times too far out and one too high; of both classes enough."""
    generator = np.random.default_rng(seed)
    odds = generator.normal(-0.8, 1.5, size=cases)
    truth = (generator.random(cases) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    return (3 * odds + 1)[:, None], truth


@pytest.mark.parametrize("method", ["temperature", "platt", "isotonic"])
def test_each_method_improves_log_loss_and_slope_of_new_cases(plan: Callable[..., Plan], method: str) -> None:
    """5,000 miscalibrated cases fit it; as many others are judged."""
    chosen = plan(calibration=method)
    found = calibrate(chosen, *overconfident(5000, 1), {}, "simulated")
    assert found.method == method and (found.curves is None) == (method != "isotonic")
    logits, truth = overconfident(5000, 2)
    before, after = probabilities(logits, multi_label=False), calibrated(logits, chosen, found)
    losses = [-np.log(np.where(truth == 1, p[:, 0], 1 - p[:, 0])).mean() for p in (before, after)]
    assert losses[1] < losses[0] - 0.2
    slopes = [recalibration(truth, p[:, 0], np.arange(5000))["calibration_slope"] for p in (before, after)]
    assert slopes[0].value == pytest.approx(1 / 3, abs=0.03)
    assert slopes[1].value is not None and abs(slopes[1].value - 1) < 0.08
    assert auc(truth, after[:, 0]) == pytest.approx(auc(truth, logits[:, 0]), abs=1e-3)
    if method != "temperature":  # one number cannot move the whole
        level = recalibration(truth, after[:, 0], np.arange(5000))["calibration_intercept"]
        assert level.value is not None and abs(level.value) < 0.15  # two samples of 5,000 differ by 0.05 themselves


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_classes_and_findings_are_calibrated_as_well(plan: Callable[..., Plan], method: str) -> None:
    generator = np.random.default_rng(4)
    odds = generator.normal(size=(4000, 3)) * 1.5 + [0.5, 0.0, -1.0]
    honest = probabilities(odds, multi_label=False)
    truth = (generator.random(4000)[:, None] > honest.cumsum(axis=1)).sum(axis=1)
    labels = {"labels": ["a", "b", "c"], "positive": None}
    several = plan(task="multiclass", calibration=method, **labels)
    found = calibrate(several, 2 * odds + [0.0, 1.0, 0.0], truth, {}, "simulated")
    after = calibrated(2 * odds + [0.0, 1.0, 0.0], several, found)
    assert np.allclose(after.sum(axis=1), 1) and abs(after - honest).mean() < 0.03
    findings = plan(task="multilabel", calibration=method, **labels)
    states = (generator.random((4000, 3)) < 1 / (1 + np.exp(-odds))).astype(np.float64)
    states[3960:, 2] = np.nan
    states[:3930, 2] = np.nan  # thirty cases of the third are known: too few for a curve, enough for a line
    found = calibrate(findings, 2 * odds + 1, states, {}, "simulated")
    after = calibrated(2 * odds + 1, findings, found)
    assert abs(after[:, :2] - 1 / (1 + np.exp(-odds[:, :2]))).mean() < 0.03
    assert ("c: only" in found.note) == (method == "isotonic") == (found.curves is not None)
    if found.curves:  # the finding without a curve has its temperature and nothing else
        alone = 1 / (1 + np.exp(-((2 * odds[:, 2] + 1) / found.divisors[2] + found.offsets[2])))  # type: ignore[index]
        np.testing.assert_allclose(after[:, 2], alone, atol=1e-9)


def test_a_curve_of_few_cases_is_refused_and_said_so(plan: Callable[..., Plan]) -> None:
    found = calibrate(plan(calibration="isotonic"), *simulated(120), {}, "few")
    assert found.curves is None and "isotonic curve needs 50" in found.note


def test_sets_of_findings_hold_presence_and_absence_as_often_as_promised(plan: Callable[..., Plan]) -> None:
    """Each state of each finding by itself: fixed on 300 cases, counted on 3,000 others."""
    generator = np.random.default_rng(6)
    findings = plan(task="multilabel", labels=["a", "b"], positive=None)

    def cases(count: int) -> tuple[np.ndarray, np.ndarray]:
        states = (generator.random((count, 2)) < [0.3, 0.5]).astype(np.float64)
        return generator.normal(size=(count, 2)) + 2 * states - 1, states

    found = calibrate(findings, *cases(300), {}, "simulated")
    logits, states = cases(3000)
    values = calibrated(logits, findings, found)
    for place, label in enumerate(("a", "b")):
        held = np.where(
            states[:, place] == 1,
            values[:, place] >= found.floors[label],
            1 - values[:, place] >= found.absent_floors[label],
        )
        for state in (0, 1):
            fixed_on = int(300 * (0.3, 0.5)[place]) if state else int(300 * (0.7, 0.5)[place])
            low, high = expected_coverage(fixed_on - 20, int((states[:, place] == state).sum()), 0.9, certainty=0.999)
            assert low <= held[states[:, place] == state].mean() <= high
    few = calibrate(findings, logits[:12], states[:12], {}, "few")
    assert 0.0 in {*few.floors.values(), *few.absent_floors.values()} and "every set holds it" in few.note
