"""Calibration and operating point, fitted on cases that neither trained the weights nor chose the epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hounsfield.core.calibration import Calibration, CalibrationCurve, OperatingPoint
from hounsfield.core.plan import Plan
from hounsfield.measure import (
    Knots,
    fit_isotonic,
    fit_platt,
    fit_temperature,
    floors,
    parse_rule,
    probabilities,
    threshold,
)
from hounsfield.train.losses import offsets_of

FEW = 30
COVERAGE = 0.9
# What a reader may want to compare; fixed here, so that nobody chooses on test.
RULES = ("youden", "sensitivity>=0.95", "specificity>=0.95", "cost=5")
# Below this the fit has run to the end of its range, which only separable cases make it do.
SHARPEST = 0.06
# A curve of fewer cases follows their noise: of each output, with its label and without.
ENOUGH_FOR_A_CURVE = 50
# What changes nothing, for a label without a curve beside one that has one; log odds beyond are 0 or 1 in single precision.
STRAIGHT = ((-100.0, 100.0), (-100.0, 100.0))


@dataclass(frozen=True)
class _Link:
    """What turns logits of some outputs into probabilities."""

    temperature: float
    offsets: list[float]
    knots: Sequence[Knots] | None = None

    def probabilities(self, logits: np.ndarray, *, multi_label: bool) -> np.ndarray:
        return probabilities(
            logits, multi_label=multi_label, temperature=self.temperature, offsets=self.offsets, curves=self.knots
        )


def calibrate(
    plan: Plan, logits: np.ndarray, truth: np.ndarray, weights: Mapping[str, float], fitted_on: str
) -> Calibration:
    """Fit what the plan's `calibration` says, and thresholds.

    Parameters
    ----------
    logits:
        (n, outputs).
    truth:
        (n,) class index; or (n, outputs) floats, 1 present, 0 absent, NaN not known.
    weights:
        Label → how much its cases weighed in training, through the loss or the sampler.
    fitted_on:
        In words, which cases these are.
    """
    labels = plan.labels.value
    notes = [f"only {len(truth)} cases: temperature and operating point are rough"] if len(truth) < FEW else []
    told = {"fitted_on": fitted_on, "cases": len(truth)}
    if truth.ndim == 2:
        return _of_findings(plan, logits, truth, offsets_of(weights, labels, multi_label=True), told, notes)
    offsets = offsets_of(weights, labels)
    link = _link(plan, logits, truth, offsets, "", notes)
    cut, rule, points = None, "the most probable class", []
    values = link.probabilities(logits, multi_label=False)
    if plan.task.value == "binary":
        cut, rule = _threshold(plan, truth, values[:, 0], "", notes)
        points = _points(truth, values[:, 0], rule, cut)
    lowest = dict(zip(labels, floors(truth, values, COVERAGE).tolist(), strict=True))
    _too_few_for_sets([label for label, floor in lowest.items() if floor == 0], notes)
    return Calibration(
        method=plan.calibration.value, temperature=link.temperature, offsets=link.offsets, curves=_curves(link.knots),
        threshold=cut, operating_point=rule, points=points, floors=lowest, coverage=COVERAGE,
        note="; ".join(notes), **told,
    )  # fmt: skip


def _too_few_for_sets(labels: Sequence[str], notes: list[str]) -> None:
    if labels:
        notes.append(
            f"too few calibration cases of {', '.join(labels)} to rule it out with {COVERAGE:.0%} certainty: every set holds it"
        )


def _points(truth: np.ndarray, values: np.ndarray, chosen: str, cut: float) -> list[OperatingPoint]:
    """The chosen rule first, then the others; none where the calibration cases have one label only."""
    if len(np.unique(truth)) < 2:
        return []
    others = [rule for rule in RULES if parse_rule(rule) != parse_rule(chosen)]
    found = {chosen: cut} | {rule: float(threshold(truth, values, rule)) for rule in others}
    return [OperatingPoint(rule=rule, threshold=value) for rule, value in found.items()]


def _of_findings(
    plan: Plan, logits: np.ndarray, truth: np.ndarray, offsets: list[float], told: dict[str, Any], notes: list[str]
) -> Calibration:
    """Fit each finding by itself, on the cases in which it is known."""
    links, thresholds = [], []
    lowest: dict[str, tuple[float, float]] = {}  # of absence, of presence
    for place, label in enumerate(plan.labels.value):
        known = ~np.isnan(truth[:, place])
        mine, states = logits[known, place : place + 1], truth[known, place].astype(np.int64)
        link = _link(plan, mine, states, offsets[place : place + 1], f"{label}: ", notes)
        values = link.probabilities(mine, multi_label=True)
        links.append(link)
        absent, present = floors(states, values, COVERAGE).tolist()
        lowest[label] = (absent, present)
        thresholds.append(_threshold(plan, states, values[:, 0], f"{label}: ", notes)[0])
    few = [(f"no {label}", label)[place] for label, pair in lowest.items() for place in (0, 1) if pair[place] == 0]
    _too_few_for_sets(few, notes)
    knots = [link.knots[0] if link.knots else STRAIGHT for link in links]
    return Calibration(
        method=plan.calibration.value, temperature=1.0, temperatures=[link.temperature for link in links],
        offsets=[link.offsets[0] for link in links], thresholds=thresholds,
        floors={label: pair[1] for label, pair in lowest.items()},
        absent_floors={label: pair[0] for label, pair in lowest.items()}, coverage=COVERAGE,
        curves=_curves(knots if any(link.knots for link in links) else None),
        operating_point=plan.operating_point.value, note="; ".join(notes), **told,
    )  # fmt: skip


def _link(plan: Plan, logits: np.ndarray, truth: np.ndarray, offsets: list[float], of: str, notes: list[str]) -> _Link:
    method = plan.calibration.value
    if method == "platt":
        temperature, moved = fit_platt(logits, truth, offsets=offsets)
        return _Link(temperature, moved)
    temperature = _temperature(logits, truth, offsets, of, notes)
    if method == "temperature":
        return _Link(temperature, offsets)
    counts = np.bincount(truth, minlength=max(2, logits.shape[1]))
    fewest = min(int(min(count, len(truth) - count)) for count in counts)
    if fewest < ENOUGH_FOR_A_CURVE:
        notes.append(
            f"{of}only {fewest} calibration cases with or without a label, and an isotonic curve needs {ENOUGH_FOR_A_CURVE}: "
            "it stays with a temperature"
        )
        return _Link(temperature, offsets)
    return _Link(temperature, offsets, fit_isotonic(logits, truth, temperature=temperature, offsets=offsets))


def _curves(knots: Sequence[Knots] | None) -> list[CalibrationCurve] | None:
    return None if knots is None else [CalibrationCurve(at=list(at), to=list(to)) for at, to in knots]


def _temperature(logits: np.ndarray, truth: np.ndarray, offsets: list[float], of: str, notes: list[str]) -> float:
    if len(np.unique(truth)) < 2:
        return 1.0
    found = fit_temperature(logits, truth, offsets=offsets)
    if found >= SHARPEST:
        return found
    notes.append(f"{of}the calibration cases are separated perfectly, so no temperature can be fitted; it stays 1")
    return 1.0


def _threshold(plan: Plan, truth: np.ndarray, values: np.ndarray, of: str, notes: list[str]) -> tuple[float, str]:
    if len(np.unique(truth)) == 2:
        rule = plan.operating_point.value
        return float(threshold(truth, values, rule)), rule
    notes.append(f"{of}the calibration cases have one label only, so no operating point can be chosen; it is 0.5")
    return 0.5, "0.5"
