"""The index of a folder: what every file was found to hold, kept through interruptions and from one scan to the next.

An SQLite file with one row per file. It holds names and identifiers of patients, so its owner alone may read it.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath

from hounsfield.cohort.packing import Unpacker, shape_of
from hounsfield.cohort.places import Place
from hounsfield.cohort.reading import Marking, Outcome
from hounsfield.core.digest import digest
from hounsfield.core.files import make_folder, make_private
from hounsfield.errors import OutputError, UsageError
from hounsfield.read import Header

# Raise it when `read_headers` says something else of the same file: every index is then made anew.
READER_VERSION = 1
# What a file is found to hold depends on these too: one more decoder makes more files usable.
_READERS = (
    "hounsfield", "pydicom", "pylibjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle", "pyjpegls", "python-gdcm", "imagecodecs",
    "pillow", "tifffile", "nibabel",
)  # fmt: skip

_TOGETHER = 256  # results in one transaction
_PATIENCE = 0.5  # seconds until results are written even if they are few
_FETCHED = 512  # paths fetched at a time
_SCHEMA = """
CREATE TABLE about (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE listed (key BLOB PRIMARY KEY, size INTEGER, changed INTEGER, trouble TEXT, folder INTEGER) WITHOUT ROWID;
CREATE TABLE files (
  id INTEGER PRIMARY KEY,
  key BLOB NOT NULL UNIQUE,  -- the place, with a zero byte for every slash: so keys sort as the walk goes
  archive TEXT,              -- the place of the archive that it was unpacked from
  size INTEGER NOT NULL,
  changed INTEGER NOT NULL,
  folder INTEGER NOT NULL,
  state TEXT NOT NULL,       -- waiting, image, aside, archive
  content TEXT,              -- image: its headers; aside: the reason
  also TEXT,                 -- [place, reason] of files that it names and that are not there
  fleeting INTEGER NOT NULL DEFAULT 0, -- whether the next scan asks again
  marking TEXT,              -- how equal content is found where no UID says it: by bytes, by members
  marks TEXT                 -- one digest for each header
);
"""


class DamagedIndex(OutputError):
    """The file is no index, or it is damaged."""


@dataclass(frozen=True, slots=True)
class Aside:
    """Something that was put aside: its place, whether it is a file or a folder, and the reason."""

    place: str
    why: str
    kind: str = "file"


def fingerprint() -> str:
    """Return what an index depends on beside the files: the reader, its version, and the fields of a header."""
    versions = [_version(name) for name in _READERS]
    return digest({"reader": READER_VERSION, "versions": versions, "header": shape_of(Header), "schema": _SCHEMA})


@contextmanager
def open_index(path: Path | None, root: Path, say: Callable[[str], None]) -> Iterator[Index]:
    """Open the index of a folder, made anew where it is of another folder or of another version.

    Without a path it is a temporary file without a name, which no interruption leaves behind.

    Raises
    ------
    DamagedIndex
        If the file cannot be used; see `remove_index`.
    UsageError
        If another scan has it open.
    OutputError
        If it cannot be written.
    """
    if path is not None:
        make_folder(path.parent)
    with _plain_errors(path):
        about = {"root": os.fsencode(root), "fingerprint": fingerprint()}
        connection = _connect(path)
        try:
            known = _about(connection)
            if known and known != about:
                connection.close()
                remove_index(path)
                other = "another folder" if known.get("root") != about["root"] else "another version"
                say(f"the index of an earlier scan is of {other}: every header is read again")
                connection = _connect(path)
                known = {}
            if not known:
                with _transaction(connection):
                    for statement in _SCHEMA.split(";\n"):
                        connection.execute(statement)
                    connection.executemany("INSERT INTO about VALUES (?, ?)", about.items())
            index = Index(connection)
            yield index
            index.flush()
        finally:
            connection.close()


def remove_index(path: Path | None) -> None:
    """Delete an index and what SQLite keeps beside it."""
    for ending in ("", "-wal", "-shm", "-journal") if path else ():
        Path(f"{path}{ending}").unlink(missing_ok=True)


class Index:
    """An open index. Every file has a place: its path below the folder, or below the archive that it was unpacked from."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._outcomes: list[tuple[object, ...]] = []
        self._marks: list[tuple[str, int]] = []
        self._written = time.monotonic()

    def enter(self, places: Iterable[Place], archive: str | None = None) -> None:
        """Take over what lies below the folder (or below an unpacked archive) now.

        New and changed files wait to be read; files that are not there any more are forgotten.
        """
        rows = ((_key(one.name), one.size, one.changed, one.trouble, one.folder) for one in places)
        with self._writing() as connection:
            connection.execute("DELETE FROM listed")
            connection.executemany("INSERT OR IGNORE INTO listed VALUES (?, ?, ?, ?, ?)", rows)
            connection.execute(
                "DELETE FROM files WHERE archive IS ? AND NOT EXISTS (SELECT 1 FROM listed WHERE listed.key = files.key "
                "AND listed.size = files.size AND listed.changed = files.changed AND listed.trouble IS NULL)",
                (archive,),
            )
            connection.execute(
                "UPDATE files SET state = 'waiting', fleeting = 0 WHERE fleeting AND archive IS ?", (archive,)
            )
            connection.execute(
                "INSERT OR IGNORE INTO files (key, archive, size, changed, folder, state, content) SELECT key, ?, size, "
                "changed, folder, CASE WHEN trouble IS NULL THEN 'waiting' ELSE 'aside' END, trouble FROM listed",
                (archive,),
            )
            connection.execute("DELETE FROM listed")

    def forget_unpacked(self, but: Iterable[str]) -> None:
        """Forget what was unpacked from archives other than these."""
        with self._writing() as connection:
            kept = json.dumps(list(but))
            connection.execute(
                "DELETE FROM files WHERE archive IS NOT NULL AND archive NOT IN (SELECT value FROM json_each(?))",
                (kept,),
            )

    def waiting(self, bases: Mapping[str | None, Path]) -> Waiting:
        """Return the files that are still to be read; `bases` has the folder of the files of every archive, and of none."""
        return self._chosen("state = 'waiting'", bases)

    def unmarked(self, marking: Marking, bases: Mapping[str | None, Path]) -> Waiting:
        """Return the images whose content is to be marked: by bytes only where another file has the same size."""
        chosen = "state = 'image' AND marking = ?1"
        if marking == "bytes":
            chosen += f" AND size IN (SELECT size FROM files WHERE {chosen} GROUP BY size HAVING count(*) > 1)"
        return self._chosen(f"marks IS NULL AND {chosen}", bases, marking)

    def record(self, number: int, outcome: Outcome) -> None:
        """Keep what reading a file gave; written in transactions of some hundred files, or every half second."""
        also = json.dumps(outcome.also) if outcome.also else None
        self._outcomes.append((outcome.state, outcome.content, also, outcome.fleeting, outcome.marking, number))
        self._flush_in_time()

    def record_marks(self, number: int, marks: Sequence[str | None]) -> None:
        """Keep the marks of a file's content, one for each of its headers; written as `record` does."""
        self._marks.append((json.dumps(list(marks)), number))
        self._flush_in_time()

    def flush(self) -> None:
        """Write what was recorded."""
        with self._writing() as connection:
            connection.executemany(
                "UPDATE files SET state = ?, content = ?, also = ?, fleeting = ?, marking = ?, marks = NULL WHERE id = ?",
                self._outcomes,
            )
            connection.executemany("UPDATE files SET marks = ? WHERE id = ?", self._marks)
        self._outcomes.clear()
        self._marks.clear()
        self._written = time.monotonic()

    def counts(self) -> tuple[int, int]:
        """Return how many files have been read, and how many there are."""
        query = "SELECT count(*) FILTER (WHERE state <> 'waiting'), count(*) FROM files"
        known, all_of_them = self._connection.execute(query).fetchone()
        return known, all_of_them

    def archives(self) -> list[tuple[int, str]]:
        """Return number and place of the archives that lie below the folder."""
        query = "SELECT id, key FROM files WHERE state = 'archive' AND archive IS NULL ORDER BY key"
        return [(number, _place(key)) for number, key in self._connection.execute(query)]

    def empty(self, archive: str) -> bool:
        """Say whether nothing was unpacked from an archive."""
        found = self._connection.execute("SELECT 1 FROM files WHERE archive = ? LIMIT 1", (archive,))
        return found.fetchone() is None

    def headers(self, root: Path) -> Iterator[tuple[list[Header], list[str | None] | None]]:
        """Yield the headers of each image, in the order of the places, and their marks; their paths are places below `root`.

        Raises
        ------
        DamagedIndex
            If what is written there is no header.
        """
        unpacker, folder, parent = Unpacker(), "", root
        query = "SELECT key, content, marks FROM files WHERE state = 'image' ORDER BY key"
        try:
            for key, content, marks in self._connection.execute(query):
                inside, _, name = _place(key).rpartition("/")
                if inside != folder:  # made once for all files of a folder
                    folder, parent = inside, root / inside
                yield unpacker.unpack(content, parent / name), json.loads(marks) if marks else None
        except (ValueError, TypeError) as error:
            raise DamagedIndex("the index of headers is damaged") from error

    def aside(self) -> Iterator[Aside]:
        """Yield what was put aside, in the order of the places."""
        query = (
            "SELECT key, content, also, folder FROM files WHERE state = 'aside' "
            "UNION ALL SELECT key, 'an archive inside an archive, not opened', NULL, 0 FROM files "
            "WHERE state = 'archive' AND archive IS NOT NULL ORDER BY key"
        )
        for key, why, also, folder in self._connection.execute(query):
            place = _place(key)
            yield Aside(place, why, "folder" if folder else "file")
            for name, reason in json.loads(also or "[]"):
                yield Aside((PurePosixPath(place).parent / name).as_posix(), reason)

    def _flush_in_time(self) -> None:
        many = len(self._outcomes) + len(self._marks) >= _TOGETHER
        if many or time.monotonic() - self._written > _PATIENCE:
            self.flush()

    def _chosen(self, condition: str, bases: Mapping[str | None, Path], *values: str) -> Waiting:
        found = self._connection.execute(f"SELECT id FROM files WHERE {condition} ORDER BY key", values)
        return Waiting(self._connection, array("q", (number for (number,) in found)), bases)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with _transaction(self._connection):
            yield self._connection


class Waiting(Sequence[str]):
    """Paths of files of an index, fetched some at a time: the list may be long."""

    def __init__(self, connection: sqlite3.Connection, numbers: array[int], bases: Mapping[str | None, Path]) -> None:
        self.numbers = numbers
        self._connection = connection
        self._bases = {archive: os.path.join(base, "") for archive, base in bases.items()}
        self._block, self._paths = -1, [""]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, place: int) -> str:  # type: ignore[override]  # one at a time
        block, inside = divmod(place, _FETCHED)
        if block != self._block:
            self._block, self._paths = block, self._fetch(self.numbers[block * _FETCHED : (block + 1) * _FETCHED])
        return self._paths[inside]

    def _fetch(self, numbers: array[int]) -> list[str]:
        query = f"SELECT id, key, archive FROM files WHERE id IN ({','.join('?' * len(numbers))})"
        found = {number: self._path(key, archive) for number, key, archive in self._connection.execute(query, numbers)}
        return [found[number] for number in numbers]

    def _path(self, key: bytes, archive: str | None) -> str:
        place = _place(key)
        return self._bases[archive] + (place if archive is None else place[len(archive) + 1 :])


