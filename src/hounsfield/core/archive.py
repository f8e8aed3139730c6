"""A bundle as one file: a zip that is always the same for the same bundle, and that is unpacked without trusting it.

Members are stored, not deflated: versions of zlib give different bytes, weights hardly shrink, and nothing can grow when it is
unpacked. What packing would not have written the same is refused, so that a change of any byte is found.
"""

from __future__ import annotations

import atexit
import io
import re
import shutil
import stat
import struct
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from hounsfield.core import files
from hounsfield.core.manifest import AGAIN, MANIFEST, MOST_MEMBERS, NAME, Manifest
from hounsfield.errors import BundleError, HounsfieldError, UsageError

ENDING = ".hounsfield"
UNZIP = "Take the bundle again from where it was made; or unzip it and load the folder, which is verified too."
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold
_UNIX = 3
_PIECE = 2**20
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # plainly, strongly, and with the names hidden (APPNOTE 4.4.4)
_DOS_FOLDER = 0x10
# What a damaged zip makes `zipfile` raise.
_DAMAGED = (
    zipfile.BadZipFile, EOFError, struct.error, NotImplementedError, RuntimeError, ValueError, OverflowError, MemoryError, IndexError,
)  # fmt: skip


def pack(folder: Path, manifest: Manifest, path: Path) -> Path:
    """Write the members that the manifest names, and it, as one file; the same bytes for the same members.

    Raises
    ------
    UsageError
        If the name does not end in .hounsfield.
    OutputError
        If it cannot be written.
    """
    if path.suffix != ENDING:
        raise UsageError(f"a packed bundle is a file that ends in {ENDING}", where=path)
    with files.replacing(path) as partial, partial.open("wb") as target:
        _write(target, folder, manifest.text.encode(), manifest.members)
    return path


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Give a temporary folder with the members of a packed bundle, removed when the process ends, or at once after an error.

    Nothing is written before names and sizes were found harmless. Digests are for the caller to verify within the block, after which
    the file is compared with what packing would write. Errors that name a file of the folder are raised again, naming the member of
    `path`.

    Raises
    ------
    BundleError
        If it is no zip or a damaged one; a member's name is more than a plain one, comes twice or is not in the manifest; a
        member is missing, a link, encrypted, compressed, or larger than it can be; or there is anything beside the members.
    """
    folder = Path(tempfile.mkdtemp(prefix="hounsfield-bundle-"))
    try:
        try:
            with zipfile.ZipFile(path) as archive:
                _unpack(archive, path, folder)
        except _DAMAGED as error:
            raise BundleError("this file is damaged, or no packed bundle at all", where=path, fix=AGAIN) from error
        except OSError as error:
            raise BundleError(
                f"cannot be unpacked: {error.strerror or error}", where=path,
                fix="It is unpacked where temporary files go: give that place room, or name another one in TMPDIR.",
            ) from error  # fmt: skip
        yield folder
        if not _is_as_packed(path, folder):
            raise BundleError(
                "this file was changed after it was packed, or another tool packed it", where=path, fix=UNZIP
            )
    except HounsfieldError as error:
        shutil.rmtree(folder, ignore_errors=True)
        where = path if error.where is None else error.where.replace(str(folder), str(path))
        raise type(error)(error.what, where=where, fix=error.fix) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


class _Comparing(io.RawIOBase):
    """Takes what would be written to a file, and compares it with what the file holds."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._size = path.stat().st_size
        self._differ: set[int] = set()
        self._end = 0

    @property
    def same(self) -> bool:
        return not self._differ and self._end == self._size

    def write(self, content: Any) -> int:
        place = self._file.tell()
        # zipfile writes the head of a member once more when it knows the checksum: the last time counts.
        (self._differ.discard if self._file.read(len(content)) == content else self._differ.add)(place)
        self._end = max(self._end, self._file.seek(place + len(content)))
        return len(content)

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(place, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()


def _write(target: IO[bytes] | _Comparing, folder: Path, manifest: bytes, names: Iterable[str]) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_entry(MANIFEST), manifest)
        for name in names:
            entry = _entry(name)
            entry.file_size = (folder / name).stat().st_size  # lets zipfile choose its 64-bit form beforehand
            with (folder / name).open("rb") as source, archive.open(entry, "w") as member:
                shutil.copyfileobj(source, member, _PIECE)


def _is_as_packed(path: Path, folder: Path) -> bool:
    with _Comparing(path) as compared:
        _write(compared, folder, (folder / MANIFEST).read_bytes(), Manifest.load(folder).members)
        return compared.same


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _FIRST_DAY)
    entry.create_system = _UNIX  # on every system
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    return entry


def _unpack(archive: zipfile.ZipFile, path: Path, folder: Path) -> None:
    entries = _harmless(archive.infolist(), path)
    if MANIFEST not in entries:
        raise BundleError(f"there is no {MANIFEST} in it: this is no packed bundle", where=path)
    _fits(entries, path, folder)
    _extract(archive, entries.pop(MANIFEST), folder)
    named = Manifest.load(folder).members
    for name in sorted(set(entries) ^ set(named)):
        what = "is missing" if name in named else "is not in the manifest"
        raise BundleError(f"a member of the bundle {what}", where=folder / name, fix=AGAIN)
    for entry in entries.values():
        _extract(archive, entry, folder)


def _harmless(entries: list[zipfile.ZipInfo], path: Path) -> dict[str, zipfile.ZipInfo]:
    """Return the entries by name; refuse those that are anything but plain files of the top folder, each there once."""
    if len(entries) > MOST_MEMBERS:
        raise BundleError(f"it has {len(entries)} members, and a bundle has at most {MOST_MEMBERS}", where=path)
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        # zipfile cuts names at a zero byte and turns separators; what the archive really says is the original.
        name, kind = entry.orig_filename, stat.S_IFMT(entry.external_attr >> 16)
        why = None
        if not re.fullmatch(NAME, name) or name != entry.filename:
            why = "has a name that may lead out of the bundle"
        elif name.casefold() in (known.casefold() for known in found):
            why = "is there twice"
        elif kind not in (0, stat.S_IFREG) or entry.external_attr & _DOS_FOLDER:
            why = "is a link, a folder or a device, not a file"
        elif entry.flag_bits & _ENCRYPTED:
            why = "is encrypted"
        elif entry.compress_type != zipfile.ZIP_STORED:
            why = "is compressed, which those of a packed bundle never are"
        if why is not None:
            raise BundleError(f"the member {name[:100]!r} {why}", where=path, fix=UNZIP)
        found[name] = entry
    return found


def _fits(entries: dict[str, zipfile.ZipInfo], path: Path, folder: Path) -> None:
    total, packed = sum(entry.file_size for entry in entries.values()), path.stat().st_size
    if total > packed:
        raise BundleError(
            f"its members are said to have {total} bytes, and the file has {packed}", where=path, fix=AGAIN
        )
    if total > shutil.disk_usage(folder).free:
        raise OSError(f"{total} bytes are needed for temporary files")


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    where, left = folder / entry.filename, entry.file_size
    try:
        with archive.open(entry) as source, where.open("xb") as target:
            while piece := source.read(_PIECE):
                left -= len(piece)
                if left < 0:
                    break
                target.write(piece)
    except _DAMAGED as error:
        raise BundleError("a member of the bundle is damaged", where=where, fix=AGAIN) from error
    if left != 0:
        raise BundleError("a member has another size than the archive says", where=where, fix=AGAIN)
