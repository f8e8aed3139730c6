"""Catheters, tubes, leads and wires: long, thin, even lines, brighter than what is on both sides of them."""

from __future__ import annotations

from dataclasses import dataclass

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
# A picture of unknown modality with more black than this (of 255, and of its pixels) is taken for a section or an ultrasound
# image: a head's skin and its rest are thin bright lines too.
BLACK, MOSTLY = 24, 0.15


# In sections bone and skin are thin bright lines too, so what is taken for a device must outshine its surroundings by more, reach
# farther, and have nothing nearly as bright beside it.
SECTION_CONTRAST, SECTION_LONG, SECTION_THICK, SECTION_BESIDE, SECTION_EVEN = 140, 0.25, 0.01, 0.05, 0.25
NEARLY = 0.75


@dataclass(frozen=True, slots=True)
class Line:
    """A line, and the pixels of the picture that it covers, bool (height, width)."""

    artefact: Artefact
    pixels: np.ndarray


def find_lines(picture: np.ndarray, *, radiograph: bool | None) -> list[Line]:
    """Find lines in a picture (uint8) that is known to be a radiograph (True), to be a section (False), or that may be
    either (None): mostly black ones are taken for sections.
    """
    if max(picture.shape) < SMALLEST:
        return []
    if radiograph is None:
        radiograph = float((picture <= BLACK).mean()) <= MOSTLY
    return _in_radiograph(picture) if radiograph else _in_section(picture)


def _in_radiograph(picture: np.ndarray) -> list[Line]:
    """Find what is darker than bone, and often fainter than a rib.

    Only what is thinner than 1/128 of the longest side (but three pixels are allowed) and holds straight segments of
    1/40 is looked at. The score is the product of three numbers in [0, 1]: contrast (full from 36 of 255), freedom from
    other thin structures near it (none where they cover a tenth), and evenness of the contrast along it.
    """
    longest = max(picture.shape)
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
            found.append(_line(one, labels, score))
    return found


def _in_section(picture: np.ndarray) -> list[Line]:
    """Find wires, leads and tubes in CT and the like: nearly white, of one thickness, alone.

    The score is the product of contrast (full from 200 of 255) and 1 - 2^(-n), n the length in tenths of the longest side.
    """
    longest = max(picture.shape)
    size = max(5, longest // 64 | 1)
    hat = top_hat(picture, size)
    table, labels = components(hat >= SECTION_CONTRAST, hat, picture, round(SECTION_LONG * longest / 2))
    found = []
    for index in range(len(table)):
        one = table.where(np.array([index]))
        reach = float(np.hypot(one.height[0], one.width[0]))
        thick = float(one.area[0]) / reach
        uneven = float(one.spread[0] / one.contrast[0])
        if reach < SECTION_LONG * longest or thick > SECTION_THICK * longest or uneven > SECTION_EVEN:
            continue
        place = around(one, 3 * size)
        own = (labels[place] == one.label[0]).view(np.uint8)
        near = (dilate(own, 2 * size + 1) > 0) & (dilate(own, 3) == 0)
        if near.any() and float((picture[place][near] > NEARLY * one.peak[0]).mean()) <= SECTION_BESIDE:
            score = min(1.0, float(one.contrast[0]) / 200.0) * (1.0 - 0.5 ** (10 * reach / longest))
            found.append(_line(one, labels, score))
    return found


def _line(one: Components, labels: np.ndarray, score: float) -> Line:
    height, width = labels.shape
    top, left, bottom, right = (float(edge[0]) for edge in (one.top, one.left, one.bottom, one.right))
    box = (top / height, left / width, bottom / height, right / width)
    return Line(Artefact("line", box, score), labels == one.label[0])


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
