"""Calibration and operating point, fitted on cases that neither trained the weights nor chose the epoch."""

from __future__ import annotations

import numpy as np

from hounsfield.core.bundle import Calibration
from hounsfield.core.plan import Plan
from hounsfield.measure import fit_temperature, probabilities, threshold
from hounsfield.train.losses import offsets_of

FEW = 30
# Below this the fit has run to the end of its range, which only separable cases make it do.
SHARPEST = 0.06


def calibrate(plan: Plan, logits: np.ndarray, truth: np.ndarray, fitted_on: str) -> Calibration:
    """Fit temperature and threshold.

    Parameters
    ----------
    logits, truth:
        (n, outputs) and (n,) class index.
    fitted_on:
        In words, which cases these are.
    """
    offsets = offsets_of(plan.loss.value, plan.labels.value)
    temperature, notes = fit_temperature(logits, truth, offsets=offsets), []
    if temperature < SHARPEST:
        temperature = 1.0
        notes.append("the calibration cases are separated perfectly, so no temperature can be fitted; it stays 1")
    if len(truth) < FEW:
        notes.append(f"only {len(truth)} cases: temperature and operating point are rough")
    cut, rule = None, "the most probable class"
    if plan.task.value == "binary":
        values = probabilities(logits, temperature=temperature, offsets=offsets)[:, 0]
        if len(set(truth.tolist())) == 2:
            cut, rule = float(threshold(truth, values, plan.operating_point.value)), plan.operating_point.value
        else:
            cut, rule = 0.5, "0.5"
            notes.append("the calibration cases have one label only, so no operating point can be chosen; it is 0.5")
    return Calibration(
        temperature=temperature, offsets=offsets, threshold=cut, operating_point=rule, fitted_on=fitted_on, cases=len(truth),
        note="; ".join(notes),
    )  # fmt: skip
