"""Catheters, tubes, leads and wires: long, thin, even lines, brighter than what is on both sides of them."""

from __future__ import annotations

import numpy as np

from hounsfield.artefacts.components import Components, around, components
from hounsfield.artefacts.finding import Artefact
from hounsfield.artefacts.morphology import along, dilate, top_hat

SMALLEST = 256  # pixels of the longest side; in smaller pictures a wire looks like the edge of a rib
LONG = 0.15  # of the longest side: the diagonal of a line's box
CONTRAST = 20  # of 255
EDGE = 0.15  # of a side: flat lines this near to an edge are collimators and borders
FLAT = 0.02  # of the longest side: a box this thin holds a straight line along rows or columns
SURE = 0.5
# A picture of unknown modality with more black than this (of 255, and of its pixels) is taken for a CT or ultrasound
# image and not searched: a head's skin and its rest are thin bright lines too.
BLACK, MOSTLY = 24, 0.15


def find_lines(picture: np.ndarray, *, radiograph: bool) -> list[Artefact]:
    """Find lines in a picture (uint8) that is known to be a radiograph, or that may be one.

    Only what is thinner than 1/128 of the longest side (but three pixels are allowed) and holds straight segments of
    1/40 is looked at. The score is the product of three numbers in [0, 1]: contrast (full from 36 of 255), freedom from
    other thin structures near it (none where they cover a tenth), and evenness of the contrast along it.
    """
    longest = max(picture.shape)
    if longest < SMALLEST or (not radiograph and float((picture <= BLACK).mean()) > MOSTLY):
        return []
    size = max(3, longest // 128 | 1)
    hat = top_hat(picture, size)
    ridge = along(hat, max(9, longest // 40 | 1))
    line = (ridge >= CONTRAST) & (ridge > dilate(ridge, 8 * size + 1) // 2)
    table, labels = components(line, ridge, picture, round(LONG * longest))
    lines = _long(table, picture.shape)
    found = []
    for index in range(len(lines)):
        one = lines.where(np.array([index]))
        score = _score(one, hat, labels, size)
        if score >= SURE:
            height, width = picture.shape
            top, left, bottom, right = (float(edge[0]) for edge in (one.top, one.left, one.bottom, one.right))
            found.append(Artefact("line", (top / height, left / width, bottom / height, right / width), score))
    return found


def _long(table: Components, shape: tuple[int, int]) -> Components:
    """Return the components that reach far enough and are not straight along an edge of the picture."""
    longest = max(shape)
    height, width = shape
    across = (table.height <= FLAT * longest) & (np.minimum(table.top, height - table.bottom) <= EDGE * height)
    down = (table.width <= FLAT * longest) & (np.minimum(table.left, width - table.right) <= EDGE * width)
    return table.where((np.hypot(table.height, table.width) >= LONG * longest) & ~across & ~down)


def _score(line: Components, hat: np.ndarray, labels: np.ndarray, size: int) -> float:
    reach = 4 * size
    place = around(line, reach)
    own = (labels[place] == line.label[0]).view(np.uint8)
    near = (dilate(own, 2 * reach - 1) > 0) & (dilate(own, size + 2) == 0)
    contrast = float(line.contrast[0])
    clutter = float((hat[place][near] > contrast / 3).mean()) if near.any() else 1.0
    uneven = float(line.spread[0]) / contrast
    return min(1.0, contrast / 36.0) * max(0.0, 1.0 - clutter / 0.1) * min(1.0, 2.0 * max(0.0, 1.0 - uneven / 0.6))
