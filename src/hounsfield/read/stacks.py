"""Frames → stacks: which frames of a series are one volume, in which order, and why some are none.

Pure geometry on a few numbers per frame; the same for the files of a series and for the frames of an enhanced object.
A stack holds frames of one size, spacing and orientation, one frame per position, at even steps. What a series mixes
(echoes, b-values, time points, orientations, scouts) is told apart by the headers; nothing is guessed from the order of
files, nothing is resampled, and nothing is left out without being named.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hounsfield.read.geometry import Vector, normal_of

Key = tuple[tuple[str, str], ...]
Same = Callable[[int, int], bool]
Cells = dict[int, tuple[int, ...]]

# Cosines and positions are decimal strings of 16 characters at most, and often rounded to five or three digits.
_COSINES = 2e-3
_POSITION_MM = 0.02
_STEP_SHARE = 0.02  # of a step; PS3.3 gives no limit, and positions are often rounded to 0.1 mm at 5 mm steps
_WHOLE = 0.08  # how near a step must be to a multiple of the smallest one to count as missing slices
_SIDEWAYS_SHARE = 0.02
# The attributes that may divide a series, in the order in which they are tried; see `keys.py` for where they stand.
SPLITTERS = (
    "echo", "echo time", "component", "b-value", "direction", "time point", "phase", "stack", "acquisition", "trigger",
    "inversion time", "type", "kernel", "energy", "series part",
)  # fmt: skip
SCOUT = "scout"
THICKNESS = "thickness"


@dataclass(frozen=True, slots=True)
class Place:
    """Where one frame lies, and what its header says that may tell it from the others of its series."""

    rows: int
    columns: int
    spacing: tuple[float, float] | None
    orientation: tuple[float, ...] | None
    position: Vector | None
    number: int | None
    key: Key = ()


@dataclass(frozen=True, slots=True)
class Stack:
    """Frames that belong together.

    Attributes
    ----------
    members:
        Which of the places, in the order of the volume: along row × column of their orientation.
    origin, step:
        Of the first frame; and from one frame to the next, over all positions (least squares). The step is None for a
        single frame, and where the frames have no place: then they are pictures in the order of their numbers.
    key:
        By what it was told apart from the other stacks of its series.
    left_out:
        Frames that repeat one of the members pixel by pixel.
    notes:
        What was found and changes no number, such as a gantry tilt: the step says it exactly.
    trouble:
        Why the frames are not one volume; None where they are.
    """

    members: tuple[int, ...]
    origin: Vector | None = None
    step: Vector | None = None
    key: Key = ()
    left_out: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    trouble: str | None = None


def stacks_of(places: Sequence[Place], same: Same | None = None) -> list[Stack]:
    """Divide the frames of one series into stacks.

    Parameters
    ----------
    same:
        Says whether two frames have equal pixels; asked only where two frames claim one position and no header tells
        them apart. Without it such frames are trouble.

    Returns
    -------
    list of Stack. Every frame is in exactly one of them, as a member or left out.
    """
    found: list[Stack] = []
    for group in _alike(places):
        if places[group[0]].orientation is None or any(places[index].position is None for index in group):
            found.append(_pictures(places, group))
        else:
            found += _placed(places, group, same)
    return found


def _alike(places: Sequence[Place]) -> list[list[int]]:
    """Group frames that could lie in one volume: the same size, spacing and orientation; scouts by themselves."""
    groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
    orientations: list[tuple[float, ...]] = []
    for index, place in enumerate(places):
        known = next(
            (number for number, other in enumerate(orientations) if _parallel(place.orientation, other)),
            len(orientations),
        )
        if known == len(orientations) and place.orientation is not None:
            orientations.append(place.orientation)
        spacing = None if place.spacing is None else tuple(round(value, 4) for value in place.spacing)
        turned = None if place.orientation is None else known
        groups[(place.rows, place.columns, spacing, turned, _value(place, SCOUT))].append(index)
    return list(groups.values())


def _parallel(one: tuple[float, ...] | None, other: tuple[float, ...]) -> bool:
    return one is not None and max(abs(a - b) for a, b in zip(one, other, strict=True)) <= _COSINES


def _pictures(places: Sequence[Place], group: list[int]) -> Stack:
    numbered = all(places[index].number is not None for index in group)
    return Stack(tuple(sorted(group, key=lambda index: (places[index].number if numbered else 0, index))))


def _placed(places: Sequence[Place], group: list[int], same: Same | None) -> list[Stack]:
    cells = _cells(places, group)
    most = max(Counter(cells.values()).values())
    if most == 1:
        return _even_or_by_thickness(places, group, ())
    for names in _candidates(places, group):
        parts = _split(places, group, names)
        if _clean(cells, parts.values()) and (len(parts) == most or min(map(len, parts.values())) > 1):
            return [
                stack for key, part in _in_order(parts, places) for stack in _even_or_by_thickness(places, part, key)
            ]
    repeats = _by_number(places, group, cells, most)
    if repeats is not None:
        return [
            stack
            for number, part in enumerate(repeats, start=1)
            for stack in _even_or_by_thickness(places, part, (("repeat", str(number)),))
        ]
    return [_without_copies(places, group, cells, same)]


def _candidates(places: Sequence[Place], group: list[int]) -> Iterable[tuple[str, ...]]:
    """Yield single attributes that vary in a group, then all of them up to each one together."""
    varying = [name for name in SPLITTERS if len({_value(places[index], name) for index in group}) > 1]
    yield from ((name,) for name in varying)
    yield from (tuple(varying[:count]) for count in range(2, len(varying) + 1))
    yield from ((one, two) for place, one in enumerate(varying) for two in varying[place + 1 :])


def _split(places: Sequence[Place], group: list[int], names: tuple[str, ...]) -> dict[Key, list[int]]:
    parts: dict[Key, list[int]] = defaultdict(list)
    for index in group:
        parts[tuple((name, _value(places[index], name) or "") for name in names)].append(index)
    return parts


def _clean(cells: Cells, parts: Iterable[list[int]]) -> bool:
    return all(len({cells[index] for index in part}) == len(part) for part in parts)


def _in_order(parts: dict[Key, list[int]], places: Sequence[Place]) -> list[tuple[Key, list[int]]]:
    def rank(item: tuple[Key, list[int]]) -> tuple[object, ...]:
        first = min((places[index].number or 0, index) for index in item[1])
        return tuple(_sortable(value) for _, value in item[0]), first

    return sorted(parts.items(), key=rank)


def _sortable(value: str) -> tuple[int, float, str]:
    try:
        return 0, float(value), value
    except ValueError:
        return 1, math.inf, value


def _by_number(places: Sequence[Place], group: list[int], cells: Cells, most: int) -> list[list[int]] | None:
    """Divide repeats by the instance numbers, where these leave one way only.

    Every position occurs equally often, and the numbers run either through all positions again and again, or through
    all repeats of one position after the other, in one and the same order each time.
    """
    numbers = [places[index].number for index in group]
    count = len(group) // most
    if None in numbers or len(set(numbers)) < len(group) or count * most != len(group):
        return None
    ordered = sorted(group, key=lambda index: places[index].number or 0)
    visited = [cells[index] for index in ordered]
    rounds = [ordered[start : start + count] for start in range(0, len(ordered), count)]
    first = visited[:count]
    if len(set(first)) == count and all(
        visited[start : start + count] == first for start in range(0, len(group), count)
    ):
        return rounds
    runs = [visited[start : start + most] for start in range(0, len(group), most)]
    if all(len(set(run)) == 1 for run in runs) and len({run[0] for run in runs}) == count:
        return [ordered[start::most] for start in range(most)]
    return None


def _without_copies(places: Sequence[Place], group: list[int], cells: Cells, same: Same | None) -> Stack:
    kept: dict[tuple[int, ...], int] = {}
    copies: list[int] = []
    for index in group:
        first = kept.setdefault(cells[index], index)
        if first == index:
            continue
        if same is None or not same(first, index):
            count = len(group) - len(set(cells.values()))
            ordered = sorted(group, key=lambda item: (places[item].number or 0, item))
            trouble = f"{count} of {len(group)} slices lie where another one lies, and no header tells them apart"
            return Stack(tuple(ordered), trouble=trouble)
        copies.append(index)
    stack = _even(places, sorted(set(group) - set(copies)), ())
    note = f"{len(copies)} slice(s) stood there twice with equal pixels, and were left out once"
    return Stack(
        stack.members, stack.origin, stack.step, stack.key, tuple(copies), (*stack.notes, note), stack.trouble
    )  # fmt: skip


def _even_or_by_thickness(places: Sequence[Place], group: list[int], key: Key) -> list[Stack]:
    """A head CT often has thin slices below and thick ones above: two even stacks, and not one uneven one."""
    whole = _even(places, group, key)
    parts = _split(places, group, (THICKNESS,))
    if whole.trouble is None or not 1 < len(parts) <= len(group) // 2:
        return [whole]
    stacks = [_even(places, part, (*key, *name)) for name, part in parts.items()]
    if any(stack.trouble for stack in stacks) or _interleaved(places, stacks):
        return [whole]
    return sorted(stacks, key=lambda stack: _offset(places[stack.members[0]]))


def _interleaved(places: Sequence[Place], stacks: list[Stack]) -> bool:
    ends = sorted((_offset(places[stack.members[0]]), _offset(places[stack.members[-1]])) for stack in stacks)
    return any(low <= high for (_, high), (low, _) in itertools.pairwise(ends))


def _even(places: Sequence[Place], group: list[int], key: Key) -> Stack:
    """Order frames along their normal, and say whether they lie at even steps."""
    ordered = sorted(group, key=lambda index: _offset(places[index]))
    positions = np.array([places[index].position for index in ordered], dtype=np.float64)
    origin = _vector(positions[0])
    if len(ordered) == 1:
        return Stack(tuple(ordered), origin, None, key)
    normal = _normal(places[ordered[0]])
    steps = np.diff(positions @ normal)
    # The least-squares line through all positions: one rounded position moves it little.
    count = np.arange(len(ordered)) - (len(ordered) - 1) / 2
    step = count @ positions / (count @ count)
    trouble = _unevenness(steps) or _sideways(positions, step, normal)
    if trouble:
        return Stack(tuple(ordered), origin, None, key, trouble=trouble)
    return Stack(tuple(ordered), origin, _vector(step), key, notes=_tilt(step, normal, len(ordered)))


def _tilt(step: np.ndarray, normal: np.ndarray, count: int) -> tuple[str, ...]:
    """Say so where slices are not stacked along their normal, by more than rounded positions explain."""
    along = float(step @ normal)
    sideways = float(np.linalg.norm(step - along * normal))
    if sideways * (count - 1) <= 5 * _POSITION_MM:
        return ()
    return (f"the gantry is tilted by {math.degrees(math.atan2(sideways, along)):.1f}°: the slices are sheared",)


def _unevenness(steps: np.ndarray) -> str | None:
    mean, least = float(steps.mean()), float(steps.min())
    if np.abs(steps - mean).max() <= max(_STEP_SHARE * mean, _POSITION_MM):
        return None
    base = float(np.median(steps[steps <= least * 1.5]))
    ratios = steps / base
    if np.abs(ratios - np.round(ratios)).max() <= _WHOLE:
        missing = int(np.round(ratios).sum()) - len(steps)
        return f"{missing} slice(s) are missing between the {len(steps) + 1} that are there, {base:.4g} mm apart"
    return f"the slices are not evenly spaced: {least:.4g} to {float(steps.max()):.4g} mm apart"


def _sideways(positions: np.ndarray, step: np.ndarray, normal: np.ndarray) -> str | None:
    """Say so where slices are shifted against each other and not along one line, which a tilt would be."""
    centre = positions.mean(axis=0)
    line = centre + (np.arange(len(positions)) - (len(positions) - 1) / 2)[:, None] * step
    off = positions - line
    off -= (off @ normal)[:, None] * normal
    shift = float(np.linalg.norm(off, axis=1).max())
    if shift <= max(_SIDEWAYS_SHARE * float(np.linalg.norm(step)), 5 * _POSITION_MM):
        return None
    return f"the slices are shifted against each other, by up to {shift:.3g} mm"


def _value(place: Place, name: str) -> str | None:
    return next((value for known, value in place.key if known == name), None)


def _cells(places: Sequence[Place], group: list[int]) -> Cells:
    """Give each frame a cell; frames in one cell claim one place. Along each axis values nearer than 0.02 mm are one."""
    positions = np.array([places[index].position for index in group], dtype=np.float64)
    labels = np.empty(positions.shape, dtype=np.int64)
    for axis in range(3):
        order = np.argsort(positions[:, axis], kind="stable")
        gaps = np.diff(positions[order, axis], prepend=positions[order[0], axis]) > _POSITION_MM
        labels[order, axis] = np.cumsum(gaps)
    return {index: tuple(labels[row].tolist()) for row, index in enumerate(group)}


def _normal(place: Place) -> np.ndarray:
    assert place.orientation is not None
    normal = np.array(normal_of(place.orientation))
    return np.asarray(normal / np.linalg.norm(normal))


def _offset(place: Place) -> float:
    assert place.orientation is not None
    assert place.position is not None
    return sum(a * b for a, b in zip(normal_of(place.orientation), place.position, strict=True))


def _vector(values: np.ndarray) -> Vector:
    x, y, z = values.tolist()
    return x, y, z
