"""How probabilities would have to be bent to fit what happened: intercept and slope of a logistic regression on them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from scipy.stats import t

from hounsfield.measure.bootstrap import LEVEL, Estimate

Floats = NDArray[np.float64]
SANDWICH = "Wald, variance between patients"
# A probability of 0 or 1 has no finite logit; nearer than this they are taken for this.
NEAREST = 1e-6
_STEPS = 100
_STEEPEST = 50.0


def recalibration(
    truth: ArrayLike, probability: ArrayLike, patients: ArrayLike, level: float = LEVEL
) -> dict[str, Estimate]:
    """Return "calibration_slope" and "calibration_intercept" (Cox 1958; Van Calster et al., BMC Medicine 17, 230, 2019).

    The slope b is that of logit P(y = 1) = a + b·logit p: 1 is right, below 1 probabilities are too extreme. The intercept a is
    that with b = 1: 0 is right, above 0 probabilities are too low on the whole ("calibration in the large").

    Parameters
    ----------
    truth:
        (n,), 0 or 1.
    probability:
        (n,), of 1. Nearer to 0 or 1 than 1e-6 they count as 1e-6 away.
    patients:
        (n,), whose case it is: errors are from the variance between patients (Liang and Zeger 1986).
    """
    happened = np.asarray(truth, dtype=np.float64)
    odds = logit(np.clip(np.asarray(probability, dtype=np.float64), NEAREST, 1 - NEAREST))
    _, owner = np.unique(np.asarray(patients), return_inverse=True)
    names = ("calibration_slope", "calibration_intercept")
    if len(np.unique(happened)) < 2:
        return {name: _nothing(len(happened), "there are no two classes to compare") for name in names}
    ones = np.ones((len(odds), 1))
    slope = (
        _nothing(len(happened), "all probabilities are equal")
        if np.ptp(odds) < 1e-9
        else _fitted(np.column_stack([odds, ones[:, 0]]), happened, np.zeros(len(odds)), owner, level)
    )
    return dict(zip(names, (slope, _fitted(ones, happened, odds, owner, level)), strict=True))


def _fitted(terms: Floats, happened: Floats, offset: Floats, owner: NDArray[np.int64], level: float) -> Estimate:
    """The first coefficient of a logistic regression, by Newton's method."""
    weights = np.zeros(terms.shape[1])
    for _ in range(_STEPS):
        expected = expit(terms @ weights + offset)
        curvature = terms.T @ (terms * (expected * (1 - expected))[:, None])
        if np.linalg.cond(curvature) > 1e12:
            break
        step = np.linalg.solve(curvature, terms.T @ (happened - expected))
        # A whole step from far away can overshoot where the curve is flat.
        weights = weights + step * min(1.0, 2.0 / max(1e-12, float(np.abs(step).max())))
        if np.abs(weights[0]) > _STEEPEST:
            break
        if np.abs(step).max() < 1e-9:
            return _with_interval(terms, happened - expit(terms @ weights + offset), weights, curvature, owner, level)
    return _nothing(len(happened), "the classes are separated, so no curve fits best")


def _with_interval(
    terms: Floats, rest: Floats, weights: Floats, curvature: Floats, owner: NDArray[np.int64], level: float
) -> Estimate:
    value, patients = float(weights[0]), int(owner.max()) + 1
    if patients < 2:
        return Estimate(value, None, None, "none", len(rest), note="one patient only, so there is no interval")
    scores = np.column_stack([np.bincount(owner, weights=rest * column) for column in terms.T])
    bread = np.linalg.inv(curvature)
    variance = float((bread @ (scores.T @ scores) @ bread)[0, 0]) * patients / (patients - 1)
    half = float(t.ppf(0.5 + level / 2, patients - 1)) * np.sqrt(variance)
    return Estimate(value, value - half, value + half, SANDWICH, len(rest))


def _nothing(cases: int, note: str) -> Estimate:
    return Estimate(None, None, None, "none", cases, note=note)
