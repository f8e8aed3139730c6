"""Where the map of one case lies: its share in each zone, its peak, and the lesion where a mask tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from hounsfield.explain.place import peak_of

# Half a cell of a map of 7 x 7 cells: a peak so near to a zone is taken to point at it.
NEAR = 1 / 14


@dataclass(frozen=True)
class InZone:
    """A zone of a frame under a map.

    Attributes
    ----------
    area, share:
        Of the frame, and of all that speaks for the label.
    near, peak:
        The share of the frame from which a peak points at the zone (half a cell of a coarse map around it), and whether the
        peak lies there.
    """

    area: float
    share: float
    near: float
    peak: bool


def looked_at(values: np.ndarray, zones: Mapping[str, np.ndarray]) -> dict[str, InZone] | None:
    """Return where a map (height, width) lies; None where nothing speaks for the label. What speaks against it does not count."""
    positive = np.clip(values, 0, None)
    total = float(positive.sum(dtype=np.float64))
    if total <= 0:
        return None
    peak = peak_of(positive)
    assert peak is not None
    room = max(1, round(NEAR * max(values.shape)))
    found = {}
    for name, zone in zones.items():
        # A zone as wide as the outside of a body needs no room around it, and would take in half of the body.
        around = zone if name in ("outside", "edge") else ndimage.distance_transform_edt(~zone) <= room
        share = float(positive[zone].sum(dtype=np.float64)) / total
        found[name] = InZone(float(zone.mean()), share, float(around.mean()), bool(around[peak]))
    return found


@dataclass(frozen=True)
class OnLesion:
    """The pointing game (Zhang et al., IJCV 126, 2018), without tolerance, and its two rivals.

    Attributes
    ----------
    area, share:
        The lesion's share of the frame, which is how often a random point hits it; and of all that speaks for the label.
    peak, centre:
        Whether the peak of the map, and the centre of the frame, lie on the lesion.
    """

    area: float
    share: float
    peak: bool
    centre: bool


def on_lesion(values: np.ndarray, lesion: np.ndarray) -> OnLesion:
    """Return whether a map (height, width) points at a lesion, bool of the same shape; an empty map points at nothing."""
    positive = np.clip(values, 0, None)
    total = float(positive.sum(dtype=np.float64))
    height, width = lesion.shape
    peak = peak_of(positive)
    return OnLesion(
        float(lesion.mean()),
        float(positive[lesion].sum(dtype=np.float64)) / total if total > 0 else 0.0,
        peak is not None and bool(lesion[peak]),
        bool(lesion[height // 2, width // 2]),
    )
