"""Pictures of a case: the frame as the network's first window shows it, and the map laid over it."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image as Picture
from scipy.ndimage import gaussian_filter

from hounsfield.core import files
from hounsfield.core.recipe import Recipe, Window
from hounsfield.prepare import apply_steps

COLOURS = "inferno"
# Red speaks for the target, blue against it; told apart with any colour vision. Only how much covers the image follows the
# value: colours that pale towards 0 as well make middling values invisible.
FOR, AGAINST = (255, 50, 50), (60, 120, 255)
STRONGEST = 0.65
# Standard deviation of the blur that pixel-wise maps are drawn with, as a share of the shorter side.
NEIGHBOURHOOD = 0.03


def shown(frame: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Return a conditioned frame as (height, width, 3) bytes, through the recipe's first window; colour stays colour."""
    window = next(step for step in recipe.steps if isinstance(step, Window))
    first = Window(windows=window.windows[:1])
    planes = apply_steps([first], frame[None] if frame.ndim == 2 else np.moveaxis(frame, -1, 0))
    picture = np.rint(planes * 255).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(np.broadcast_to(picture, (3, *picture.shape[1:])), 0, -1))


def overlaid(picture: np.ndarray, values: np.ndarray, scale: float, *, signed: bool = False) -> np.ndarray:
    """Lay a map over a picture; `scale` is the value that gets the strongest colour, and must be told beside it."""
    share = np.clip(values / scale, -1, 1) if scale > 0 else np.zeros_like(values)
    if signed:
        colour = np.where(share[..., None] > 0, np.array(FOR), np.array(AGAINST))
    else:
        share = share.clip(0)
        colour = matplotlib.colormaps[COLOURS](share)[..., :3] * 255
    weight = (STRONGEST * np.abs(share))[..., None]
    return np.rint(picture * (1 - weight) + colour * weight).astype(np.uint8)


def smoothed(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Return a pixel-wise map as it is drawn, each pixel the mean of its neighbourhood, and the width of that in pixels.

    Of a map whose neighbours differ in sign and size nobody sees what a place amounts to. The width is the standard deviation of a
    Gaussian.
    """
    sigma = max(1.0, round(NEIGHBOURHOOD * min(values.shape), 1))
    return gaussian_filter(values, sigma, mode="constant"), sigma


def save_picture(path: Path, pixels: np.ndarray) -> None:
    """Write (height, width, 3) bytes as PNG, without metadata."""
    with files.replacing(path) as partial:
        Picture.fromarray(pixels).save(partial, format="PNG")
