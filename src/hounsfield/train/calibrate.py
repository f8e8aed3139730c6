"""Calibration and operating point, fitted on cases that neither trained the weights nor chose the epoch."""

from __future__ import annotations

import numpy as np

from hounsfield.core.bundle import Calibration
from hounsfield.core.plan import Plan
from hounsfield.measure import fit_temperature, probabilities, threshold
from hounsfield.train.losses import offsets_of

FEW = 30


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
    temperature = fit_temperature(logits, truth, offsets=offsets)
    binary = plan.task.value == "binary"
    cut, rule = None, "the most probable class"
    if binary:
        values = probabilities(logits, temperature=temperature, offsets=offsets)[:, 0]
        cut, rule = float(threshold(truth, values, plan.operating_point.value)), plan.operating_point.value
    few = f"only {len(truth)} cases: temperature and operating point are rough" if len(truth) < FEW else ""
    return Calibration(
        temperature=temperature, offsets=offsets, threshold=cut, operating_point=rule, fitted_on=fitted_on, cases=len(truth), note=few,
    )  # fmt: skip
