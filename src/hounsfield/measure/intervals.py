"""Intervals that hold what they say in small samples: by formula where there is one, else a bootstrap on a fitting scale.

Each allows for several cases of one patient. `tests/measure/test_coverage.py` simulates how often they hold the truth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import norm, t

from hounsfield.measure.bootstrap import LEVEL, Estimate, difference, exact, score_interval

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Interval = tuple[float, float, str]

WILSON = "Wilson"
EXACT = "exact bound"
NONE = "none"
WILSON_CLUSTERED = "Wilson, variance between patients"
MEAN = "t, log scale"
MEAN_CLUSTERED = "t, log scale, variance between patients"
RATIO = "square-and-add of both shares, log scale"
BOOTSTRAP = "patient bootstrap"


@dataclass(frozen=True)
class Scale:
    """Where the values of a measure scatter evenly enough to lay t quantiles on both sides; `back` undoes `forth`."""

    name: str
    forth: Callable[[Floats], Floats]
    back: Callable[[Floats], Floats]


LOGIT = Scale("logit", logit, expit)
LOG = Scale("log", np.log, np.exp)
FISHER = Scale("Fisher's z", np.arctanh, np.tanh)


def proportion(hits: Bools, rows: Bools, owner: Ints, level: float = LEVEL) -> Interval | None:
    """Return the score interval of the share of `hits` among `rows`, each (n,).

    Where a patient gives one of these cases, it is that of Wilson (1927). Else the number of cases is replaced by the number
    of independent ones that would vary as much (variance between patients: Cochran 1977, section 3.12; effective size with
    t quantiles: Korn and Graubard 1998). None where the share is 0 or 1, of one patient alone, or where patients do not vary.

    Parameters
    ----------
    owner:
        (n,), whose case it is.
    """
    count = int(rows.sum())
    patients = len(np.unique(owner[rows]))
    value = float(hits[rows].mean()) if count else float("nan")
    if not 0 < value < 1 or patients < 2:
        return None
    if patients == count:
        low, high = score_interval(value, count, float(norm.ppf(0.5 + level / 2)))
        return low, high, WILSON
    variance = _between(np.where(rows, hits - value, 0.0), owner, patients) / count**2
    if variance <= 0:
        return None
    effective = min(float(count), value * (1 - value) / variance)
    low, high = score_interval(value, effective, float(t.ppf(0.5 + level / 2, patients - 1)))
    return low, high, WILSON_CLUSTERED


def share(hits: Bools, rows: Bools, patients: NDArray[np.generic], level: float = LEVEL) -> Estimate:
    """Return the share of `hits` among `rows`, each (n,), with its interval: `proportion`, or an exact bound at 0 and 1.

    Parameters
    ----------
    patients:
        (n,), whose case it is.
    """
    count = int(rows.sum())
    if not count:
        return Estimate(None, None, None, NONE, 0, note="there is no such case")
    _, owner = np.unique(patients, return_inverse=True)
    value, found = float(hits[rows].mean()), proportion(hits, rows, owner, level)
    if found is not None:
        return Estimate(value, *found, count)
    k = len(np.unique(owner[rows]))
    if 0 < value < 1 or k < 2:
        return Estimate(value, None, None, NONE, count, note="patients do not vary, so there is no interval")
    low, high = exact(k if value > 0.5 else 0, k, level)
    return Estimate(value, low, high, EXACT, count, note=f"nothing varied, so the bound is that of {k} of {k} patients")


def ratio(above: Estimate, below: Estimate) -> Interval | None:
    """Return the interval of the quotient of two shares of different cases, from theirs; None where one is 0 or has none.

    Square-and-add (`difference`) of their logarithms. Where a patient has cases in both it is a little too wide.
    """
    logs = []
    for one in (below, above):
        if not one.value or not one.low or one.high is None:
            return None
        value, low, high = (float(np.log(end)) for end in (one.value, one.low, one.high))
        logs.append(Estimate(value, low, high, one.method, one.n))
    low, high = difference(*logs)
    return float(np.exp(low)), float(np.exp(high)), RATIO


def f1(truth: Bools, called: Bools, owner: Ints, level: float = LEVEL) -> Interval | None:
    """Return the interval of 2·TP / (2·TP + FP + FN).

    It rises with J = TP / (TP + FP + FN), a plain proportion, as 2·J / (1 + J); so does its interval (`proportion`).
    """
    found = proportion(truth & called, truth | called, owner, level)
    if found is None:
        return None
    low, high, method = found
    return 2 * low / (1 + low), 2 * high / (1 + high), method


def average(values: Floats, owner: Ints, level: float = LEVEL) -> Interval | None:
    """Return the interval of the mean of positive `values` (n,), by their variance between patients.

    On the log scale, since losses are skewed: the interval then reaches further up than down. None where the mean is 0, or
    of one patient.
    """
    value, patients = float(values.mean()), len(np.unique(owner))
    if value <= 0 or patients < 2:
        return None
    error = np.sqrt(_between(values - value, owner, patients)) / len(values)
    reach = np.exp(float(t.ppf(0.5 + level / 2, patients - 1)) * error / value)
    return value / reach, value * reach, MEAN if patients == len(values) else MEAN_CLUSTERED


def resampled(value: float, drawn: Floats, scale: Scale, freedom: int, level: float = LEVEL) -> Interval | None:
    """Return value ± t·(standard deviation of the resamples), on a scale.

    The percentiles of the resamples would be shifted by the pull that few cases have on a ranking, twice (Efron and Tibshirani
    1993, chapter 13), so the resamples give only the width.

    Parameters
    ----------
    drawn:
        (resamples,); nan are left out, and so are those at the end of a scale (a perfect resample).
    freedom:
        Of t: one less than the patients that the measure rests on.

    None where the value lies at the end of the scale, or fewer than half of the resamples are of use, or they do not vary.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        centre, seen = float(scale.forth(np.array(value))), scale.forth(drawn)
    kept = seen[np.isfinite(seen)]
    if not np.isfinite(centre) or freedom < 1 or len(kept) < max(2, len(drawn) / 2):
        return None
    spread = float(kept.std(ddof=1))
    if spread < 1e-12:
        return None
    half = float(t.ppf(0.5 + level / 2, freedom)) * spread
    low, high = map(float, scale.back(np.array([centre - half, centre + half])))
    return low, high, f"{BOOTSTRAP}, {scale.name} scale"


def _between(deviations: Floats, owner: Ints, patients: int) -> float:
    """The variance of a sum of deviations, from its patients' sums."""
    sums = np.bincount(owner, weights=deviations)
    return float(patients / (patients - 1) * (sums @ sums))
