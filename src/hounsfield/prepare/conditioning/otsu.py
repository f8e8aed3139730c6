"""Otsu's threshold: where a histogram of two hills is best cut in two."""

from __future__ import annotations

import numpy as np

BINS = 256


def otsu(values: np.ndarray) -> float:
    """Return the threshold alone; see `parted`."""
    return parted(values)[0]


def parted(values: np.ndarray) -> tuple[float, float]:
    """Return the threshold that makes the variance between the two sides greatest (Otsu 1979, IEEE SMC 9:62).

    What lies above it is the bright side. The last thousandth of the values is put into the topmost bin, so that one hot
    pixel does not take the bins away from all others. Where many thresholds are equally good, as between two hills
    with nothing between them, it is the middle of them. Equal values give that value.

    Returns
    -------
    The threshold, and Otsu's measure of how well it parts: the variance between the sides as a share of all variance. One
    hill has about 0.64 (a normal distribution) to 0.75 (a uniform one), two hills far apart nearly 1, equal values 0.
    """
    low, high = float(values.min()), float(np.percentile(values, 99.9))
    if high <= low:
        high = float(values.max())
    if high <= low:
        return low, 0.0
    counts, edges = np.histogram(np.minimum(values, high), bins=BINS, range=(low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1].astype(np.float64)
    above = counts.sum() - below
    sums = np.cumsum(counts * centres)
    with np.errstate(invalid="ignore", divide="ignore"):  # a side without values has no mean
        between = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / above) ** 2
    between = np.nan_to_num(between)
    best = np.flatnonzero(between >= between.max() * (1 - 1e-9))
    total = counts.sum()
    variance = (counts * centres**2).sum() / total - (sums[-1] / total) ** 2
    return float(edges[1:-1][best].mean()), float(between.max() / total**2 / variance) if variance > 0 else 0.0
