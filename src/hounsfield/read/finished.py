"""A folder that is either complete or not there, with a note beside it of what was left out.

Order makes it safe against a crash at any point: the files are written in a hidden folder; an old folder goes; the note
is written while no folder is there; and last the hidden folder is renamed.
"""

from __future__ import annotations

import glob
import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from hounsfield.errors import OutputError

_MADE_BY = "hounsfield.read.unpack"
_FIX = "Choose a writable place with room."
Aside = list[tuple[str, str]]


@contextmanager
def beside(folder: Path) -> Iterator[Path]:
    """Give a new hidden folder beside `folder`, for its owner only. Afterwards it is gone, and so are those of processes
    of this machine that died.
    """
    start = f".{folder.name}.{platform.node()}."
    for old in folder.parent.glob(f"{glob.escape(start)}*.part"):
        owner = old.name.removeprefix(start).removesuffix(".part")
        if owner.isdecimal() and (int(owner) == os.getpid() or not psutil.pid_exists(int(owner))):
            shutil.rmtree(old, ignore_errors=True)
    part = folder.with_name(f"{start}{os.getpid()}.part")
    try:
        try:
            part.mkdir(mode=0o700)
        except OSError as error:
            raise OutputError(f"cannot unpack: {error.strerror}", where=folder.parent, fix=_FIX) from error
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def earlier(archive: Path, folder: Path) -> Aside | None:
    """Return what was left out when `folder` was made; None where it is not there or not made of `archive` as it is now.

    Raises
    ------
    OutputError
        If the folder, or the file in the place of its note, is someone else's: neither must be replaced.
    """
    note = _read(_note(folder))
    for place in (folder, _note(folder)):
        if note is None and place.exists():
            raise OutputError(
                "it exists already, and was not made by unpacking",
                where=place,
                fix="Remove it, or choose another place.",
            )
    if note is None or not folder.exists():
        return None
    if note["archive"] != _state(archive) or note["files"] != len(files_in(folder)):
        return None
    return [(name, reason) for name, reason in note["aside"]]


def finish(archive: Path, part: Path, folder: Path, aside: Aside) -> Aside:
    """Put the finished `part` in the place of `folder`; return what was left out."""
    done = earlier(archive, folder)
    if done is not None:  # another process was faster
        return done
    note = {"made_by": _MADE_BY, "archive": _state(archive), "files": len(files_in(part)), "aside": aside}
    try:
        if folder.exists():
            shutil.rmtree(folder)
        # For the owner only: names of members may be names of patients.
        with open(_note(folder), "w", encoding="utf-8", opener=_private) as file:
            json.dump(note, file, indent=1)  # as ASCII, so that any name can be written
        part.rename(folder)
    except OSError as error:
        raise OutputError(f"cannot unpack: {error.strerror}", where=folder, fix=_FIX) from error
    return aside


def files_in(folder: Path) -> list[Path]:
    """Return every file below a folder, sorted."""
    return sorted(Path(root) / name for root, _, names in os.walk(folder) for name in names)


def _note(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _state(archive: Path) -> dict[str, int]:
    found = archive.stat()
    return {"size": found.st_size, "changed": found.st_mtime_ns}


def _read(place: Path) -> dict[str, Any] | None:
    try:
        note = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) and note.get("made_by") == _MADE_BY else None
