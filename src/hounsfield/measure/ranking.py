"""How well scores rank the cases: area under the ROC curve and average precision, for one and for many weightings."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

Floats = NDArray[np.float64]


def auc(truth: ArrayLike, scores: ArrayLike) -> float:
    """Return the area under the ROC curve.

    Parameters
    ----------
    truth:
        (n,): 0 or 1, or a class index.
    scores:
        (n,) or (n, 1): the score of class 1. (n, K): scores per class; the answer is then the mean of the
        one-versus-rest areas over the classes that can be judged (present, and not the only one).

    Returns
    -------
    nan where no class can be judged, as with one class only.
    """
    return _macro(truth, scores, roc_auc_score)


def auc_error(area: float, positives: int, negatives: int) -> float:
    """Return the standard error of an area under the ROC curve (Hanley and McNeil, Radiology 1982, equation 1).

    nan where a class is empty.
    """
    if not positives or not negatives:
        return float("nan")
    both_positive, both_negative = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (
        area * (1 - area) + (positives - 1) * (both_positive - area**2) + (negatives - 1) * (both_negative - area**2)
    )
    return float(np.sqrt(max(0.0, variance) / (positives * negatives)))


def average_precision(truth: ArrayLike, scores: ArrayLike) -> float:
    """Return the average precision (the stepwise area under the precision-recall curve); shapes as in `auc`."""
    return _macro(truth, scores, average_precision_score)


def _macro(truth: ArrayLike, scores: ArrayLike, measure: object) -> float:
    assert callable(measure)
    index, columns = np.asarray(truth, dtype=np.int64), one_column_per_target(scores)
    found = []
    for target, column in targets(columns.shape[1], columns):
        positive = index == target
        if positive.any() and not positive.all():
            found.append(float(measure(positive, column)))
    return float(np.mean(found)) if found else float("nan")


def one_column_per_target(scores: ArrayLike) -> Floats:
    """(n,) → (n, 1); (n, K) stays."""
    values = np.asarray(scores, dtype=np.float64)
    return values[:, None] if values.ndim == 1 else values


def targets(outputs: int, columns: Floats) -> list[tuple[int, Floats]]:
    """Class index and its scores: class 1 alone where there is one output, else every class against the rest."""
    return [(1, columns[:, 0])] if outputs == 1 else [(place, columns[:, place]) for place in range(outputs)]


class WeightedRanking:
    """The ranking of one class against the rest, sorted once and then measured under many case weights.

    A bootstrap resample is nothing but a weight per case (how often its patient was drawn), so 2000 resamples need
    one sort and a few cumulative sums instead of 2000 sorts. Ties count one half in the area, as they should.

    Parameters
    ----------
    positive:
        (n,) bool.
    scores:
        (n,), higher meaning more likely positive.
    """

    def __init__(self, positive: NDArray[np.bool_], scores: Floats) -> None:
        self._order = np.argsort(-scores, kind="stable")
        ordered = scores[self._order]
        new = np.ones(len(ordered), dtype=bool)
        new[1:] = ordered[1:] != ordered[:-1]
        self._starts = np.flatnonzero(new)
        self._tied = len(self._starts) < len(ordered)
        self._positive = positive[self._order].astype(np.float64)

    def _groups(self, weights: Floats) -> tuple[Floats, Floats]:
        """Weights of positives and of negatives per distinct score, from the highest score down: (b, groups) each."""
        ordered = weights[:, self._order]
        positive = ordered * self._positive
        negative = ordered - positive
        if self._tied:
            positive = np.add.reduceat(positive, self._starts, axis=1)
            negative = np.add.reduceat(negative, self._starts, axis=1)
        return positive, negative

    def measure(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return (AUC, average precision), each (b,), for weights (b, n); nan where a class has no weight."""
        positive, negative = self._groups(weights)
        found, false = np.cumsum(positive, axis=1), np.cumsum(negative, axis=1)
        all_positive, all_negative = found[:, -1], false[:, -1]
        with np.errstate(divide="ignore", invalid="ignore"):
            beaten = all_negative[:, None] - false + 0.5 * negative
            area = np.einsum("bg,bg->b", positive, beaten) / (all_positive * all_negative)
            precision = np.where(positive > 0, found / (found + false), 0.0)
            average = np.einsum("bg,bg->b", positive, precision) / all_positive
        undefined = (all_positive == 0) | (all_negative == 0)
        return np.where(undefined, np.nan, area), np.where(undefined, np.nan, average)

    def sensitivity_at(self, weights: Floats, false_positive_rates: Floats) -> Floats:
        """Return the ROC curve's height at given false positive rates, (b, rates), for a band around the curve."""
        positive, negative = self._groups(weights)
        heights = np.full((len(weights), len(false_positive_rates)), np.nan)
        for row, (up, along) in enumerate(zip(np.cumsum(positive, axis=1), np.cumsum(negative, axis=1), strict=True)):
            if up[-1] > 0 and along[-1] > 0:
                across = np.concatenate([[0.0], along / along[-1]])
                heights[row] = np.interp(false_positive_rates, across, np.concatenate([[0.0], up / up[-1]]))
        return heights
