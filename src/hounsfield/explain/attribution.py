"""The one result of all methods: a raw map with its scale, on the picture that the file holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hounsfield.core.recipe import Recipe, Resize
from hounsfield.prepare import Place, fitted_size, resize_operator


@dataclass(frozen=True)
class Attribution:
    """A map of one slice.

    Attributes
    ----------
    values:
        (height, width) float32 in the pixels of the picture as it was read, all crops undone; `unit` says of what. 0 where the
        network did not see the picture. Not below 0 unless `signed`; below 0 is what speaks against the target.
    scale:
        The greatest absolute value of the map before it was resized; 0 means that nothing spoke for the target.
    slice:
        Which of the slices that the network saw this is: the one that spoke most for the target.
    slices:
        How many there are.
    weight:
        How much this slice counted in the case's logit, of 1; None for single images and volumes.
    target:
        The label that the map explains.
    method, signed, unit, settings:
        By which method, whether values may be negative, what they are, and with which numbers the method ran.
    place:
        Where the slice lies, in its picture and in the patient; see `peak_in_patient`.
    """

    values: np.ndarray
    scale: float
    slice: int
    slices: int
    weight: float | None
    target: str
    method: str = "gradcam"
    signed: bool = False
    unit: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    place: Place | None = None


def in_frame(values: np.ndarray, recipe: Recipe, size: tuple[int, int]) -> np.ndarray:
    """Undo the recipe's geometry: enlarge the map to the network's input, take the padding off, and undo the resize.

    Parameters
    ----------
    values:
        (h, w), of any size; it covers the network's input.
    size:
        Height and width of the frame that the recipe was given.
    """
    height, width = recipe.size
    enlarged = resize_operator(height, values.shape[0]) @ values @ resize_operator(width, values.shape[1]).T
    resize = next(step for step in recipe.steps if isinstance(step, Resize))
    inner = fitted_size(*size, resize)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    cropped = enlarged[top : top + inner[0], left : left + inner[1]]
    return np.asarray(
        resize_operator(size[0], inner[0]) @ cropped @ resize_operator(size[1], inner[1]).T, dtype=np.float32
    )
