"""Near duplicates in a cohort: the same picture re-saved, resized, mirrored, turned, cropped a little, or brighter.

All pairs are never compared. Descriptors (likeness.py) are filed in cells around a few hundred centres, and each looks into
its own cell and into those whose border is near. The few that are close there get a closer look at their thumbnails: in the
best of eight orientations, and laid on one another, they must agree in what is fine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from hounsfield.cohort.likeness import SIDE, blurred, flattened
from hounsfield.cohort.likeness import descriptors as describe

Fetch = Callable[[Sequence[int]], np.ndarray]
Progress = Callable[[int, int], None]

# From here on two pictures are the same: correlation of what is finer than 2 pixels of a thumbnail, after alignment. On real
# data copies have 0.95 and more; slices of a head next to one another and films of one patient have up to 0.88, films of
# different patients up to 0.80.
THRESHOLD = 0.9
# Each picture is looked for cropped, too, by these parts of each side; a padded one is then found from the other side.
CROPS = (0.0, 0.025, 0.05)
# How far apart descriptors (at most 1.41) may be for a closer look, as they are and cropped. JPEG, resizing, turning and
# mirroring move them by 0.05, gamma of 1.5 and windows that cut off a tenth by 0.1 to 0.3, a crop between two of the above by
# 0.2. Of 4,000 chest X-rays of children each has 0.06 others within 0.3, and 8 within 0.4: among few, more can be looked at.
REACHES = (0.3, 0.25, 0.25)
REACHES_AMONG_FEW = (0.4, 0.33, 0.33)
FEW = 5000
# One picture gets a closer look at no more than so many others, the nearest.
MOST = 50

_CHUNK = 512  # pairs, or pictures, that are looked at together
_SLACK = 0.22  # of the reach: how far beyond the border of its cell a descriptor is looked for; see _Cells
_ROUGH = 0.5  # what blurred pictures must correlate with before they are laid on one another
_HALFWAY = 0.75  # and what they must in what is fine at half the size, aligned
_SYMMETRIES = (
    "re-saved or resized",
    "mirrored left to right",
    "mirrored top to bottom",
    "turned by 180°",
    "mirrored left to right and turned by 270°",
    "turned by 270°",
    "turned by 90°",
    "mirrored left to right and turned by 90°",
)  # clockwise, and what was done to a picture that `_turned` with this number gives back


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
    chosen, copies = _distinct(descriptors, np.flatnonzero(~plain))
    found, compared, capped = _candidates(descriptors, chosen, thumbnails, progress)
    found = np.concatenate([found, copies])
    found.sort(order=("one", "other"))
    pairs = []
    for start in range(0, len(found), _CHUNK):
        pairs += _judge(found[start : start + _CHUNK], thumbnails)
        if progress is not None:
            looked = min(start + _CHUNK, len(found)) / len(found)
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


# --- which pairs to look at -----------------------------------------------------------------------------------------

_PAIR = np.dtype([("one", np.int32), ("other", np.int32), ("crop", np.int8), ("distance", np.float32)])


def _distinct(descriptors: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (the first of each set of equal descriptors, pairs of each other one with its first)."""
    rows = np.ascontiguousarray(descriptors[among]).view([("", np.void, descriptors.itemsize * descriptors.shape[1])])
    _, firsts, member = np.unique(rows.reshape(-1), return_index=True, return_inverse=True)
    head = among[firsts][member.reshape(-1)]
    copies = np.zeros(int((head != among).sum()), dtype=_PAIR)
    copies["one"], copies["other"] = head[head != among], among[head != among]
    return np.sort(among[firsts]), copies


