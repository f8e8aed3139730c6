"""What was seen in files, kept in an SQLite file, so that a second scan looks at none and memory holds little.

It holds small pictures of patients, so it lies in the private folder, and its owner alone may read it.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from hounsfield.cohort.alike.likeness import SIDE
from hounsfield.cohort.glance import Glance, Look, Seen
from hounsfield.core.digest import digest
from hounsfield.core.files import make_folder, make_private
from hounsfield.read.technical import Fact

# Raise it when a look finds something else in the same picture: every picture is then looked at again.
LOOKS = 3
_TOGETHER = 256
_COLUMNS = (
    "key TEXT PRIMARY KEY, artefacts TEXT NOT NULL, facts TEXT NOT NULL, digest TEXT NOT NULL, thumbnails BLOB NOT NULL"
)


class Memory:
    """Key of a glance → what was seen."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._waiting = 0

    def keep(self, key: str, look: Look) -> None:
        """Keep a look; written together with others."""
        row = (key, json.dumps(look.artefacts), json.dumps(look.facts), look.digest, look.thumbnails)
        self._connection.execute("INSERT OR REPLACE INTO looks VALUES (?, ?, ?, ?, ?)", row)
        self._waiting += 1
        if self._waiting >= _TOGETHER:
            self.flush()

    def recall(self, key: str) -> tuple[Seen, str, int] | None:
        """Return artefacts, digest and the number of small pictures, None where nobody looked."""
        query = "SELECT artefacts, digest, length(thumbnails) FROM looks WHERE key = ?"
        row = self._connection.execute(query, (key,)).fetchone()
        return None if row is None else (json.loads(row[0]), row[1], row[2] // SIDE**2)

    def facts(self, keys: Sequence[str]) -> list[dict[str, Fact]]:
        """Return the facts of glances."""
        return [json.loads(text) for text in self._of("facts", keys)]

    def thumbnails(self, keys: Sequence[str]) -> list[np.ndarray]:
        """Return the small pictures of glances, each (frames, SIDE, SIDE) uint8."""
        return [np.frombuffer(one, dtype=np.uint8).reshape(-1, SIDE, SIDE) for one in self._of("thumbnails", keys)]

    def _of(self, column: str, keys: Sequence[str]) -> Iterator[Any]:
        found: dict[str, Any] = {}
        for start in range(0, len(keys), _TOGETHER):
            some = keys[start : start + _TOGETHER]
            query = f"SELECT key, {column} FROM looks WHERE key IN ({','.join('?' * len(some))})"
            found.update(self._connection.execute(query, some))
        return (found[key] for key in keys)

    def flush(self) -> None:
        self._connection.commit()
        self._waiting = 0


@contextmanager
def open_memory(run: Path | None) -> Iterator[Memory]:
    """Open the memory of a run folder, private/looks.sqlite; without one, a temporary file without a name."""
    connection = _open(run)
    try:
        memory = Memory(connection)
        yield memory
        memory.flush()
    finally:
        connection.close()


def key_of(glance: Glance) -> str:
    """Return what a look depends on: the file, its size and time, the frames, and the version of the looking."""
    try:
        state = os.stat(glance.source.path)
        signature = [state.st_size, state.st_mtime_ns]
    except OSError:
        signature = []
    return digest([str(glance.source), signature, glance.file, glance.frames, glance.modality, LOOKS])


def _open(run: Path | None) -> sqlite3.Connection:
    if run is None:
        return _tables(sqlite3.connect(""))
    folder = make_folder(run / "private")
    folder.chmod(0o700)
    path = folder / "looks.sqlite"
    make_private(path)
    try:
        connection = _tables(sqlite3.connect(path))
    except sqlite3.DatabaseError:  # damaged, or no database: it can be seen again
        for ending in ("", "-wal", "-shm"):
            Path(f"{path}{ending}").unlink(missing_ok=True)
        make_private(path)
        connection = _tables(sqlite3.connect(path))
    return connection


def _tables(connection: sqlite3.Connection) -> sqlite3.Connection:
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"CREATE TABLE IF NOT EXISTS looks ({_COLUMNS}) WITHOUT ROWID")
        connection.commit()
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection
