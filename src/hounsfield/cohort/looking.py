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
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hounsfield.artefacts import find_in
from hounsfield.cohort.grouping import Draft
from hounsfield.cohort.slices import Locate
from hounsfield.core.digest import digest
from hounsfield.core.files import make_folder
from hounsfield.errors import HounsfieldError
from hounsfield.read import Source, each, read_image

# Raise it when the detectors find something else in the same picture: every picture is then looked at again.
DETECTORS = 1
FRAMES = 3
KINDS = ("text", "marker", "line", "border")
_TOGETHER = 4
Progress = Callable[[int, int], None]
Seen = list[dict[str, object]]


@dataclass(frozen=True, slots=True)
class Glance:
    """What to look at: frames of one file; `modality` as the scan knows it, `stated` where the header says YES to text."""

    source: Source
    file: int
    frames: tuple[int, ...]
    modality: str | None
    stated: bool


@dataclass(frozen=True)
class Looked:
    """Index of a draft → what was seen in it; and → why a file of it cannot be decoded."""

    seen: dict[int, Seen] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)


def look(
    drafts: Sequence[Draft],
    locate: Locate,
    *,
    modality: str | None = None,
    run: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Looked:
    """Look at the drafts, in worker processes.

    Parameters
    ----------
    locate:
        Where the file of a header lies.
    modality:
        What the user stated of all images whose files do not say it.
    run:
        The run folder, whose private part remembers what was seen.
    """
    glances = [(index, glance) for index, draft in enumerate(drafts) for glance in _glances(draft, locate, modality)]
    found = Looked()
    with closing(_Memory(run)) as memory:
        todo: list[int] = []
        keys = [_key(glance) for _, glance in glances]
        for number, key in enumerate(keys):
            known = memory.recall(key)
            if known is None:
                todo.append(number)
            else:
                found.seen.setdefault(glances[number][0], []).extend(known)
        results = each(_look, [glances[number][1] for number in todo], workers=workers, chunk=_TOGETHER) if todo else ()
        for done, (place, result) in enumerate(results, start=1):
            index = glances[todo[place]][0]
            if isinstance(result, HounsfieldError):
                found.refused.setdefault(index, result.what)
            else:
                memory.keep(keys[todo[place]], result)
                found.seen.setdefault(index, []).extend(result)
            if progress is not None:
                progress(done, len(todo))
    return found


def in_words(seen: Sequence[Seen | None]) -> str:
    """Return in words how many cases show what."""
    counts = {kind: sum(any(one["kind"] == kind for one in found or ()) for found in seen) for kind in KINDS}
    told = ", ".join(f"{kind} in {count}" for kind, count in counts.items() if count)
    return f"artefacts among {len(seen)} cases: {told}" if told else f"artefacts among {len(seen)} cases: none found"


def _glances(draft: Draft, locate: Locate, modality: str | None) -> Iterator[Glance]:
    """Choose frames at even distances over the whole case, file by file."""
    total = sum(header.frames for header in draft.headers)
    wanted = {min(total - 1, int((place + 0.5) * total / FRAMES)) for place in range(FRAMES)} if total > 1 else {0}
    start = 0
    for file, header in enumerate(draft.headers):
        inside = tuple(sorted(frame - start for frame in wanted if start <= frame < start + header.frames))
        if inside:
            yield Glance(locate(header), file, inside, header.modality or modality, header.burned_in is True)
        start += header.frames


def _look(glance: Glance) -> Seen:
    """Look at some frames of a file."""
    image = read_image(glance.source, digest=False)
    facts = image.facts
    modality = "CT" if image.unit == "HU" else facts.modality or glance.modality
    seen: Seen = []
    for frame in glance.frames:
        if frame >= image.frames:
            continue
        found = find_in(image.pixels[frame], value_range=facts.value_range, inverted=facts.inverted, modality=modality)
        seen += [_entry(glance.file, frame, one.kind, one.box, one.score) for one in found]
    if glance.stated and not any(one["kind"] == "text" for one in seen):
        # BurnedInAnnotation says YES (PS3.3 C.7.6.1.1.2), without saying where.
        seen.append(_entry(glance.file, glance.frames[0], "text", (0.0, 0.0, 1.0, 1.0), 1.0))
    return seen


def _entry(file: int, frame: int, kind: str, box: Sequence[float], score: float) -> dict[str, object]:
    top, left, bottom, right = (round(float(np.clip(value, 0, 1)), 4) for value in box)
    return {
        "kind": kind, "file": file, "frame": frame, "top": top, "left": left, "bottom": bottom, "right": right,
        "score": round(float(score), 3),
    }  # fmt: skip


def _key(glance: Glance) -> str:
    try:
        state = os.stat(glance.source.path)
        signature = [state.st_size, state.st_mtime_ns]
    except OSError:
        signature = []
    return digest(
        [str(glance.source), signature, glance.file, glance.frames, glance.modality, glance.stated, DETECTORS]
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
