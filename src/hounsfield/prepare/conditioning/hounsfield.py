"""The rule `hounsfield`: CT, whose values mean the same in every image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hounsfield.core.image import Image
from hounsfield.errors import ReadError

# Air is −1000 HU and fat about −100: a CT that shows any air or lung reaches well below this, and stored values, 8-bit
# pictures and MR do not.
AIR_SHOWS = -200.0


def looks_hounsfield(images: Sequence[Image]) -> bool:
    """Say whether images without a unit can be HU: no header that could deny it, and air among their values.

    NIfTI has no place for a unit or a modality; by convention converters write HU for CT. A DICOM that is not HU by its
    own tags (a screen capture, a CT without a rescale) is not believed here.
    """
    silent = all(
        image.unit == "arbitrary" and image.facts.modality is None and image.facts.photometric is None
        for image in images
    )
    return silent and min(float(image.pixels.min()) for image in images) <= AIR_SHOWS


def hounsfield(images: Sequence[Image]) -> list[np.ndarray]:
    """Return the values as they are; the windows of the plan follow, the same for every case."""
    if any(image.unit != "HU" for image in images) and not looks_hounsfield(images):
        lowest = min(float(image.pixels.min()) for image in images)
        raise ReadError(
            f"the image is not in Hounsfield units, as the plan expects (its lowest value is {lowest:g}; air is -1000)",
            fix="Give a CT image: DICOM with rescale slope and intercept, or NIfTI that holds HU.",
        )
    return [frame for image in images for frame in image]
