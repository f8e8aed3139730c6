"""Grey morphology on bytes by shifted minima and maxima: some ten times faster than filters that go pixel by pixel."""

from __future__ import annotations

import numpy as np


def dilate(picture: np.ndarray, size: int) -> np.ndarray:
    """Return the maximum over squares of `size` (odd) around each pixel; edges are repeated outward."""
    return _running(_running(picture, size, 0, np.maximum), size, 1, np.maximum)


def erode(picture: np.ndarray, size: int) -> np.ndarray:
    """Return the minimum over squares of `size` (odd) around each pixel; edges are repeated outward."""
    return _running(_running(picture, size, 0, np.minimum), size, 1, np.minimum)


def top_hat(picture: np.ndarray, size: int) -> np.ndarray:
    """Return by how much each pixel is brighter than what is left when all things thinner than `size` are taken away.

    Steps from dark to bright give zero: only what ends on both sides remains (a white top-hat; Serra 1982).
    """
    return picture - dilate(erode(picture, size), size)


def along(picture: np.ndarray, length: int) -> np.ndarray:
    """Return what remains of bright things when they must hold a straight segment of `length` pixels in some direction.

    The greatest of the openings by segments in eight directions (Soille, Morphological Image Analysis, 2003, ch. 8).
    """
    half = length // 2
    height, width = picture.shape
    result = np.zeros_like(picture)
    angles = np.arange(8) * (np.pi / 8)
    for down, right in zip(np.sin(angles), np.cos(angles), strict=True):
        steps = [(round(step * down), round(step * right)) for step in range(-half, half + 1)]
        spans = [(slice(half + y, half + y + height), slice(half + x, half + x + width)) for y, x in steps]
        held = picture
        for extremum in (np.minimum, np.maximum):
            padded = np.pad(held, half)
            held = padded[spans[0]].copy()
            for span in spans[1:]:
                extremum(held, padded[span], out=held)
        np.maximum(result, held, out=result)
    return result


def _running(picture: np.ndarray, size: int, axis: int, extremum: np.ufunc) -> np.ndarray:
    """Double the window until it is more than half of `size`, then join two windows that overlap."""
    half = size // 2
    length = picture.shape[axis]

    def part(values: np.ndarray, start: int, stop: int) -> np.ndarray:
        # Slices of the axis itself: to move it to the front would copy the picture, and cost more than the minima.
        return values[start:stop] if axis == 0 else values[:, start:stop]

    first = np.repeat(part(picture, 0, 1), half, axis)
    last = np.repeat(part(picture, length - 1, length), half, axis)
    held = np.concatenate([first, picture, last], axis)
    window, whole = 1, length + 2 * half
    while 2 * window <= size:
        whole -= window
        held = extremum(part(held, 0, whole), part(held, window, window + whole))
        window *= 2
    return extremum(part(held, 0, length), part(held, size - window, size - window + length))
