"""A look at the pixels of every case: artefacts, small pictures that find duplicates, and the facts that an audit asks for.

A case of one picture is looked at whole; of a volume or a film three frames are, since what is burned in stands in all of
them. What was seen is kept (`looks`), so that a second scan of the same files looks at none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from hounsfield.cohort.glance import Glance, Seen, look_at
from hounsfield.cohort.looks import Memory, key_of
from hounsfield.core.cohort import SCHEMA, Cohort
from hounsfield.core.digest import digest
from hounsfield.errors import HounsfieldError
from hounsfield.read import Source, each
from hounsfield.read.technical import Fact

FRAMES = 3
KINDS = ("text", "marker", "line", "border")
_TOGETHER = 4
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Sights:
    """What was seen of cases, fetched from the memory when it is asked for.

    Attributes
    ----------
    frames:
        Case → how many small pictures there are of it.
    glances:
        Case → keys of what was seen of its files, in the order of the files.
    digests:
        Case → digest of the pixels that were looked at.
    """

    memory: Memory
    frames: dict[str, int]
    glances: dict[str, list[str]]
    digests: dict[str, str]

    def thumbnails(self, cases: Sequence[str]) -> list[np.ndarray]:
        """Return the small pictures of each case, (frames, SIDE, SIDE) uint8."""
        pictures = iter(self.memory.thumbnails([key for case in cases for key in self.glances[case]]))
        return [np.concatenate([next(pictures) for _ in self.glances[case]]) for case in cases]

    def facts(self, cases: Sequence[str]) -> list[dict[str, Fact]]:
        """Return what was seen in the middle one of the files that were looked at, for each case."""
        keys = [self.glances[case] for case in cases]
        return self.memory.facts([of_case[len(of_case) // 2] for of_case in keys])


def look(
    cohort: Cohort, memory: Memory, *, workers: int | None = None, progress: Progress | None = None
) -> tuple[Cohort, Sights]:
    """Return the cohort with what was seen in its usable cases; a case that cannot be decoded is put aside."""
    cases, glances = _glances(cohort)
    keys = [key_of(glance) for glance in glances]
    gathered = {case: _Gathered() for case in cohort.usable["case"]}
    refused: dict[str, str] = {}
    todo: list[int] = []
    for number, key in enumerate(keys):
        known = memory.recall(key)
        if known is None:
            todo.append(number)
        else:
            gathered[cases[number]].add(key, *known)
    results = each(look_at, [glances[number] for number in todo], workers=workers, chunk=_TOGETHER) if todo else ()
    for done, (place, result) in enumerate(results, start=1):
        number = todo[place]
        if isinstance(result, HounsfieldError):
            refused.setdefault(cases[number], result.what)
        else:
            memory.keep(keys[number], result)
            gathered[cases[number]].add(keys[number], result.artefacts, result.digest, result.frames)
        if progress is not None:
            progress(done, len(todo))
    memory.flush()
    seen = {case: one.artefacts() for case, one in gathered.items() if case not in refused}
    column = pl.Series("artefacts", [seen.get(case) for case in cohort.table["case"]], dtype=SCHEMA["artefacts"])
    about = cohort.about.model_copy(update={"notes": [*cohort.about.notes, in_words(list(seen.values()))]})
    looked = replace(cohort, table=cohort.table.with_columns(column), about=about).put_aside(refused, stage="scan")
    order = {key: number for number, key in enumerate(keys)}
    return looked, Sights(
        memory,
        {case: gathered[case].frames for case in seen},
        {case: sorted(gathered[case].keys, key=order.__getitem__) for case in seen},
        {case: digest(sorted(gathered[case].digests)) for case in seen},
    )


class _Gathered:
    """What was seen of the files of one case; what was remembered comes before what is looked at now."""

    __slots__ = ("_artefacts", "digests", "frames", "keys")

    def __init__(self) -> None:
        self._artefacts: Seen = []
        self.keys: list[str] = []
        self.digests: list[str] = []
        self.frames = 0

    def add(self, key: str, artefacts: Seen, mark: str, frames: int) -> None:
        self._artefacts += artefacts
        self.keys.append(key)
        self.digests.append(mark)
        self.frames += frames

    def artefacts(self) -> Seen:
        return sorted(self._artefacts, key=lambda one: (one["file"], one["frame"]))


def in_words(seen: Sequence[Seen]) -> str:
    """Return in words how many cases show what."""
    counts = {kind: sum(any(one["kind"] == kind for one in found) for found in seen) for kind in KINDS}
    told = ", ".join(f"{kind} in {count}" for kind, count in counts.items() if count)
    return f"artefacts among {len(seen)} cases: {told}" if told else f"artefacts among {len(seen)} cases: none found"


def _glances(cohort: Cohort) -> tuple[list[str], list[Glance]]:
    """Return what to look at, and of which case each is a part."""
    chosen = [
        (case, files[file], file, inside, modality)
        for case, files, frames, modality in cohort.usable.select("case", "files", "frames", "modality").iter_rows()
        for file, inside in _frames(frames)
    ]
    places = cohort.locate([key for _, key, _, _, _ in chosen])
    glances = [
        Glance(Source(path, member), file, inside, modality)
        for (path, member), (_, _, file, inside, modality) in zip(places, chosen, strict=True)
    ]
    return [case for case, *_ in chosen], glances


def _frames(counts: Sequence[int]) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Choose frames at even distances over files with so many frames each; yield the file and its frames."""
    total = sum(counts)
    wanted = {min(total - 1, int((place + 0.5) * total / FRAMES)) for place in range(FRAMES)} if total > 1 else {0}
    start = 0
    for file, count in enumerate(counts):
        inside = tuple(sorted(frame - start for frame in wanted if start <= frame < start + count))
        if inside:
            yield file, inside
        start += count
