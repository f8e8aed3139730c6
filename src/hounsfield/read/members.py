"""The members of a zip or a tar, one after the other: what each is in plain words, and its bytes in pieces.

`tarfile` is made for tars that mean well. It ends in silence where a header is damaged, reads a long name of any size
into memory, and follows sizes backwards; `_Forward`, the stream it is given here, refuses all three.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

BLOCK = tarfile.BLOCKSIZE
PIECE = 2**20
# What the libraries throw at damaged input: bz2 says "Invalid data stream" as an OSError, tarfile recurses without end.
_DAMAGE = (
    OSError, EOFError, ValueError, LookupError, ArithmeticError, RuntimeError, struct.error, zlib.error,
    lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError,
)  # fmt: skip
_ENCRYPTED = 0x1 | 0x40  # APPNOTE 4.4.4: bit 0 encrypted, bit 6 strongly so
_UTF8 = 0x800
_SYMBOLIC = "a symbolic link; only plain files are unpacked"
_SPECIAL = "a device, pipe or other special file; only plain files are unpacked"


class Damaged(Exception):
    """Bytes that cannot be had, with the reason in plain words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Member:
    """One entry of an archive.

    Attributes
    ----------
    name:
        As in the archive; nothing about it was checked.
    pieces:
        Gives the bytes, at most PIECE at a time; raises Damaged.
    is_folder:
        Whether it is a folder.
    packed:
        Bytes that it takes in the archive, where the format packs each member by itself.
    alone:
        Whether damage of this member leaves the others whole.
    link:
        What a hard link names.
    reason:
        Why it cannot be unpacked, where that is known before its bytes are read.
    """

    name: str
    pieces: Callable[[], Iterator[bytes]]
    is_folder: bool = False
    packed: int | None = None
    alone: bool = False
    link: str | None = None
    reason: str | None = None


def zip_members(path: Path, passed: Callable[[int], None]) -> Iterator[Member]:
    """Yield the members of a zip in the order of its directory, which is read whole first.

    `passed` is told before the first what all of them claim to hold, so that what is honestly too large is refused
    before it fills the disk; what they do hold is for the caller to count.

    Raises
    ------
    Damaged
        If the directory cannot be read; it stands at the end, so a zip cut short has none.
    """
    try:
        archive = zipfile.ZipFile(path)
    except _DAMAGE as error:
        raise Damaged("the zip archive is damaged, cut short, or one part of several") from error
    with archive:
        passed(sum(info.file_size for info in archive.infolist()))
        for info in archive.infolist():
            name = _zip_name(info)
            yield Member(
                name=name,
                pieces=_zip_pieces(archive, info),
                is_folder=name.endswith("/"),
                packed=info.compress_size,
                alone=True,
                reason=_zip_reason(info),
            )


def tar_members(path: Path, passed: Callable[[int], None]) -> Iterator[Member]:
    """Yield the members of a tar; `passed` is told how many bytes have come out of its packing, and may raise.

    Raises
    ------
    Damaged
        Where the archive is damaged or ends early: what would have followed is not known, so it cannot be listed.
    """
    with path.open("rb") as file:
        opener = _opener(file.read(BLOCK))
    with opener(path) as raw:
        stream = _Forward(raw, passed)
        count = 0
        try:
            tar = tarfile.TarFile(fileobj=cast(IO[bytes], stream), encoding="utf-8", errors="surrogateescape")
        except _DAMAGE as error:
            raise _cut_after(0) from error
        while (info := _next(tar, count)) is not None:
            count += 1
            yield Member(
                name=_tar_name(info.name),
                pieces=_tar_pieces(tar, info, count),
                is_folder=info.isdir(),
                link=_tar_name(info.linkname) if info.islnk() else None,
                reason=_tar_reason(info),
            )
        if len(stream.last) not in (0, BLOCK) or any(stream.last):  # a header that is none: tarfile just stops there
            raise _cut_after(count)
        if not stream.last:
            reason = "the archive has no end mark: it may have been cut short behind its last member"
            yield Member(path.name, _nothing, reason=reason)
        stream.finish(count)


