"""Pairs of cases that show the same picture, exactly or nearly; told to `settle`, and listed in the cohort."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from hounsfield.cohort.alike.likeness import descriptors
from hounsfield.cohort.alike.near import near_pairs
from hounsfield.cohort.alike.same import Same, exactly_the_same
from hounsfield.cohort.looking import Progress, Sights

_TOGETHER = 1024


def pairs_among(
    cases: Sequence[str], marks: Mapping[str, str], sights: Sights | None, progress: Progress | None = None
) -> tuple[list[Same], list[str]]:
    """Return pairs of places in `cases` whose pictures are the same, and notes on what was not compared.

    Parameters
    ----------
    marks:
        Case → mark of its one file (`same.Marks`), as far as it has one.
    sights:
        What was seen of the pixels; without it only marks are compared.
    """
    files = [marks.get(case) for case in cases]
    if sights is None:
        return exactly_the_same(files, [None] * len(cases)), ["pixels were not compared: near duplicates are not found"]
    exact = exactly_the_same(files, [sights.digests[case] for case in cases])
    repeated = {pair.second for pair in exact}
    by_frames: dict[int, list[int]] = defaultdict(list)
    for row, case in enumerate(cases):
        if row not in repeated:  # it is like whatever its first one is like
            by_frames[sights.frames[case]].append(row)
    near: list[Same] = []
    notes: list[str] = []
    for rows in by_frames.values():
        found, said = _near(rows, cases, sights, progress)
        near += found
        notes += said
    return exact + sorted(near, key=lambda pair: (pair.first, pair.second)), notes


def _near(
    rows: Sequence[int], cases: Sequence[str], sights: Sights, progress: Progress | None
) -> tuple[list[Same], list[str]]:
    def fetch(places: Sequence[int]) -> np.ndarray:
        return np.stack(sights.thumbnails([cases[rows[place]] for place in places]))

    made = [
        descriptors(fetch(range(start, min(start + _TOGETHER, len(rows))))) for start in range(0, len(rows), _TOGETHER)
    ]
    result = near_pairs(np.concatenate(made), fetch, progress)
    pairs = [Same(rows[one.first], rows[one.second], "near", one.how, one.likeness) for one in result.pairs]
    return pairs, result.notes
