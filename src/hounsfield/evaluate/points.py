"""The curves of an evaluation as lists of points that fit into a JSON file and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hounsfield.measure import BAND_RATES, precision_recall_curve, reliability_curve, roc_curve

MOST_POINTS = 200
Points = dict[str, dict[str, list[float]]]


def curves(
    truth: NDArray[np.int64],
    probability: NDArray[np.float64],
    labels: Sequence[str],
    band: Mapping[str, NDArray[np.float64]],
) -> dict[str, Points]:
    """Return label → curve → points, for the positive label of two, or for every label of more.

    A label that no case, or every case, has gets only its reliability. Single probabilities are not kept: points are
    thinned and thresholds left out, so that a curve does not list the cases one by one.
    """
    judged = [(1, 0)] if probability.shape[1] == 1 else [(place, place) for place in range(len(labels))]
    found: dict[str, Points] = {}
    for target, column in judged:
        label, positive, scores = labels[target], (truth == target).astype(np.int64), probability[:, column]
        points: Points = {}
        if 0 < positive.sum() < len(positive):
            roc, recall = roc_curve(positive, scores), precision_recall_curve(positive, scores)
            points["roc"] = {"false_positive_rate": _thin(roc.x), "sensitivity": _thin(roc.y)}
            if label in band:
                low, high = band[label]
                points["roc_band"] = {
                    "false_positive_rate": BAND_RATES.tolist(),
                    "low": _rounded(low),
                    "high": _rounded(high),
                }
            points["precision_recall"] = {"recall": _thin(recall.x), "precision": _thin(recall.y)}
        bins = reliability_curve(positive, scores)
        points["reliability"] = {
            name: _rounded(getattr(bins, name)) for name in ("predicted", "observed", "low", "high", "count")
        }
        found[label] = points
    return found


def _thin(values: NDArray[np.float64]) -> list[float]:
    if len(values) > MOST_POINTS:
        values = values[np.unique(np.linspace(0, len(values) - 1, MOST_POINTS).round().astype(int))]
    return _rounded(values)


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(float(value), 5) for value in values]
