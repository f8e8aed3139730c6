"""What the rules share: luminance, the range of a file, and a range turned into 0 to 1."""

from __future__ import annotations

import math

import numpy as np

from hounsfield.core.image import Image

# ITU-R BT.601, the luminance that DICOM's YBR_FULL uses too (PS3.3 C.7.6.3.1.2).
LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def grey_of(frame: np.ndarray) -> np.ndarray:
    """Return (height, width) of a grey frame, or the luminance of (height, width, 3)."""
    return frame @ LUMINANCE if frame.ndim == 3 else frame


def range_of(image: Image) -> tuple[float, float]:
    """Return the range that the file can hold; where it states none, the range that it uses."""
    if image.facts.value_range is not None:
        return image.facts.value_range
    return float(image.pixels.min()), float(image.pixels.max())


def unit_range(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map low to 0 and high to 1, clip, and return float32; zeros where there is no range."""
    if high <= low:
        return np.zeros(values.shape, dtype=np.float32)
    # The whole part first: between whole numbers float32 is exact, and a narrow window at 60000 keeps its edges.
    whole = math.floor(low)
    result = values.astype(np.float32, copy=False) - np.float32(whole)
    result -= np.float32(low - whole)
    result *= np.float32(1.0 / (high - low))
    return np.clip(result, 0.0, 1.0, out=result)


def bright_up(shown: np.ndarray, image: Image) -> np.ndarray:
    """Turn values of 0 to 1 round where the file shows low values bright, as in MONOCHROME1."""
    return 1.0 - shown if image.facts.inverted else shown
