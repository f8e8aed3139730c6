"""The parts of a frame that an audit of attention asks about: the body, what lies outside of it, the edge, and things burned in."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from hounsfield.artefacts import pixels_of
from hounsfield.explain.attention.names import ZONES

# Air around a body is at most so bright, as a share of the range; in CT it is what lies below -500 HU.
DARK, AIR_HU = 0.06, -500.0
# A background that covers less of the frame is no background: radiographs fill theirs.
LEAST_OUTSIDE = 0.05
EDGE = 0.04  # of a side
OPENED = 0.01  # of the longest side: bridges as thin as this join nothing to the body
LEAST_OBJECT = 0.0005  # of the frame


def zones_of(frame: np.ndarray, *, hounsfield: bool, modality: str | None) -> dict[str, np.ndarray]:
    """Return the zones of a conditioned frame: name of `ZONES` → bool (height, width), of those that are there.

    `outside` is all that is neither the body nor burned in; `object` is what stands out there without touching the body.
    """
    grey = frame.mean(axis=-1) if frame.ndim == 3 else frame
    found: dict[str, np.ndarray] = {
        kind: mask
        for kind, mask in pixels_of(frame, modality="CT" if hounsfield else modality).items()
        if kind in ZONES and mask.any()
    }
    burned = np.logical_or.reduce(
        [np.zeros(grey.shape, bool), *(found[kind] for kind in ("text", "marker", "line") if kind in found)]
    )
    bright = grey > (AIR_HU if hounsfield else grey.min() + DARK * np.ptp(grey))
    body = _body(bright & ~burned)
    if body is not None and (~body).mean() >= LEAST_OUTSIDE:
        things = _things(bright & ~burned, body)
        if things.any():
            found["object"] = things
        found["outside"] = ~body & ~burned & ~things
    edge = np.ones(grey.shape, dtype=bool)
    rows, columns = (max(1, round(EDGE * side)) for side in grey.shape)
    edge[rows:-rows, columns:-columns] = False
    return found | {"edge": edge}


def _body(bright: np.ndarray) -> np.ndarray | None:
    """The largest piece that stands out, without thin bridges, its holes filled; None where nothing does."""
    rounds = max(1, round(OPENED * max(bright.shape)))
    labels, count = ndimage.label(ndimage.binary_opening(bright, iterations=rounds))
    if not count:
        return None
    body = labels == 1 + int(np.bincount(labels.ravel())[1:].argmax())
    body = ndimage.binary_dilation(body, iterations=2 * rounds, mask=bright)
    return np.asarray(ndimage.binary_fill_holes(body))


def _things(bright: np.ndarray, body: np.ndarray) -> np.ndarray:
    near = ndimage.binary_dilation(body, iterations=max(1, round(OPENED * max(body.shape))))
    labels, count = ndimage.label(bright & ~body)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    touching = np.unique(labels[near])
    kept = [one for one in range(1, count + 1) if sizes[one] >= LEAST_OBJECT * body.size and one not in touching]
    return np.isin(labels, kept)