def _candidates(
    descriptors: np.ndarray, chosen: np.ndarray, thumbnails: Fetch, progress: Progress | None
) -> tuple[np.ndarray, int, int]:
    """Return (pairs within reach, each once; pairs of descriptors compared; pictures with too many)."""
    cells, reaches = _Cells(descriptors, chosen), REACHES if len(chosen) > FEW else REACHES_AMONG_FEW
    kept = _Nearest()
    for start in range(0, len(chosen), 8 * _CHUNK):
        some = chosen[start : start + 8 * _CHUNK]
        for crop, probes in enumerate(_probes(descriptors, some, thumbnails)):
            for one, other, distance in cells.within(probes, some, reaches[crop]):
                kept.add(one, other, crop, distance)
        if progress is not None:
            progress(min(start + 8 * _CHUNK, len(chosen)), 2 * len(descriptors))
    found, capped = kept.result()
    return found, cells.compared, capped


def _probes(descriptors: np.ndarray, some: np.ndarray, thumbnails: Fetch) -> Iterator[np.ndarray]:
    """Yield the descriptors of some pictures as they are, and as they would be cropped."""
    yield descriptors[some]
    probes = np.empty((len(CROPS) - 1, len(some), descriptors.shape[1]), dtype=np.float32)
    for start in range(0, len(some), _CHUNK):
        pictures = thumbnails(some[start : start + _CHUNK].tolist()).astype(np.float32)
        for number, crop in enumerate(CROPS[1:]):
            shrink = np.array([[-2 * crop, 0, -2 * crop, 0]], dtype=np.float32)
            probes[number, start : start + _CHUNK] = describe(
                _moved(pictures.reshape(-1, SIDE, SIDE), shrink).reshape(pictures.shape)
            )
    yield from probes


