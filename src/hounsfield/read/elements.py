"""A quick walk over the elements of a DICOM file, which parses none but those that are asked for.

pydicom looks at every element of a header in turn; a third of the time that an uncompressed slice takes goes there. A
well-formed file needs only each element's tag and length to get to the next one (PS3.5 7.1). Whatever is not plainly
well formed is left to pydicom, which knows the odd ways of old files: `walk` then returns None.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset
    from pydicom.tag import BaseTag

UNDEFINED = 0xFFFFFFFF
_FIRST_PIXELS = 0x7FE00008
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_CHUNK = 1 << 14
_DEPTH = 32  # sequences inside sequences; a deeper nest is no honest file
_META_LENGTH = struct.Struct("<HH2sHI")
_EXPLICIT = struct.Struct("<HH2sH")
_IMPLICIT = struct.Struct("<HHI")
_LENGTH = struct.Struct("<I")
# PS3.5 table 7.1-1 and 7.1-2: value representations with 32 bits of length, and with 16.
_LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_SHORT = frozenset(
    (
        b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS", b"ST",
        b"TM", b"UI", b"UL", b"US",
    )
)  # fmt: skip
_IMPLICIT_SYNTAX = "1.2.840.10008.1.2"
_DEFLATED, _BIG = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"


@dataclass(frozen=True, slots=True)
class Found:
    """What a walk found: a data set of the wanted elements, and where the pixels lie (their tag is None without any)."""

    dataset: FileDataset
    pixels: int | None
    start: int
    length: int


class _NotPlain(Exception):
    """The file is not plainly well formed."""


# Tag, VR (None where it is implicit), start and length of the element at a position.
_Head = tuple[int, bytes | None, int, int]


def _explicit_head(data: bytes, position: int) -> _Head:
    group, element, vr, length = _EXPLICIT.unpack_from(data, position)
    if vr in _SHORT:
        return group << 16 | element, vr, position + 8, length
    if vr not in _LONG:
        raise _NotPlain
    return group << 16 | element, vr, position + 12, _LENGTH.unpack_from(data, position + 8)[0]


def _implicit_head(data: bytes, position: int) -> _Head:
    group, element, length = _IMPLICIT.unpack_from(data, position)
    return group << 16 | element, None, position + 8, length


def walk(file: BinaryIO, wanted: Mapping[int, BaseTag]) -> Found | None:
    """Return the wanted elements of a DICOM file up to its pixels, or None where pydicom should look instead.

    Parameters
    ----------
    file:
        Open at its start; read no further than the start of the pixels (and a little).
    wanted:
        Tags of the top level, as numbers and as pydicom has them; sequences among them come whole.
    """
    try:
        return _Walk(file).run(wanted)
    except (_NotPlain, struct.error, UnicodeDecodeError, ValueError):
        return None


class _Walk:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._data = file.read(_CHUNK)
        self._ended = len(self._data) < _CHUNK
        self._head: Callable[[bytes, int], _Head] = _explicit_head  # of the file meta information (PS3.10 7.1)

    def run(self, wanted: Mapping[int, BaseTag]) -> Found:
        from pydicom.dataset import FileMetaDataset

        if self._data[128:132] != b"DICM":
            raise _NotPlain
        tag_group, tag_element, vr, size, length = _META_LENGTH.unpack_from(self._data, 132)
        if (tag_group, tag_element, vr, size) != (2, 0, b"UL", 4):
            raise _NotPlain
        position = 132 + _META_LENGTH.size
        self._need(position + length)
        # Also the element after the group must not be one of it: then the length is wrong, as in some old files.
        meta, position = self._elements(position, position + length, None)
        syntax = bytes(meta[0x00020010].value or b"").decode("ascii").strip("\0 ") if 0x00020010 in meta else ""
        if not syntax or syntax in (_DEFLATED, _BIG):
            raise _NotPlain
        implicit = syntax == _IMPLICIT_SYNTAX
        self._head = _implicit_head if implicit else _explicit_head
        found, position = self._elements(position, None, wanted)
        dataset = _data_set(found, implicit)
        dataset.file_meta = FileMetaDataset(meta)
        tag, start, size = self._pixels(position)
        return Found(dataset, tag, start, size)

    def _elements(self, position: int, end: int | None, wanted: Mapping[int, BaseTag] | None) -> tuple[dict, int]:
        """Walk to `end`, or to the pixels or the end of the file; keep the wanted elements (None: all)."""
        from pydicom.dataelem import RawDataElement
        from pydicom.tag import BaseTag

        found: dict = {}
        last = -1
        in_meta = end is not None
        head, data = self._head, self._data
        while end is None or position < end:
            if position + 12 > len(data):
                if not self._more(position + 12) and position + 8 > len(self._data):
                    if position == len(self._data) and not in_meta:
                        break
                    raise _NotPlain
                data = self._data
            tag, vr, start, length = head(data, position)
            if tag <= last or (tag >> 16 == 2) != in_meta:
                raise _NotPlain  # elements stand in rising order (PS3.5 7.1); a file that breaks it may break more
            if tag >= _FIRST_PIXELS and not in_meta:
                break
            last = tag
            if length != UNDEFINED:
                stop = start + length
            elif vr in (b"SQ", None):
                stop = self._sequence_end(start, 0, 0)
            else:
                raise _NotPlain
            if wanted is None or tag in wanted:
                self._need(stop)
                data = self._data
                # A sequence of undefined length is handed on without the delimiter that closes it.
                value = data[start : stop - 8 if length == UNDEFINED else stop]
                known = BaseTag(tag) if wanted is None else wanted[tag]
                found[known] = RawDataElement(
                    known, None if vr is None else vr.decode(), len(value), value, start, vr is None, True, True
                )
            position = stop
        return found, position

    def _sequence_end(self, position: int, depth: int, inside: int) -> int:
        """Return where a sequence (or, for inside=1, an item) of undefined length ends, its delimiter included."""
        if depth > _DEPTH:
            raise _NotPlain
        while True:
            self._need(position + 8)
            group, element, length = _IMPLICIT.unpack_from(self._data, position)
            tag = group << 16 | element
            if tag == (_ITEM_END if inside else _SEQUENCE_END):
                return position + 8
            if inside:
                self._more(position + 12)
                tag, vr, start, length = self._head(self._data, position)
                if length != UNDEFINED:
                    position = start + length
                    continue
                if vr not in (b"SQ", None):
                    raise _NotPlain
                position = self._sequence_end(start, depth + 1, 0)
            elif tag != _ITEM:
                raise _NotPlain
            elif length == UNDEFINED:
                position = self._sequence_end(position + 8, depth + 1, 1)
            else:
                position += 8 + length

    def _pixels(self, position: int) -> tuple[int | None, int, int]:
        if position >= len(self._data):
            return None, position, 0
        tag, _, start, length = self._head(self._data, position)
        return tag, start, length

    def _need(self, size: int) -> None:
        if size > len(self._data) and not self._more(size):
            raise _NotPlain

    def _more(self, size: int) -> bool:
        """Read until `size` bytes are there; return whether they are."""
        while len(self._data) < size and not self._ended:
            piece = self._file.read(max(_CHUNK, size - len(self._data)))
            self._ended = not piece
            self._data += piece
        return len(self._data) >= size


def _data_set(found: dict, implicit: bool) -> FileDataset:
    from pydicom.charset import convert_encodings
    from pydicom.dataset import Dataset

    dataset = Dataset(found)
    charset = dataset.get("SpecificCharacterSet")
    encoding = convert_encodings(charset) if charset else None
    dataset.set_original_encoding(implicit, True, encoding)
    return dataset  # type: ignore[return-value]
