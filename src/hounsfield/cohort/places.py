"""Every file below a folder, in the order of the names; and what cannot be looked at, with the reason."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Place:
    """One thing that lies below a folder.

    Attributes
    ----------
    name:
        The path below the folder, with forward slashes.
    size, changed:
        Bytes, and nanoseconds since 1970 when the content was changed; -1 and 0 where there is a trouble.
    trouble:
        Why it cannot be a file of the cohort, in plain words; None where it can.
    folder:
        Whether it is a folder. Only a folder that is not entered is told.
    """

    name: str
    size: int = -1
    changed: int = 0
    trouble: str | None = None
    folder: bool = False


def places_below(root: Path, leave_out: Iterable[Path] = ()) -> Iterator[Place]:
    """Yield every file below a folder, sorted by the names on its path (by code points, folder by folder).

    A link to a file counts as a file. A link to a folder is entered once, unless the folder lies below `root` anyway or
    `root` lies in it: then it is told, and so is everything else that is no file or cannot be looked at.
    """
    return _Walk(root, leave_out).run()


class _Walk:
    def __init__(self, root: Path, leave_out: Iterable[Path]) -> None:
        self.root = os.path.realpath(root)
        self.skipped = {os.path.realpath(path) for path in leave_out}
        self.skipped_names = {os.path.basename(path) for path in self.skipped}
        self.entered: set[str] = set()  # real paths of the folders that links led to

    def run(self) -> Iterator[Place]:
        ahead = self._inside(self.root, "")
        while ahead:
            found = ahead.pop()
            if isinstance(found, Place):
                yield found
                continue
            name, entry = found
            if self._left_out(entry):
                continue
            place = self._judge(name, entry)
            if place is None:
                ahead += self._inside(entry.path, name)
            else:
                yield place

    def _inside(self, folder: str, name: str) -> list[Place | tuple[str, os.DirEntry[str]]]:
        """Return what lies in a folder, last name first; in place of it the folder where it cannot be listed."""
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: os.fsencode(entry.name), reverse=True)
        except OSError as error:
            return [Place(name or ".", trouble=f"the folder cannot be listed ({error.strerror})", folder=True)]
        return [(f"{name}/{entry.name}" if name else entry.name, entry) for entry in entries]

    def _left_out(self, entry: os.DirEntry[str]) -> bool:
        # Only these can be one of the skipped, and finding the real path of every file would take long.
        if entry.name in self.skipped_names or (self.skipped and entry.is_symlink()):
            return os.path.realpath(entry.path) in self.skipped
        return False

    def _judge(self, name: str, entry: os.DirEntry[str]) -> Place | None:
        """Return the place that an entry is, or None for a folder to be entered."""
        try:
            name.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(name).decode("utf-8", "backslashreplace")
            return Place(shown, trouble="its name is no valid text (UTF-8): rename it", folder=entry.is_dir())
        try:
            if entry.is_dir():
                return self._linked(name, entry) if entry.is_symlink() else None
            state = entry.stat()
        except FileNotFoundError:
            return Place(name, trouble="a link to nothing" if entry.is_symlink() else "it vanished during the scan")
        except OSError as error:  # a link that leads to itself, for one
            return Place(name, trouble=f"it cannot be looked at ({error.strerror})")
        if not stat.S_ISREG(state.st_mode):
            return Place(name, trouble="neither a file nor a folder, but a pipe, a socket or a device")
        return Place(name, state.st_size, state.st_mtime_ns)

    def _linked(self, name: str, entry: os.DirEntry[str]) -> Place | None:
        goal = os.path.realpath(entry.path)
        if _below(goal, self.root) or _below(self.root, goal) or any(_below(goal, known) for known in self.entered):
            return Place(name, trouble="a link to a folder that is scanned under another name", folder=True)
        self.entered.add(goal)
        return None


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))