def _key(place: str) -> bytes:
    return place.encode().replace(b"/", b"\0")


def _place(key: bytes) -> str:
    return key.replace(b"\0", b"/").decode()


def _connect(path: Path | None) -> sqlite3.Connection:
    if path is None:
        return sqlite3.connect("", isolation_level=None)
    make_private(path)  # before SQLite opens it, which gives the files beside it the same rights
    connection = sqlite3.connect(path, timeout=1, isolation_level=None)
    try:
        # Held until the connection is closed, or its process is dead: a second scan must not write between.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("BEGIN EXCLUSIVE").execute("COMMIT")
        if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise DamagedIndex("the index of headers is damaged")
    except BaseException:
        connection.close()
        raise
    return connection


def _about(connection: sqlite3.Connection) -> dict[str, object]:
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
        return {}
    return dict(connection.execute("SELECT name, value FROM about"))


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _plain_errors(path: Path | None) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = error.sqlite_errorcode & 0xFF if hasattr(error, "sqlite_errorcode") else sqlite3.SQLITE_CORRUPT
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise UsageError(
                "another scan is writing to this run folder", where=path, fix="Wait for its end, or use another --out."
            ) from error
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
            raise OutputError(
                "the index cannot be written", where=path, fix="Choose a writable place with room."
            ) from error
        raise DamagedIndex("the index of headers is damaged", where=path, fix="Delete it.") from error


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
