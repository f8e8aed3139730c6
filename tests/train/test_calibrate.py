"""What training fixes on its calibration cases."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hounsfield.core import Plan
from hounsfield.measure import threshold
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
