"""What probabilities would be worth without the calibration, so that a reader sees what it did."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from hounsfield.core import Predictions
from hounsfield.measure import NEAREST, Estimate, average, recalibration

# Logits of another tool's table are those of its probabilities: nothing was done to them.
SAME = 1e-9


def before_calibration(judged: Predictions, owners: NDArray[np.str_]) -> dict[str, Estimate]:
    """Return Brier score, log loss, calibration slope and intercept of the plain sigmoid of a binary task's logits.

    Empty where the task is not binary, or where probabilities are that sigmoid already. `owners` (n,) are the patients.
    """
    if judged.task.positive is None:
        return {}
    truth = (judged.truth == 1).astype(np.int64)
    values = np.clip(expit(judged.logits[:, 0]), NEAREST, 1 - NEAREST)
    if np.abs(values - np.clip(judged.probabilities[:, 0], NEAREST, 1 - NEAREST)).max() < SAME:
        return {}
    losses = {"brier": (values - truth) ** 2, "log_loss": -np.log(np.where(truth == 1, values, 1 - values))}
    return {name: mean_loss(each, owners) for name, each in losses.items()} | recalibration(truth, values, owners)


def mean_loss(each: NDArray[np.float64], owners: NDArray[np.str_]) -> Estimate:
    """The mean of a loss (n,) of each case, with its interval over patients."""
    found = average(each, np.unique(owners, return_inverse=True)[1])
    if found is None:
        return Estimate(float(each.mean()), None, None, "none", len(each), note="no loss, or one patient")
    return Estimate(float(each.mean()), *found, len(each))
