"""Which pairs of pictures deserve a closer look: descriptors filed in cells, so that all pairs are never compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from hounsfield.cohort.alike.likeness import SIDE
from hounsfield.cohort.alike.likeness import descriptors as describe
from hounsfield.cohort.alike.overlay import moved

Fetch = Callable[[Sequence[int]], np.ndarray]
Progress = Callable[[int, int], None]

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

CHUNK = 512  # pairs, or pictures, that are looked at together
_SLACK = 0.22  # of the reach: how far beyond the border of its cell a descriptor is looked for; see _Cells
PAIR = np.dtype([("one", np.int32), ("other", np.int32), ("crop", np.int8), ("distance", np.float32)])


def distinct(descriptors: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (the first of each set of equal descriptors, pairs of each other one with its first)."""
    rows = np.ascontiguousarray(descriptors[among]).view([("", np.void, descriptors.itemsize * descriptors.shape[1])])
    _, firsts, member = np.unique(rows.reshape(-1), return_index=True, return_inverse=True)
    head = among[firsts][member.reshape(-1)]
    copies = np.zeros(int((head != among).sum()), dtype=PAIR)
    copies["one"], copies["other"] = head[head != among], among[head != among]
    return np.sort(among[firsts]), copies


def candidates(
    descriptors: np.ndarray, chosen: np.ndarray, thumbnails: Fetch, progress: Progress | None
) -> tuple[np.ndarray, int, int]:
    """Return (pairs within reach, each once; pairs of descriptors compared; pictures with too many)."""
    cells, reaches = _Cells(descriptors, chosen), REACHES if len(chosen) > FEW else REACHES_AMONG_FEW
    kept = _Nearest()
    for start in range(0, len(chosen), 8 * CHUNK):
        some = chosen[start : start + 8 * CHUNK]
        for crop, probes in enumerate(_probes(descriptors, some, thumbnails)):
            for one, other, distance in cells.within(probes, some, reaches[crop]):
                kept.add(one, other, crop, distance)
        if progress is not None:
            progress(min(start + 8 * CHUNK, len(chosen)), 2 * len(descriptors))
    found, capped = kept.result()
    return found, cells.compared, capped


def _probes(descriptors: np.ndarray, some: np.ndarray, thumbnails: Fetch) -> Iterator[np.ndarray]:
    """Yield the descriptors of some pictures as they are, and as they would be cropped."""
    yield descriptors[some]
    probes = np.empty((len(CROPS) - 1, len(some), descriptors.shape[1]), dtype=np.float32)
    for start in range(0, len(some), CHUNK):
        pictures = thumbnails(some[start : start + CHUNK].tolist()).astype(np.float32)
        for number, crop in enumerate(CROPS[1:]):
            shrink = np.array([[-2 * crop, 0, -2 * crop, 0]], dtype=np.float32)
            probes[number, start : start + CHUNK] = describe(
                moved(pictures.reshape(-1, SIDE, SIDE), shrink).reshape(pictures.shape)
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
        self._kept = np.zeros(0, dtype=PAIR)
        self._waiting: list[np.ndarray] = []
        self._count = 0
        self._capped: set[int] = set()

    def add(self, one: np.ndarray, other: np.ndarray, crop: int, distance: np.ndarray) -> None:
        pairs = np.empty(len(one), dtype=PAIR)
        pairs["one"], pairs["other"], pairs["crop"], pairs["distance"] = one, other, crop, distance
        self._waiting.append(pairs)
        self._count += len(pairs)
        if self._count > max(2**20, len(self._kept)):
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
