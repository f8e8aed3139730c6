"""Prediction sets: the labels that cannot be ruled out, so that a model may say that it does not know."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import betabinom

Floats = NDArray[np.float64]


def both(probability: ArrayLike) -> Floats:
    """(n, 1), of the second of two labels → (n, 2); (n, K) stays."""
    values = np.asarray(probability, dtype=np.float64)
    return np.column_stack([1 - values[:, 0], values[:, 0]]) if values.shape[1] == 1 else values


def floors(truth: ArrayLike, probability: ArrayLike, level: float) -> Floats:
    """Return per label the probability from which it belongs into a set that shall hold the true label with `level`.

    Split-conformal, each label by its own cases (Vovk 2012; Sadinle, Lei and Wasserman 2019): of cases of a label, a set holds
    it in at least `level`, whatever the model is worth, if later cases come as these did.

    Parameters
    ----------
    truth:
        (n,), class index, of cases that neither trained the weights nor chose the epoch.
    probability:
        (n, 1) of the second of two labels, or (n, K).

    Returns
    -------
    (K,); 0 for a label of which there are too few cases (fewer than level / (1 - level)): it can never be ruled out.
    """
    index, values = np.asarray(truth, dtype=np.int64), both(probability)
    found = np.zeros(values.shape[1])
    for label in range(values.shape[1]):
        mine = np.sort(values[index == label, label])
        left_out = int(np.floor((len(mine) + 1) * (1 - level) + 1e-9))
        if left_out >= 1:
            found[label] = mine[left_out - 1]
    return found


def sets(probability: ArrayLike, floor: ArrayLike) -> NDArray[np.bool_]:
    """Return (n, K): which labels belong into the set of each case; `floor` is (K,) or (n, K)."""
    inside: NDArray[np.bool_] = both(probability) >= np.asarray(floor)
    return inside


def expected_coverage(calibrated_on: int, cases: int, level: float, certainty: float = 0.95) -> tuple[float, float]:
    """Return between which shares the coverage of `cases` of a label lies with `certainty`, by chance of both samples.

    The coverage of one calibration is Beta distributed, and that of a finite test beta-binomial (Vovk 2012; Angelopoulos and
    Bates 2023, section 3.2).
    """
    left_out = int(np.floor((calibrated_on + 1) * (1 - level) + 1e-9))
    if left_out < 1:
        return 1.0, 1.0
    tail = (1 - certainty) / 2
    low, high = betabinom.ppf([tail, 1 - tail], cases, calibrated_on + 1 - left_out, left_out)
    return float(low / cases), float(high / cases)


def rejection(
    truth: ArrayLike, decision: ArrayLike, confidence: ArrayLike, steps: int = 20
) -> list[tuple[float, float]]:
    """Return (share of cases that are kept, accuracy among them), the least confident left out first.

    Parameters
    ----------
    truth, decision:
        (n,), class index.
    confidence:
        (n,); equal ones are kept or left out together.
    """
    right = np.asarray(truth) == np.asarray(decision)
    values = np.asarray(confidence, dtype=np.float64)
    found = []
    for cut in np.unique(np.quantile(values, np.arange(steps) / steps, method="lower")):
        kept = values >= cut
        found.append((float(kept.mean()), float(right[kept].mean())))
    return found
