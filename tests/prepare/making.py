"""Images to condition, made from numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from hounsfield.core import Facts, Image


def image(values: Any, unit: Any = "arbitrary", **facts: Any) -> Image:
    """One frame from rows, or several from a deeper list."""
    pixels = np.asarray(values, dtype=np.float32)
    wanted = 4 if unit == "RGB" else 3
    return Image(pixels[None] if pixels.ndim == wanted - 1 else pixels, unit, "source", facts=Facts(**facts))


def mammogram(
    size: tuple[int, int] = (400, 300), *, noise: float = 0.0, label: bool = True, seed: int = 0
) -> np.ndarray:
    """A left breast in [0, 1]: half an ellipse on the left edge, fat under its skin, dense inside, letters far from it."""
    height, width = size
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    away = np.hypot((rows - 0.45 * height) / (0.35 * height), columns / (0.6 * width))
    picture = np.where(away < 1, 0.25, 0.0) + np.where(away < 0.6, 0.5, 0.0)
    if label:
        picture[height // 20 : height // 10, -width // 6 : -width // 20] = 1.0
    picture += np.random.default_rng(seed).normal(0, noise, size) if noise else 0.0
    return np.clip(picture, 0, 1).astype(np.float32)