def starts_tar(path: Path) -> bool:
    """Say whether a file begins with the header of a tar, plain or packed; its check sum makes chance hits unlikely."""
    with path.open("rb") as file:
        head = file.read(BLOCK)
    opener = _opener(head)
    if opener is not open:
        try:
            with opener(path) as file:
                head = file.read(BLOCK)
        except _DAMAGE:
            return False
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except _DAMAGE:
        return False
    return True


class _Forward:
    """A stream that goes forwards only, in pieces: all that `tarfile` needs for an honest archive read in order.

    A step back means a header with a negative size, which would be read again for ever. A read of more than a piece
    means a name or an extended header that long, which would be held in memory whole.
    """

    def __init__(self, raw: IO[bytes], passed: Callable[[int], None]) -> None:
        self._raw, self._passed = raw, passed
        self._position = 0
        self.last = b""

    def tell(self) -> int:
        return self._position

    def read(self, size: int) -> bytes:
        if not 0 <= size <= PIECE:
            raise Damaged("the tar archive holds a header of an impossible size")
        self.last = self._raw.read(size)
        self._position += len(self.last)
        self._passed(self._position)
        return self.last

    def seek(self, place: int) -> None:
        if place < self._position:
            raise Damaged("the tar archive holds a header of an impossible size")
        while self._position < place and self.read(min(PIECE, place - self._position)):
            pass

    def finish(self, count: int) -> None:
        """Read to the end, where the packing has its check sum; only zeros may follow the end mark."""
        try:
            while self.read(PIECE):
                if any(self.last):
                    raise Damaged(f"the tar archive ends after {count} members, but more follows: two joined into one?")
        except _DAMAGE as error:
            raise _cut_after(count) from error


def _opener(head: bytes) -> Callable[[Path], Any]:
    if head.startswith(b"\x1f\x8b"):
        return gzip.open
    if head.startswith(b"BZh"):
        return bz2.open
    if head.startswith(b"\xfd7zXZ\x00"):
        return lzma.open
    return lambda path: path.open("rb")


def _next(tar: tarfile.TarFile, count: int) -> tarfile.TarInfo | None:
    try:
        info = tar.next()
    except _DAMAGE as error:
        raise _cut_after(count) from error
    cast(Any, tar).members.clear()  # it keeps them all otherwise, a kilobyte each
    return info


def _cut_after(count: int) -> Damaged:
    return Damaged(f"the tar archive is damaged or cut short after {count} members, and what followed is lost")


def _tar_pieces(tar: tarfile.TarFile, info: tarfile.TarInfo, count: int) -> Callable[[], Iterator[bytes]]:
    def pieces() -> Iterator[bytes]:
        try:
            with cast(IO[bytes], tar.extractfile(info)) as file:
                while piece := file.read(PIECE):
                    yield piece
        except _DAMAGE as error:
            raise _cut_after(count - 1) from error

    return pieces


def _tar_name(name: str) -> str:
    """Return a name; bytes that are no UTF-8 are taken for Latin-1, as old tars have it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogateescape").decode("latin-1")
    return name


def _tar_reason(info: tarfile.TarInfo) -> str | None:
    if info.issym():
        return _SYMBOLIC
    return None if info.isreg() or info.isdir() or info.islnk() else _SPECIAL


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Return a name; macOS writes UTF-8 without saying so, and zipfile then takes it for code page 437."""
    if info.flag_bits & _UTF8:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _zip_reason(info: zipfile.ZipInfo) -> str | None:
    if info.flag_bits & _ENCRYPTED:
        return "the member is encrypted: unpack the archive with its password, and give the folder"
    kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the archive was not made on Unix
    if kind == stat.S_IFLNK:
        return _SYMBOLIC
    return None if kind in (0, stat.S_IFREG, stat.S_IFDIR) else _SPECIAL


def _zip_pieces(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], Iterator[bytes]]:
    def pieces() -> Iterator[bytes]:
        try:
            with archive.open(info) as file:
                while piece := file.read(PIECE):
                    yield piece
        except NotImplementedError as error:
            raise Damaged(
                "packed by a method that is not known here: unpack the archive, and give the folder"
            ) from error
        except _DAMAGE as error:
            raise Damaged("the member is damaged: copy or download the archive again") from error

    return pieces


def _nothing() -> Iterator[bytes]:
    return iter(())
