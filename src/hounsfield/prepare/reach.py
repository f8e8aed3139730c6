"""Which values and colours training images have: an image far beyond them was read, scaled or coloured in another way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Reach = dict[str, tuple[float, float]]

# Beyond the least and the greatest of training by so much of what lies between them; and by so much at the least.
MARGIN = 0.5
LEAST_MARGIN = {"brightness": 0.05, "contrast": 0.03, "ends": 0.1, "colour": 0.02}
# So near to 0 or 1 a value lies at the end of the window, or beyond it.
AT_THE_END = 1e-3
VALUES = (
    "its values (brightness, contrast, share at the ends of the window) lie far outside those of the training images"
)
COLOURS = "its colours are unlike those of the training images"


def values_of(case: NDArray[np.floating], *, colour: bool) -> dict[str, float]:
    """Return what is compared, of a case (slices, channels, H, W) in [0, 1].

    "brightness" and "contrast" are mean and standard deviation, "ends" the share of values at 0 or 1; "colour", of images whose
    channels are red, green and blue, the mean difference between the greatest and the least of a pixel.
    """
    found = {
        "brightness": float(case.mean()),
        "contrast": float(case.std()),
        "ends": float(((case <= AT_THE_END) | (case >= 1 - AT_THE_END)).mean()),
    }
    return found | ({"colour": float(np.ptp(case, axis=1).mean())} if colour else {})


def reach_of(each: Sequence[Mapping[str, float]]) -> Reach:
    """Return from where to where each value may lie, given those of training cases."""
    found: Reach = {}
    for name in each[0]:
        low, high = (end(one[name] for one in each) for end in (min, max))
        room = max(LEAST_MARGIN[name], MARGIN * (high - low))
        found[name] = (round(low - room, 4), round(high + room, 4))
    return found


def beyond(values: Mapping[str, float], reach: Mapping[str, Sequence[float]]) -> str | None:
    """Return why a case does not suit, None where it does."""
    far = [name for name, (low, high) in reach.items() if name in values and not low <= values[name] <= high]
    if not far:
        return None
    # What has no colour has less contrast as well.
    return COLOURS if "colour" in far and not {"brightness", "ends"} & set(far) else VALUES
