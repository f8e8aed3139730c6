"""The rules `range` and `colour`: pictures, whose values already are what was meant to be seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hounsfield.core.image import Image
from hounsfield.prepare.conditioning.grey import bright_up, grey_of, range_of, unit_range


def full_range(images: Sequence[Image]) -> list[np.ndarray]:
    """Map the range that the file can hold, not the one it uses, to 0 to 1; colour becomes luminance."""
    frames = []
    for image in images:
        low, high = range_of(image)
        frames += [bright_up(unit_range(grey_of(frame), low, high), image) for frame in image]
    return frames


def colour(images: Sequence[Image]) -> list[np.ndarray]:
    """Map red, green and blue to 0 to 1, each (height, width, 3); grey is repeated."""
    frames = []
    for image in images:
        low, high = range_of(image)
        for frame in image:
            planes = frame if frame.ndim == 3 else np.repeat(frame[..., None], 3, axis=-1)
            frames.append(unit_range(planes, low, high))
    return frames
