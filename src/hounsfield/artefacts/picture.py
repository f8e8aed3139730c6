"""The picture that the detectors look at: one grey byte per pixel, bright things bright, not larger than they need."""

from __future__ import annotations

import numpy as np
from PIL import Image as Pillow

# Larger pictures are reduced by a whole factor: a radiograph of 3000 x 2500 becomes 1000 x 834, and its letters, which
# are made for readers of the whole picture, stay above the six pixels that text.py needs.
LONGEST = 1280
# Data that use at least this part of the range they could have are shown in that range, others in their own. So 8-bit
# pictures keep their scale, and 12 bits that came in words of 16 are not black.
USED = 0.25


def plane_of(frame: np.ndarray) -> np.ndarray:
    """Return (height, width) for a grey frame, or for (height, width, 3) the brightest channel, so that coloured letters
    are as bright as white ones. NaN and infinite values become the lowest finite value.

    Raises
    ------
    ValueError
        If the frame is neither (height, width) nor (height, width, 3), or empty.
    """
    if frame.size == 0 or frame.ndim not in (2, 3) or (frame.ndim == 3 and frame.shape[2] != 3):
        raise ValueError(f"a frame is (height, width) or (height, width, 3), not {frame.shape}")
    plane = frame if frame.ndim == 2 else np.maximum(np.maximum(frame[..., 0], frame[..., 1]), frame[..., 2])
    if plane.dtype.kind == "f" and not np.isfinite(plane.sum(dtype=np.float64)):
        finite = np.isfinite(plane)
        plane = np.where(finite, plane, plane[finite].min() if finite.any() else 0.0)
    return plane


def shown_range(plane: np.ndarray, value_range: tuple[float, float] | None) -> tuple[float, float]:
    """Return the values that are to be black and white."""
    low, high = float(plane.min()), float(plane.max())
    if value_range is not None and high - low >= USED * (value_range[1] - value_range[0]):
        return float(value_range[0]), float(value_range[1])
    return low, high


def picture_of(plane: np.ndarray, shown: tuple[float, float], *, inverted: bool) -> np.ndarray:
    """Return uint8 (height, width), reduced until no side is longer than LONGEST."""
    low, high = shown
    scale = 255.0 / (high - low) if high > low else 0.0
    grey = (plane.astype(np.float32, copy=False) - np.float32(low)) * np.float32(scale)
    picture = np.clip(grey, 0.0, 255.0, out=grey).astype(np.uint8)
    if inverted:
        picture = 255 - picture
    return reduced(picture, LONGEST)


def reduced(picture: np.ndarray, longest: int) -> np.ndarray:
    """Average whole blocks of a picture (uint8) until no side is longer than `longest`."""
    factor = -(-max(picture.shape) // longest)
    return picture if factor == 1 else np.asarray(Pillow.fromarray(picture).reduce(factor))
