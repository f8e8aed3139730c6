"""A look at the pixels of every case: burned-in text, markers, lines and borders, recorded and not removed.

A case of one picture is looked at whole; of a volume or a film three frames are, since what is burned in stands in all of
them. What was seen is kept beside the index, so that a second scan of the same files looks at none.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import polars as pl

from hounsfield.cohort.glance import Glance, Seen, look_at
from hounsfield.core.cohort import SCHEMA, Cohort
from hounsfield.core.digest import digest
from hounsfield.core.files import make_folder
from hounsfield.errors import HounsfieldError
from hounsfield.read import Source, each

# Raise it when the detectors find something else in the same picture: every picture is then looked at again.
DETECTORS = 1
FRAMES = 3
KINDS = ("text", "marker", "line", "border")
_TOGETHER = 4
Progress = Callable[[int, int], None]


def look(
    cohort: Cohort, *, run: Path | None = None, workers: int | None = None, progress: Progress | None = None
) -> Cohort:
    """Return the cohort with what was seen in its usable cases; a case that cannot be decoded is put aside.

    Parameters
    ----------
    run:
        The run folder, whose private part remembers what was seen.
    """
    cases, glances = _glances(cohort)
    seen: dict[str, Seen] = {case: [] for case in cohort.usable["case"]}
    refused: dict[str, str] = {}
    with closing(_Memory(run)) as memory:
        todo: list[int] = []
        for number, glance in enumerate(glances):
            known = memory.recall(_key(glance))
            if known is None:
                todo.append(number)
            else:
                seen[cases[number]] += known
        results = each(look_at, [glances[number] for number in todo], workers=workers, chunk=_TOGETHER) if todo else ()
        for done, (place, result) in enumerate(results, start=1):
            number = todo[place]
            if isinstance(result, HounsfieldError):
                refused.setdefault(cases[number], result.what)
            else:
                memory.keep(_key(glances[number]), result)
                seen[cases[number]] += result
            if progress is not None:
                progress(done, len(todo))
    for case in refused:
        del seen[case]
    column = pl.Series("artefacts", [seen.get(case) for case in cohort.table["case"]], dtype=SCHEMA["artefacts"])
    about = cohort.about.model_copy(update={"notes": [*cohort.about.notes, in_words(list(seen.values()))]})
    return replace(cohort, table=cohort.table.with_columns(column), about=about).put_aside(refused, stage="scan")


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


def _key(glance: Glance) -> str:
    try:
        state = os.stat(glance.source.path)
        signature = [state.st_size, state.st_mtime_ns]
    except OSError:
        signature = []
    return digest(
        [str(glance.source), signature, glance.file, glance.frames, glance.modality, DETECTORS]
    )  # fmt: skip


class _Memory:
    """What was seen before, in private/artefacts.sqlite; without a run folder nothing is remembered."""

    def __init__(self, run: Path | None) -> None:
        self._connection: sqlite3.Connection | None = None
        if run is None:
            return
        path = make_folder(run / "private") / "artefacts.sqlite"
        try:
            self._connection = self._open(path)
        except sqlite3.DatabaseError:  # damaged, or no database: it can be seen again
            path.unlink(missing_ok=True)
            self._connection = self._open(path)
        path.chmod(0o600)
        self._waiting = 0

    def recall(self, key: str) -> Seen | None:
        if self._connection is None:
            return None
        row = self._connection.execute("SELECT seen FROM looks WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def keep(self, key: str, seen: Seen) -> None:
        if self._connection is None:
            return
        self._connection.execute("INSERT OR REPLACE INTO looks VALUES (?, ?)", (key, json.dumps(seen)))
        self._waiting += 1
        if self._waiting >= 256:
            self._connection.commit()
            self._waiting = 0

    def close(self) -> None:
        if self._connection is not None:
            self._connection.commit()
            self._connection.close()

    @staticmethod
    def _open(path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("CREATE TABLE IF NOT EXISTS looks (key TEXT PRIMARY KEY, seen TEXT NOT NULL) WITHOUT ROWID")
        return connection
