"""The points of curves: ROC, precision-recall, reliability. Plain arrays, ready for a plot or a JSON file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics

from hounsfield.measure.bootstrap import wilson

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Points (x, y) and the threshold that each belongs to (nan or infinite at an end)."""

    x: Floats
    y: Floats
    thresholds: Floats


@dataclass(frozen=True)
class Reliability:
    """Per bin: mean probability, observed share with its 95% Wilson interval, and the number of cases."""

    predicted: Floats
    observed: Floats
    low: Floats
    high: Floats
    count: NDArray[np.int64]


def roc_curve(truth: ArrayLike, scores: ArrayLike) -> Curve:
    """Return x = 1 - specificity, y = sensitivity, for truth (n,) in {0, 1} with both present, scores (n,)."""
    x, y, thresholds = metrics.roc_curve(np.asarray(truth), np.asarray(scores, dtype=np.float64))
    return Curve(x, y, thresholds)


def precision_recall_curve(truth: ArrayLike, scores: ArrayLike) -> Curve:
    """Return x = recall (sensitivity), rising, y = precision (PPV); shapes as in `roc_curve`."""
    precision, recall, thresholds = metrics.precision_recall_curve(
        np.asarray(truth), np.asarray(scores, dtype=np.float64), drop_intermediate=True
    )
    return Curve(recall[::-1], precision[::-1], np.append(np.inf, thresholds[::-1]))


def bins(probability: ArrayLike, *, most: int = 10, fewest_cases: int = 10) -> NDArray[np.int64]:
    """Return the bin (n,) of each probability (n,): about equal counts, equal values always in one bin.

    There are at most `most` bins, fewer where they would hold less than `fewest_cases`.
    """
    values = np.asarray(probability, dtype=np.float64)
    count = int(np.clip(len(values) // fewest_cases, 1, most))
    edges = np.unique(np.quantile(values, np.arange(1, count) / count)) if len(values) else np.empty(0)
    _, place = np.unique(np.searchsorted(edges, values, side="left"), return_inverse=True)
    return place.astype(np.int64)


def reliability_curve(
    truth: ArrayLike, probability: ArrayLike, *, most: int = 10, fewest_cases: int = 10
) -> Reliability:
    """Return the observed share of positives per bin of predicted probability; truth (n,) in {0, 1}, n > 0.

    Bins hold about equal counts, so that each point is worth the same; a bin of two cases is noise drawn large.
    """
    values, positive = np.asarray(probability, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    place = bins(values, most=most, fewest_cases=fewest_cases)
    count = np.bincount(place)
    hits = np.bincount(place, weights=positive)
    low, high = wilson(hits, count)
    return Reliability(np.bincount(place, weights=values) / count, hits / count, low, high, count)
