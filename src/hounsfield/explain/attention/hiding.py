"""What if it were not there? A zone is painted over with what surrounds it, and the network is asked again.

A map only says where a network reacts; this says whether its answer depends on the place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

# Blur that carries the surroundings into a zone, of the longest side; doubled until all of it is covered.
REACH = 0.01
# So much around a zone is painted over too, of the longest side: letters have soft edges.
ROOM = 0.006
OUTSIDE = "outside"


@dataclass(frozen=True)
class Hidden:
    """What hiding a zone did to a case.

    Attributes
    ----------
    change:
        By how much the log-odds of the decided label fell.
    elsewhere:
        The same for the mirror image of the zone, where there is nothing of the kind; None for the outside of the body, which
        has no such place.
    turned:
        Whether the decision became another one.
    """

    change: float
    elsewhere: float | None
    turned: bool


def painted_over(frame: np.ndarray, zone: np.ndarray) -> np.ndarray:
    """Return a frame, (height, width) or (height, width, channels), whose zone shows what surrounds it."""
    hole = ndimage.binary_dilation(zone, iterations=max(1, round(ROOM * max(zone.shape))))
    if hole.all():
        return np.full_like(frame, frame.min())
    known = (~hole).astype(np.float32)
    planes = frame[..., None] if frame.ndim == 2 else frame
    painted, sigma, waiting = planes.astype(np.float32, copy=True), REACH * max(zone.shape), hole.copy()
    while waiting.any():
        weight = ndimage.gaussian_filter(known, sigma, mode="nearest")
        reached = waiting & (weight > 1e-3)
        for channel in range(planes.shape[-1]):
            mean = ndimage.gaussian_filter(planes[..., channel] * known, sigma, mode="nearest")
            painted[..., channel][reached] = mean[reached] / weight[reached]
        waiting &= ~reached
        sigma *= 2
    return painted[..., 0] if frame.ndim == 2 else painted


def mirrored(zone: np.ndarray) -> np.ndarray:
    """Return the zone's mirror image, left for right, without the zone itself."""
    return zone[:, ::-1] & ~zone


def hide(
    frames: Sequence[np.ndarray],
    zones: Sequence[dict[str, np.ndarray]],
    kinds: Sequence[str],
    odds: Callable[[list[list[np.ndarray]]], tuple[np.ndarray, list[str]]],
) -> dict[str, Hidden]:
    """Hide each kind of zone in all frames of a case; what lies outside of the body becomes as dark as the darkest place.

    Parameters
    ----------
    frames, zones:
        Conditioned frames of a case, and what `zones_of` found in each.
    odds:
        Asks the network of several versions of the case: the log-odds of the label that was decided on the first, and decisions.
    """
    present = [kind for kind in kinds if any(kind in one for one in zones)]
    versions: list[list[np.ndarray]] = [list(frames)]
    for kind in present:
        pairs = [(frame, one.get(kind)) for frame, one in zip(frames, zones, strict=True)]
        if kind == OUTSIDE:
            versions.append([frame if zone is None else _darkened(frame, zone) for frame, zone in pairs])
            continue
        versions.append([frame if zone is None else painted_over(frame, zone) for frame, zone in pairs])
        versions.append([frame if zone is None else painted_over(frame, mirrored(zone)) for frame, zone in pairs])
    values, decisions = odds(versions)
    found, place = {}, 1
    for kind in present:
        elsewhere = None if kind == OUTSIDE else float(values[0] - values[place + 1])
        found[kind] = Hidden(float(values[0] - values[place]), elsewhere, decisions[place] != decisions[0])
        place += 1 if kind == OUTSIDE else 2
    return found


def _darkened(frame: np.ndarray, zone: np.ndarray) -> np.ndarray:
    dark = frame.copy()
    dark[zone] = frame.min()
    return dark
