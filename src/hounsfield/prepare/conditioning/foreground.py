"""The rules `percentiles` and `zscore`: for MR, whose values have no unit, a scale from the case's own foreground.

One scale for the whole case, so that its slices stay comparable with each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hounsfield.core.image import Image
from hounsfield.prepare.conditioning.grey import grey_of, unit_range
from hounsfield.prepare.conditioning.otsu import otsu

# z-scores below and above which nothing is told apart. Air lies below; fat, contrast medium and oedema lie further above
# the mean of all tissue than anything lies below it.
LOWEST_Z, HIGHEST_Z = -3.0, 5.0
# A foreground smaller than this part of the case is a few bright voxels, not the patient.
LEAST_FOREGROUND = 0.02


def percentiles(images: Sequence[Image]) -> list[np.ndarray]:
    """Map the 1st to 99th percentile of what lies above the case's lowest value to 0 to 1."""
    frames, sample = _sampled(images)
    inside = sample[sample > sample.min()]
    if inside.size == 0:
        return [np.zeros_like(frame) for frame in frames]
    low, high = np.percentile(inside, [1.0, 99.0])
    if high <= low:  # two values only, as in a mask
        low = float(sample.min())
    return [unit_range(frame, float(low), float(high)) for frame in frames]


def zscore(images: Sequence[Image]) -> list[np.ndarray]:
    """Map −3 to 5 standard deviations around the mean of the case's foreground to 0 to 1."""
    frames, sample = _sampled(images)
    inside = foreground(sample)
    if inside.size == 0:
        return [np.zeros_like(frame) for frame in frames]
    mean, deviation = float(inside.mean(dtype=np.float64)), float(inside.std(dtype=np.float64))
    if deviation <= 1e-6 * max(1.0, abs(mean)):  # one value only, as in a mask
        return [unit_range(frame, float(sample.min()), mean) for frame in frames]
    return [unit_range(frame, mean + LOWEST_Z * deviation, mean + HIGHEST_Z * deviation) for frame in frames]


def foreground(sample: np.ndarray) -> np.ndarray:
    """Return the values above Otsu's threshold: tissue, as against air and its noise.

    Where hardly anything lies above it, or the values are of no two kinds, all values above the lowest are taken.
    """
    inside = sample[sample > otsu(sample)]
    return inside if inside.size >= LEAST_FOREGROUND * sample.size else sample[sample > sample.min()]


def _sampled(images: Sequence[Image]) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the grey frames of a case, bright being high, and every fourth of their values: enough for any statistic."""
    frames = [
        # Turned round, the values are negative; the scale that follows knows no offset.
        -grey_of(frame) if image.facts.inverted else grey_of(frame)
        for image in images
        for frame in image
    ]
    return frames, np.concatenate([frame[::2, ::2].ravel() for frame in frames])
