"""Single items of the arrays in an .npz, without loading the array where it is large.

An array that is stored uncompressed is read by position. A compressed one can only be unpacked from its beginning: a
small one is kept whole, a large one is streamed, and the place in the stream is kept, so that items asked for in
order, as a scan does, cost one pass and the memory of one item.
"""

from __future__ import annotations

import math
import struct
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from hounsfield.errors import ReadError

_KEPT_WHOLE = 64 * 2**20
_PIECE = 2**20
_LOCAL_HEADER = 30  # bytes before the name in the header that zip puts in front of each member


class ArrayFile:
    """One array of an .npz, item by item along its first axis. Not for several threads at once."""

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        self._stream: IO[bytes] | None = None
        self._next = 0
        self._whole: np.ndarray | None = None
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
            self._info = archive.getinfo(f"{name}.npy")
            self.shape, self._fortran, self.dtype = _array_header(file)
            self._offset = file.tell()
        if not self.shape:
            raise ReadError(f"{name} is one number, not an array")

    def __len__(self) -> int:
        return self.shape[0]

    def item(self, index: int) -> np.ndarray:
        """Return item `index` as an array of its own."""
        if self._whole is None and self._fits():
            self._whole = load_array(self._path, self._name)
        if self._whole is not None:
            return np.array(self._whole[index])
        raw = self._seek(index) if self._info.compress_type == zipfile.ZIP_STORED else self._unpack(index)
        if len(raw) != self._item_bytes:
            raise EOFError
        return np.frombuffer(raw, self.dtype).reshape(self.shape[1:]).copy()

    @property
    def _item_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def _fits(self) -> bool:
        # In Fortran order the values of one item lie all over the array.
        return self._fortran or len(self) * self._item_bytes <= _KEPT_WHOLE

    def _seek(self, index: int) -> bytes:
        with self._path.open("rb") as file:
            file.seek(self._info.header_offset)
            name, extra = struct.unpack("<26x2H", file.read(_LOCAL_HEADER))
            file.seek(self._info.header_offset + _LOCAL_HEADER + name + extra + self._offset + index * self._item_bytes)
            return file.read(self._item_bytes)

    def _unpack(self, index: int) -> bytes:
        if self._stream is None or index < self._next:
            self.close()
            with zipfile.ZipFile(self._path) as archive:  # the open member keeps the file after the archive is closed
                self._stream = archive.open(self._info)
            self._next = 0
            self._stream.read(self._offset)
        ahead = (index - self._next) * self._item_bytes
        while ahead > 0:
            piece = len(self._stream.read(min(ahead, _PIECE)))
            if piece == 0:
                raise EOFError
            ahead -= piece
        self._next = index + 1
        return self._stream.read(self._item_bytes)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def array_file(path: Path, name: str) -> ArrayFile:
    """Return an array of an .npz; the last two are kept open per process, until the file changes."""
    state = path.stat()
    return _cached(path, name, state.st_mtime_ns, state.st_size)


def array_names(path: Path) -> list[str]:
    """Return the names of the arrays in an .npz, in its order."""
    state = path.stat()
    return list(_cached_names(path, state.st_mtime_ns, state.st_size))


def load_array(path: Path, name: str) -> np.ndarray:
    """Return a whole array.

    Raises
    ------
    ReadError
        If it holds Python objects: they would have to be unpickled, which can run anything.
    """
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
        _array_header(file)
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
        return npy.read_array(file, allow_pickle=False)


@lru_cache(maxsize=2)
def _cached(path: Path, name: str, changed: int, size: int) -> ArrayFile:
    return ArrayFile(path, name)


@lru_cache(maxsize=2)
def _cached_names(path: Path, changed: int, size: int) -> tuple[str, ...]:
    with zipfile.ZipFile(path) as archive:
        return tuple(name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy"))


def _array_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = npy.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, fortran, dtype = npy.read_array_header_2_0(file)
    else:
        raise ReadError("an array in a version of the .npy format that is not known")
    if dtype.hasobject:
        raise ReadError("an array of Python objects, which is never opened", fix="Save plain numbers or text.")
    return shape, fortran, dtype
