"""Near duplicates in a cohort: the same picture re-saved, resized, mirrored, turned, cropped a little, or brighter.

All pairs are never compared. Descriptors (likeness.py) are filed in cells around a few hundred centres, and each looks into
its own cell and into those whose border is near. The few that are close there get a closer look at their thumbnails: in the
best of eight orientations, and laid on one another, they must agree in what is fine.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hounsfield.cohort.alike.cells import CHUNK, CROPS, MOST, Fetch, Progress, candidates, distinct
from hounsfield.cohort.alike.likeness import blurred, flattened
from hounsfield.cohort.alike.overlay import best_turn, overlaid, smaller, turned

# From here on two pictures are the same: correlation of what is finer than 2 pixels of a thumbnail, after alignment. On real
# data copies have 0.95 and more; slices of a head next to one another and films of one patient have up to 0.88, films of
# different patients up to 0.80.
THRESHOLD = 0.9
_ROUGH = 0.5  # what blurred pictures must correlate with before they are laid on one another
_SYMMETRIES = (
    "re-saved or resized",
    "mirrored left to right",
    "mirrored top to bottom",
    "turned by 180°",
    "mirrored left to right and turned by 270°",
    "turned by 270°",
    "turned by 90°",
    "mirrored left to right and turned by 90°",
)  # clockwise, and what was done to a picture that `overlay.turned` with this number gives back


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures that are the same: `how` says what was done to the first to get the second (turns are clockwise)."""

    first: int
    second: int
    how: str
    likeness: float


@dataclass(frozen=True)
class Near:
    """What was found. Of many equal pictures each is paired with one: join the pairs to groups."""

    pairs: list[Pair]
    notes: list[str] = field(default_factory=list)
    compared: int = 0  # pairs of descriptors
    looked: int = 0  # pairs of thumbnails


def near_pairs(descriptors: np.ndarray, thumbnails: Fetch, progress: Progress | None = None) -> Near:
    """Find near duplicates among n cases, all of k frames.

    Parameters
    ----------
    descriptors:
        float32 (n, D), from `likeness.descriptor`.
    thumbnails:
        Called with some indices, ascending and each once, at most 2 × 512 of them; returns their uint8 (m, k, SIDE, SIDE).
    progress:
        Called with (steps done, steps in all): one for each case that is searched for, one for each that is looked at.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):  # for many small products threads cost more than they bring
        return _near_pairs(descriptors, thumbnails, progress)


def _near_pairs(descriptors: np.ndarray, thumbnails: Fetch, progress: Progress | None) -> Near:
    plain = np.asarray(~descriptors.any(axis=1))
    chosen, copies = distinct(descriptors, np.flatnonzero(~plain))
    found, compared, capped = candidates(descriptors, chosen, thumbnails, progress)
    found = np.concatenate([found, copies])
    found.sort(order=("one", "other"))
    pairs = []
    for start in range(0, len(found), CHUNK):
        pairs += _judge(found[start : start + CHUNK], thumbnails)
        if progress is not None:
            looked = min(start + CHUNK, len(found)) / len(found)
            progress(len(descriptors) + int(looked * len(descriptors)), 2 * len(descriptors))
    return Near(
        sorted(pairs, key=lambda pair: (pair.first, pair.second)), _notes(plain, copies, capped), compared, len(found)
    )


def _notes(plain: np.ndarray, copies: np.ndarray, capped: int) -> list[str]:
    notes = []
    if plain.any():
        notes.append(f"{plain.sum()} pictures without any structure were not compared with others")
    if len(copies):
        notes.append(
            f"{len(copies)} pictures have the very thumbnail of an earlier one and were compared with that alone"
        )
    if capped:
        notes.append(f"{capped} pictures resemble more than {MOST} others: the {MOST} nearest were looked at")
    return notes


def _judge(found: np.ndarray, thumbnails: Fetch) -> list[Pair]:
    """Look at the thumbnails of some pairs; return those that are the same picture."""
    names, places = np.unique(np.concatenate([found["one"], found["other"]]), return_inverse=True)
    pictures = flattened(thumbnails(names.tolist()))
    one, other = places.reshape(2, -1)
    crop = np.asarray(CROPS, dtype=np.float32)[found["crop"]]
    shift = np.zeros((len(found), 4), dtype=np.float32)
    shift[:, 0] = shift[:, 2] = 1 / (1 - 2 * crop) - 1
    turn, rough = best_turn(smaller(blurred(pictures, 2.0), 16), one, other, shift)
    left = np.flatnonzero(rough >= _ROUGH)
    pairs: list[Pair] = []
    if len(left):
        firsts = pictures[one[left]]
        seconds = np.stack([turned(pictures[other[i]], turn[i]) for i in left])
        likeness, borders = overlaid(firsts, seconds, shift[left])
        for place, same, borders_differ in zip(left, likeness, borders, strict=True):
            if same >= THRESHOLD:
                pairs.append(_pair(found[place], int(turn[place]), bool(borders_differ), float(same)))
    return pairs


def _pair(found: np.void, turn: int, moved: bool, likeness: float) -> Pair:
    one, other = int(found["one"]), int(found["other"])
    if one > other and turn in (5, 6):  # the only two that are not their own inverse
        turn = 11 - turn
    how = _SYMMETRIES[turn & 7] + (", frames in reversed order" if turn & 8 else "")
    how += ", cropped, padded or shifted" if moved else ""
    return Pair(min(one, other), max(one, other), how, min(1.0, round(likeness, 4)))
