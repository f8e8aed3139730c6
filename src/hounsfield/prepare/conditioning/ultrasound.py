"""The rule `ultrasound`: of pictures as the rule `range` gives them, the part that shows tissue."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hounsfield.core.image import Image
from hounsfield.prepare.place import Cut


def tissue(image: Image, frames: Sequence[np.ndarray]) -> Cut:
    """Return the rows and columns around all tissue regions (PS3.3 C.8.5.5), or the whole picture.

    The names, dates and scales of the scanner's screen lie outside. Several regions, as of a split screen, are kept
    together: which of them matters is not ours to say. Boxes are cut at the edges of the picture, and one that lies
    outside it altogether is left out.
    """
    height, width = image.size
    boxes = [
        (max(0, box.top), max(0, box.left), min(height, box.bottom), min(width, box.right))
        for box in image.facts.regions
    ]
    boxes = [box for box in boxes if box[0] < box[2] and box[1] < box[3]]
    if not boxes:
        return Cut.box((0, height), (0, width))
    top, left, bottom, right = zip(*boxes, strict=True)
    return Cut.box((min(top), max(bottom)), (min(left), max(right)))
