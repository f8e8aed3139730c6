"""Pixels that are no number: replaced by the lowest value of the image, as the padding of a CT is."""

from __future__ import annotations

import numpy as np

from hounsfield.errors import ReadError


def finite(pixels: np.ndarray) -> np.ndarray:
    """Return float pixels in which NaN and infinities have become the lowest finite value of the image.

    Analysis tools write NaN where they have no value, outside the head or the field of view; one NaN that stays would
    spread through every average and every network. Changed in place.

    Raises
    ------
    ReadError
        If no pixel is a finite number.
    """
    if np.isfinite(pixels.sum(dtype=np.float64)):  # one pass without a mask; a NaN or an infinity survives the sum
        return pixels
    known = np.isfinite(pixels)
    if not known.any():
        raise ReadError("no pixel of the image is a number (NaN everywhere)", fix="Export it again.")
    pixels[~known] = pixels[known].min()
    return pixels
