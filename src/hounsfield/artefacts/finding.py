"""Artefact: one thing in a picture that a classifier must not learn from, and the mask of several."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["text", "marker", "line", "border"]


@dataclass(frozen=True, slots=True)
class Artefact:
    """What was found, where, and how sure that is.

    Attributes
    ----------
    kind:
        "text" (a row of burned-in letters), "marker" (a letter standing alone, as the R and L of radiographs), "line"
        (a catheter, tube, lead or wire) or "border" (empty rows and columns around the picture).
    box:
        Top, left, bottom, right, as fractions of height and width. For "border" this is the box of the *content*.
    score:
        0 to 1. It is no probability; text.py, marker.py, line.py and border.py each say what it is made of.
    """

    kind: Kind
    box: tuple[float, float, float, float]
    score: float


def mask_of(artefacts: Iterable[Artefact], shape: tuple[int, int]) -> np.ndarray:
    """Return a bool array (height, width), true where an artefact lies; for a border, outside of the content.

    A box covers every pixel that it touches. The box of a line covers much more than the line: for its pixels see `pixels_of`.
    """
    height, width = shape
    mask = np.zeros((height, width), dtype=bool)
    for artefact in artefacts:
        top, left, bottom, right = artefact.box
        # The tiny amount forgives fractions such as 0.30000000000000004, which would touch one pixel more.
        rows = slice(math.floor(top * height + 1e-6), math.ceil(bottom * height - 1e-6))
        columns = slice(math.floor(left * width + 1e-6), math.ceil(right * width - 1e-6))
        if artefact.kind == "border":
            outside = np.ones_like(mask)
            outside[rows, columns] = False
            mask |= outside
        else:
            mask[rows, columns] = True
    return mask