class _Cells:
    """Descriptors filed by the nearest of some centres.

    Two descriptors within reach of one another may lie in different cells. A search that misses none would look into each
    cell whose border (the plane midway between two centres) is within reach: nearly all cells, in so many dimensions. But a
    step in some direction is hardly ever a step straight to a given border, and what one misses is found from the other:
    with 0.2 of the reach, none or one of 3,000 planted copies in three sets of chest X-rays was missed.
    """

    def __init__(self, descriptors: np.ndarray, chosen: np.ndarray) -> None:
        self.compared = 0
        self._centres = _centres(descriptors, chosen)
        home = np.concatenate(
            [
                self._squares(descriptors[part]).argmin(axis=1)
                for part in np.array_split(chosen, len(chosen) // 8192 + 1)
            ]
        )
        order = np.argsort(home, kind="stable")
        self._members, self._filed = chosen[order], descriptors[chosen[order]]
        self._starts = np.searchsorted(home[order], np.arange(len(self._centres) + 1))
        inner = self._centres @ self._centres.T
        self._apart = np.sqrt(np.maximum(inner.diagonal()[:, None] + inner.diagonal() - 2 * inner, 0))

    def within(
        self, probes: np.ndarray, names: np.ndarray, reach: float
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield (names of probes, those filed within reach of them, distances), in bounded blocks."""
        squares = self._squares(probes)
        home = squares.argmin(axis=1)
        beyond = squares - np.take_along_axis(squares, home[:, None], axis=1)
        visits = beyond <= 2 * _SLACK * reach * self._apart[home]
        for cell, (start, end) in enumerate(zip(self._starts, self._starts[1:], strict=False)):
            visitors = np.flatnonzero(visits[:, cell])
            for part in np.array_split(visitors, len(visitors) * (end - start) // 2**21 + 1):
                cosines = probes[part] @ self._filed[start:end].T
                self.compared += cosines.size
                row, column = np.nonzero(cosines > _limits(cosines, 1 - reach**2 / 2)[:, None])
                one, other = names[part[row]], self._members[start + column]
                distance = np.sqrt(np.maximum(2 - 2 * cosines[row, column], 0))
                yield one[one != other], other[one != other], distance[one != other]

    def _squares(self, points: np.ndarray) -> np.ndarray:
        """Return squared distances to the centres, less a number that is the same for all of them."""
        return np.asarray((self._centres**2).sum(axis=1) - 2 * points @ self._centres.T)


def _limits(cosines: np.ndarray, least: float) -> np.ndarray:
    """Return for each row what a cosine must exceed: `least`, or in a crowd what a few more than MOST do."""
    limits = np.full(len(cosines), least, dtype=np.float32)
    crowded = np.flatnonzero((cosines > least).sum(axis=1) > MOST + 2)
    if len(crowded):
        limits[crowded] = np.partition(cosines[crowded], -MOST - 3, axis=1)[:, -MOST - 3]
    return limits


def _centres(descriptors: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return about 3 sqrt(n) centres (k-means of a sample); one for the few that are compared with one another."""
    count = int(3 * np.sqrt(len(chosen))) if len(chosen) > 1000 else 1
    if count == 1:
        return np.zeros((1, descriptors.shape[1]), dtype=np.float32)
    from sklearn.cluster import KMeans

    sample = np.random.default_rng(0).choice(chosen, min(len(chosen), 20_000), replace=False)
    means = KMeans(count, init="random", n_init=1, max_iter=10, tol=0, random_state=0).fit(descriptors[np.sort(sample)])
    return np.asarray(means.cluster_centers_, dtype=np.float32)


class _Nearest:
    """The MOST nearest of each picture, whatever comes; so it does not grow with the number of pairs that are close."""

    def __init__(self) -> None:
        self._kept = np.zeros(0, dtype=_PAIR)
        self._waiting: list[np.ndarray] = []
        self._count = 0
        self._capped: set[int] = set()

    def add(self, one: np.ndarray, other: np.ndarray, crop: int, distance: np.ndarray) -> None:
        pairs = np.empty(len(one), dtype=_PAIR)
        pairs["one"], pairs["other"], pairs["crop"], pairs["distance"] = one, other, crop, distance
        self._waiting.append(pairs)
        self._count += len(pairs)
        if self._count > 2**22:
            self._prune()

    def _prune(self) -> None:
        pairs = np.concatenate([self._kept, *self._waiting])
        pairs = _once(pairs, pairs["one"], pairs["other"])
        pairs = pairs[np.lexsort((pairs["distance"], pairs["one"]))]
        rank = np.arange(len(pairs)) - np.searchsorted(pairs["one"], pairs["one"])
        self._capped |= set(pairs["one"][rank >= MOST].tolist())
        self._kept, self._waiting, self._count = pairs[rank < MOST], [], 0

    def result(self) -> tuple[np.ndarray, int]:
        """Return (pairs, each once whichever way round it was found; how many pictures had too many)."""
        self._prune()
        pairs = self._kept
        ends = np.minimum(pairs["one"], pairs["other"]), np.maximum(pairs["one"], pairs["other"])
        return _once(pairs, *ends), len(self._capped)


def _once(pairs: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Keep the nearest of the pairs with the same two ends."""
    order = np.lexsort((pairs["distance"], other, one))
    one, other = one[order], other[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (one[1:] != one[:-1]) | (other[1:] != other[:-1])
    return np.asarray(pairs[order[first]])


# --- the closer look ------------------------------------------------------------------------------------------------


def _judge(found: np.ndarray, thumbnails: Fetch) -> list[Pair]:
    """Look at the thumbnails of some pairs; return those that are the same picture."""
    names, places = np.unique(np.concatenate([found["one"], found["other"]]), return_inverse=True)
    pictures = flattened(thumbnails(names.tolist()))
    one, other = places.reshape(2, -1)
    crop = np.asarray(CROPS, dtype=np.float32)[found["crop"]]
    shift = np.zeros((len(found), 4), dtype=np.float32)
    shift[:, 0] = shift[:, 2] = 1 / (1 - 2 * crop) - 1
    turn, rough = _best_turn(_smaller(blurred(pictures, 2.0), 16), one, other, shift)
    left = np.flatnonzero(rough >= _ROUGH)
    pairs: list[Pair] = []
    if len(left):
        firsts = pictures[one[left]]
        seconds = np.stack([_turned(pictures[other[i]], turn[i]) for i in left])
        likeness, borders = _overlaid(firsts, seconds, shift[left])
        for place, same, moved in zip(left, likeness, borders, strict=True):
            if same >= THRESHOLD:
                pairs.append(_pair(found[place], int(turn[place]), bool(moved), float(same)))
    return pairs


def _pair(found: np.void, turn: int, moved: bool, likeness: float) -> Pair:
    one, other = int(found["one"]), int(found["other"])
    if one > other and turn in (5, 6):  # the only two that are not their own inverse
        turn = 11 - turn
    how = _SYMMETRIES[turn & 7] + (", frames in reversed order" if turn & 8 else "")
    how += ", cropped, padded or shifted" if moved else ""
    return Pair(min(one, other), max(one, other), how, min(1.0, round(likeness, 4)))


def _best_turn(
    small: np.ndarray, one: np.ndarray, other: np.ndarray, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (number of the symmetry, correlation in it) for each pair; 8 and more: with the frames reversed."""
    side = small.shape[-1]
    # Where one of them may be cropped, the first is, rather than that the second is made smaller.
    shrink = (1 / (1 + shift) - 1) * np.array([1, 0, 1, 0], dtype=np.float32)
    frames = small.shape[1]
    first = _standard(_moved(small[one].reshape(-1, side, side), np.repeat(shrink, frames, axis=0)))
    first = first.reshape(len(one), -1)
    best, turn = np.full(len(one), -2.0), np.zeros(len(one), dtype=np.int64)
    for number in range(16 if frames > 1 else 8):
        version = _standard(_turned(small, number))[other].reshape(len(one), -1)
        correlation = np.einsum("ij,ij->i", first, version) / np.maximum(
            np.sqrt((first**2).sum(axis=1) * (version**2).sum(axis=1)), 1e-6
        )
        better = correlation > best
        best[better], turn[better] = correlation[better], number
    return turn, best


def _overlaid(first: np.ndarray, second: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (how well the fine structure agrees, whether borders differ) for pairs of (k, SIDE, SIDE) in one orientation.

    Of several frames the one that agrees least counts.
    """
    count, frames = first.shape[:2]
    first, second = first.reshape(-1, SIDE, SIDE), second.reshape(-1, SIDE, SIDE)
    shift, likeness = np.repeat(shift, frames, axis=0), np.zeros(count * frames, dtype=np.float32)
    one, other = _smaller(first, SIDE // 2), _smaller(second, SIDE // 2)
    shift = _aligned(blurred(one, 1.0), blurred(other, 1.0), shift, steps=3)
    halfway = _correlation(_fine(one, 1.5), _fine(_moved(other, shift), 1.5), _inside(shift, SIDE // 2))
    left = np.flatnonzero(halfway >= _HALFWAY)
    one, other = first[left], second[left]
    shift[left] = _aligned(one, other, shift[left], steps=3)
    likeness[left] = _correlation(_fine(one, 2.0), _fine(_moved(other, shift[left]), 2.0), _inside(shift[left], SIDE))
    nothing = ~first.any(axis=(1, 2)) & ~second.any(axis=(1, 2))
    likeness[nothing] = 1.0
    borders = (np.abs(shift) > 0.02).any(axis=1) & ~nothing
    return likeness.reshape(count, frames).min(axis=1), borders.reshape(count, frames).any(axis=1)


def _aligned(first: np.ndarray, second: np.ndarray, shift: np.ndarray, steps: int) -> np.ndarray:
    """Stretch and shift the second along both axes until it lies on the first (Gauss-Newton; Lucas and Kanade 1981).

    `shift` has, for each pair, stretch - 1 and offset along rows, and along columns; the unit is half a side.
    """
    side = first.shape[-1]
    place = _grid(side)
    for _ in range(steps):
        moved, inside = _moved(second, shift), _inside(shift, side)
        down, across = np.gradient(moved, axis=(1, 2))
        gain = (first * moved * inside).sum(axis=(1, 2)) / ((first**2 * inside).sum(axis=(1, 2)) + 1e-6)
        missing = ((first * gain[:, None, None] - moved) * inside).reshape(len(first), -1, 1)
        ways = np.stack([down * place[:, None], down, across * place, across], axis=1) * (inside * (side / 2))[:, None]
        ways = ways.reshape(len(first), 4, -1)
        normal = ways @ ways.swapaxes(1, 2)
        damping = 1e-3 * np.trace(normal, axis1=1, axis2=2) / 4 + 1e-3
        step = np.linalg.solve(normal + damping[:, None, None] * np.eye(4, dtype=np.float32), ways @ missing)[..., 0]
        shift = np.clip(shift + step, -0.16, 0.16).astype(np.float32)
    return shift


def _moved(pictures: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Sample pictures (m, side, side) at places stretched and shifted along rows and columns, between pixels linearly."""
    side = pictures.shape[-1]
    rows, columns = (_weights(shift[:, axis], shift[:, axis + 1], side) for axis in (0, 2))
    return np.asarray(rows @ pictures @ columns.swapaxes(1, 2))


def _weights(stretch: np.ndarray, offset: np.ndarray, side: int) -> np.ndarray:
    places = np.clip(_places(stretch, offset, side), 0, side - 1)
    return np.maximum(0, 1 - np.abs(places[:, :, None] - np.arange(side, dtype=np.float32)))


def _places(stretch: np.ndarray, offset: np.ndarray, side: int) -> np.ndarray:
    return (_grid(side) * (1 + stretch[:, None]) + offset[:, None]) * (side / 2) + (side - 1) / 2


def _inside(shift: np.ndarray, side: int) -> np.ndarray:
    """Return where both pictures are, as float32 (m, side, side), without a margin in which a padded border would count."""
    rows, columns = (_places(shift[:, axis], shift[:, axis + 1], side) for axis in (0, 2))
    margin = side * 7 // 64
    middle = (np.arange(side) >= margin) & (np.arange(side) < side - margin)
    rows, columns = ((places >= 1) & (places <= side - 2) & middle for places in (rows, columns))
    return (rows[:, :, None] & columns[:, None, :]).astype(np.float32)


def _grid(side: int) -> np.ndarray:
    return (np.arange(side, dtype=np.float32) - (side - 1) / 2) / np.float32(side / 2)


def _correlation(first: np.ndarray, second: np.ndarray, inside: np.ndarray) -> np.ndarray:
    size = np.maximum(inside.sum(axis=(1, 2)), 1)
    first, second = (
        (pictures - ((pictures * inside).sum(axis=(1, 2)) / size)[:, None, None]) * inside
        for pictures in (first, second)
    )
    power = (first**2).sum(axis=(1, 2)) * (second**2).sum(axis=(1, 2))
    return np.asarray((first * second).sum(axis=(1, 2)) / np.sqrt(power + 1e-6))


def _fine(pictures: np.ndarray, sigma: float) -> np.ndarray:
    return pictures - blurred(pictures, sigma)


def _standard(pictures: np.ndarray) -> np.ndarray:
    return pictures - pictures.mean(axis=(-2, -1), keepdims=True)


def _smaller(pictures: np.ndarray, side: int) -> np.ndarray:
    """Average blocks of pixels until pictures (…, n, n) are (…, side, side)."""
    times = pictures.shape[-1] // side
    return np.asarray(pictures.reshape(*pictures.shape[:-2], side, times, side, times).mean(axis=(-3, -1)))


def _turned(pictures: np.ndarray, turn: int) -> np.ndarray:
    """Return pictures (…, frames, side, side) in one of the eight symmetries of the square; 8 more: frames reversed."""
    turned = np.swapaxes(pictures, -1, -2) if turn & 4 else pictures
    turned = turned[..., ::-1] if turn & 1 else turned
    turned = turned[..., ::-1, :] if turn & 2 else turned
    return turned[..., ::-1, :, :] if turn & 8 else turned
