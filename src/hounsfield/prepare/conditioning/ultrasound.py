"""The rule `ultrasound`: the part of the picture that shows tissue, in grey."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hounsfield.core.image import Image
from hounsfield.prepare.conditioning.grey import bright_up, grey_of, range_of, unit_range


def ultrasound(images: Sequence[Image]) -> list[np.ndarray]:
    """Crop to the tissue regions and map the range that the file can hold to 0 to 1; colour becomes luminance."""
    frames = []
    for image in images:
        rows, columns = tissue(image)
        low, high = range_of(image)
        frames += [bright_up(unit_range(grey_of(frame[rows, columns]), low, high), image) for frame in image]
    return frames


def tissue(image: Image) -> tuple[slice, slice]:
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
        return slice(0, height), slice(0, width)
    top, left, bottom, right = zip(*boxes, strict=True)
    return slice(min(top), max(bottom)), slice(min(left), max(right))
