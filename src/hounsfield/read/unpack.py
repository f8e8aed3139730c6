"""Archives of images (zip; tar, plain or packed by gzip, bzip2 or xz), unpacked so that nothing leaves the folder.

An archive is foreign input. No name in it is trusted: each is taken apart, and what is not a plain relative path is not
unpacked. Only plain files are written, each new, by this module and not by `extract` of the libraries. No size in it
is trusted: bytes are counted as they come out. What is not unpacked is listed with its reason.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hounsfield.core.files import make_folder
from hounsfield.errors import OutputError, ReadError
from hounsfield.read.finished import beside, earlier, files_in, finish
from hounsfield.read.kind import holds_arrays, zip_names
from hounsfield.read.members import BLOCK, Damaged, Member, starts_tar, tar_members, zip_members
from hounsfield.read.source import Source
from hounsfield.read.trouble import plain_errors

_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")  # a member; no members; one part of several
_DOCUMENTS = frozenset(("[Content_Types].xml", "mimetype", "META-INF/MANIFEST.MF"))  # Office, OpenDocument, Java
_MOST_ROOM = 2**40
_SHARE_OF_DISK = 0.9
_RATIO_FROM = 100 * 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an archive may hold before it is taken for a bomb.

    Attributes
    ----------
    members:
        How many, of every sort.
    total:
        Bytes unpacked; None for 90% of the free room on the disk, and never more than 1 TiB.
    one:
        Bytes of one member.
    ratio:
        Bytes unpacked for each packed one, of the whole archive and of each member of a zip, from 100 MiB on. Images
        with noise become 2 to 4 times smaller, screen shots 20 times, label maps 100 times, and blank images 1000
        times (the most that deflate can do): so small files are left alone, however blank, and only what is large and
        empty almost everywhere passes 200.
    """

    members: int = 2_000_000
    total: int | None = None
    one: int = 16 * 2**30
    ratio: float = 200.0


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What came out: files inside the folder, sorted; and (name in the archive, reason) of what did not."""

    files: list[Path]
    aside: list[tuple[str, str]]


def archive_kind(path: Path) -> Literal["zip", "tar"] | None:
    """Return which kind of archive of files this is, told by content; None where it is none.

    An .npz is an image file (`kind_of`) and not such an archive; nor is a gzipped NIfTI, or a document that is a zip
    inside (Office, OpenDocument, Java). A zip without a directory still is a zip, a damaged one.

    Raises
    ------
    OSError
        If the file cannot be opened.
    """
    path = Path(path)
    with path.open("rb") as file:
        head = file.read(BLOCK)
    if head[128:132] == b"DICM":
        return None
    if head.startswith(_ZIP):
        names = zip_names(path)
        return None if holds_arrays(names) or not _DOCUMENTS.isdisjoint(names) else "zip"
    return "tar" if starts_tar(path) else None


def unpack(path: Path, folder: Path, limits: Limits | None = None) -> Unpacked:
    """Unpack an archive of images into `folder`, which afterwards is complete, or is not there.

    The folder and everything in it is for its owner only (0700, 0600). Until all is written it stands hidden beside its
    place. What was set aside is kept in `<folder>.json` beside it, where a scan of `folder` does not see it. While the
    archive has the size and time of that note and the files are there, they are listed and not unpacked again; else
    they are unpacked anew.

    Not unpacked, each with its reason in `aside`: names that are absolute, lead out (".."), or hold backslashes or
    control characters; symbolic links, devices, pipes; hard links, but to a file that was unpacked before; a second
    member of the same path; encrypted or damaged members of a zip; archives inside the archive; what macOS leaves
    (__MACOSX, .DS_Store). Folders come with their files, so an empty one is not made. An empty file is unpacked, and
    refused where it is read.

    Parameters
    ----------
    path:
        The archive.
    folder:
        Where to; it need not exist, nor its parents. One folder for one archive.
    limits:
        `Limits()` where None.

    Raises
    ------
    ReadError
        If it is no archive; is damaged so that what it held cannot be listed (a zip without its directory, a tar cut
        short); or passes a limit. Nothing stays behind.
    OutputError
        If the folder cannot be written, or is there and was not made here.
    """
    path, folder = Path(path), Path(folder)
    with plain_errors(path):
        kind = archive_kind(path)
        if kind is None:
            raise ReadError("not an archive of files: neither zip nor tar", fix="Give it as an image or a folder.")
        aside = earlier(path, folder)
        if aside is None:
            make_folder(folder.parent)
            with beside(folder) as part:
                unpacking = _Unpacking(path, part, limits or Limits())
                unpacking.run(kind)
                aside = finish(path, part, folder, unpacking.aside)
        return Unpacked(files_in(folder), aside)


@dataclass
class _Unpacking:
    """One archive on its way into one folder, and what has been counted so far."""

    archive: Path
    folder: Path
    limits: Limits
    aside: list[tuple[str, str]] = field(default_factory=list)
    standing: set[str] = field(default_factory=set)  # paths below the folder of the files unpacked
    written: int = 0

    def __post_init__(self) -> None:
        free = int(shutil.disk_usage(self.folder).free * _SHARE_OF_DISK)
        self.room = min(_MOST_ROOM, free) if self.limits.total is None else self.limits.total
        self.size = self.archive.stat().st_size

    def run(self, kind: Literal["zip", "tar"]) -> None:
        members = (zip_members if kind == "zip" else tar_members)(self.archive, self.check_total)
        try:
            for number, member in enumerate(members):
                if number == self.limits.members:
                    raise self._bomb(f"more than {self.limits.members:,} members")
                reason = None if member.is_folder else self._take(member)
                if reason is not None:
                    self.aside.append((member.name, reason))
        except Damaged as error:
            raise ReadError(error.reason, fix="Copy or download it again.") from error

    def check_total(self, total: int) -> None:
        """Refuse where so many bytes have come out, written or not, that the archive is a bomb or fills the disk."""
        if total > self.room:
            raise ReadError(
                f"the archive needs more than {_bytes(self.room)}, which is all that it may take",
                where=self.archive, fix="Make room on the disk, or unpack it elsewhere and give the folder.",
            )  # fmt: skip
        if total > max(_RATIO_FROM, self.limits.ratio * self.size):
            raise self._bomb(f"more than {self.limits.ratio:g} times its own size")

    def _take(self, member: Member) -> str | None:
        """Unpack one member; return why not."""
        parts = path_parts(member.name)
        if isinstance(parts, str):
            return parts
        if "__MACOSX" in parts or parts[-1] == ".DS_Store":
            return "a leftover of macOS, not an image"
        if member.reason is not None:
            return member.reason
        name = "/".join(parts)
        if name in self.standing:
            return "a second member of the same path; the first is kept"
        place = self.folder.joinpath(*parts)
        try:
            for above in reversed(place.relative_to(self.folder).parents):
                (self.folder / above).mkdir(mode=0o700, exist_ok=True)
            reason = self._write(member, place) if member.link is None else self._link(member.link, place)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            return "its place is taken by another member"
        except OSError as error:
            if error.errno in (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL):
                return "its name is too long, or not allowed, on this disk"
            raise OutputError(
                f"cannot unpack: {error.strerror}", where=self.folder.parent, fix="Choose a writable place with room."
            ) from error
        if reason is None:
            self.standing.add(name)
        return reason

    def _write(self, member: Member, place: Path) -> str | None:
        reason = None
        with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            try:
                for piece in self._counted(member):
                    file.write(piece)
            except Damaged as error:
                if not member.alone:
                    raise
                reason = error.reason
        if reason is None and archive_kind(place) is not None:
            reason = "an archive inside the archive, not opened: unpack it yourself, and give the folder"
        if reason is not None:
            place.unlink()
        return reason

    def _counted(self, member: Member) -> Iterator[bytes]:
        so_far = 0
        for piece in member.pieces():
            so_far += len(piece)
            self.written += len(piece)
            self.check_total(self.written)
            if so_far > self.limits.one:
                raise self._bomb(f"a member of more than {_bytes(self.limits.one)}", member)
            if member.packed is not None and so_far > max(_RATIO_FROM, self.limits.ratio * member.packed):
                raise self._bomb(f"a member of more than {self.limits.ratio:g} times its packed size", member)
            yield piece

    def _link(self, target: str, place: Path) -> str | None:
        """Make a hard link to a file that was unpacked before; nothing else can be reached by one."""
        parts = path_parts(target)
        if isinstance(parts, str) or "/".join(parts) not in self.standing:
            return "a hard link to what is not a file unpacked before it"
        os.link(self.folder.joinpath(*parts), place)
        return None

    def _bomb(self, what: str, member: Member | None = None) -> ReadError:
        where = self.archive if member is None else Source(self.archive, member.name)
        fix = "If it is to be trusted, unpack it yourself and give the folder."
        return ReadError(f"the archive holds {what}: it looks like a bomb", where=where, fix=fix)


def path_parts(name: str) -> list[str] | str:
    """Return the parts of a member's path, or the reason why it is not a plain path below the folder."""
    if "\\" in name:
        return "its name holds a backslash: pack it again with forward slashes"
    if name.startswith("/") or re.match("[A-Za-z]:", name):
        return "its name is an absolute path"
    # Control characters play tricks on terminals; halves of surrogates cannot be written as UTF-8.
    if any(ord(letter) < 32 or 127 <= ord(letter) < 160 or 0xD800 <= ord(letter) < 0xE000 for letter in name):
        return "its name holds a control character"
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        return 'its name leads out of the folder ("..")'
    return parts or "it has no name"


def _bytes(count: int) -> str:
    return f"{count / 2**30:.3g} GiB" if count >= 2**30 else f"{count / 2**20:.3g} MiB"
