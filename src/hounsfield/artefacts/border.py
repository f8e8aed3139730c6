"""Empty borders: rows and columns at the edges of a frame that hold nothing, as padding, masks and collimators leave."""

from __future__ import annotations

import numpy as np

from hounsfield.artefacts.finding import Artefact

# A border may differ by this part of the range from black (JPEG leaves such traces) ...
TOLERANCE = 0.03
# ... and this part of its pixels may be anything: a hair, a dead pixel, the corner of a label.
STRAY = 0.005
SMALLEST = 0.01  # of a side, and two pixels: thinner borders are not reported


def content_of(
    plane: np.ndarray, shown: tuple[float, float], *, inverted: bool, exact: bool
) -> tuple[int, int, int, int]:
    """Return top, left, bottom, right (not included) of what is left when empty rows and columns are taken off.

    `plane` is (height, width). Empty is black, and where the image is inverted white as well. With `exact` only rows
    and columns of one constant value, the same as at the corner, are empty: for CT and MR, where the air around the
    body is no border. A plane that is empty everywhere, or constant, is all content.
    """
    low, high = shown
    slack = (high - low) * TOLERANCE
    if exact:
        boxes = [_box(plane != corner, 0.0) for corner in {plane[0, 0], plane[-1, -1]}]
    else:
        boxes = [_box(plane > low + slack, STRAY)]
        if inverted:
            boxes.append(_box(plane < high - slack, STRAY))
    return min(boxes, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))


def find_border(plane: np.ndarray, shown: tuple[float, float], *, inverted: bool, exact: bool) -> list[Artefact]:
    """Find the border of a plane, if it has one. The score is 1 - 2^(-n), n the border's width in hundredths of a side."""
    height, width = plane.shape
    top, left, bottom, right = content_of(plane, shown, inverted=inverted, exact=exact)
    parts = [(top, height), (left, width), (height - bottom, height), (width - right, width)]
    widest = max((pixels / side for pixels, side in parts if pixels >= max(2.0, SMALLEST * side)), default=0.0)
    if not widest:
        return []
    return [
        Artefact("border", (top / height, left / width, bottom / height, right / width), 1.0 - 0.5 ** (100 * widest))
    ]


def _box(content: np.ndarray, stray: float) -> tuple[int, int, int, int]:
    """Return the box of rows and columns in which more than a `stray` part of the pixels is content."""
    height, width = content.shape
    rows = np.flatnonzero(np.count_nonzero(content, axis=1) > stray * width)
    if not len(rows):
        return 0, 0, height, width
    # Columns are judged within the rows that are left, else wide borders above and below would hide them.
    inside = content[rows[0] : rows[-1] + 1]
    columns = np.flatnonzero(np.count_nonzero(inside, axis=0) > stray * len(inside))
    if not len(columns):
        return 0, 0, height, width
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
