"""What a compressed picture says of its own size, so that a header that lies is caught before a decoder believes it.

JPEG, JPEG-LS (ISO 10918-1 and 14495-1: the frame header SOF) and JPEG 2000 (ISO 15444-1 A.5.1: SIZ).
"""

from __future__ import annotations

import struct

from hounsfield.errors import ReadError

HEAD = 4096
_NOT_FRAMES = frozenset((0xC4, 0xC8, 0xCC))
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - _NOT_FRAMES | {0xF7}  # F7: JPEG-LS
_ALONE = frozenset((0x01, 0xD8, *range(0xD0, 0xD8)))


def size_of(head: bytes) -> tuple[int, int] | None:
    """Return rows and columns that a codestream states in its first bytes, or None where they do not say.

    Raises
    ------
    ReadError
        If it is wrapped in boxes that are damaged.
    """
    try:
        if head[4:8] == b"jP  ":
            head = _without_boxes(head)
        if head[:4] == b"\xff\x4f\xff\x51":
            width, height, left, top = struct.unpack_from(">4I", head, 8)
            return height - top, width - left
        if head[:2] == b"\xff\xd8":
            return _of_jpeg(head)
    except struct.error:
        return None
    return None


def _without_boxes(head: bytes) -> bytes:
    """Return the codestream inside a JP2 file (ISO 15444-1 I.4), which DICOM does not allow and some writers leave.

    Raises
    ------
    ReadError
        For a box of impossible length: decoders have been seen to look for its end for ever.
    """
    position = 0
    while position + 8 <= len(head):
        length, kind = struct.unpack_from(">I4s", head, position)
        if kind == b"jp2c":
            return head[position + 8 :]
        if length < 8:
            raise ReadError(
                "the compressed picture is damaged: a JP2 box without an end", fix="Copy or export it again."
            )
        position += length
    return b""


def _of_jpeg(head: bytes) -> tuple[int, int] | None:
    position = 2
    while True:
        prefix, marker = struct.unpack_from(">BB", head, position)
        if prefix != 0xFF:
            return None
        if marker == 0xFF or marker in _ALONE:  # fill bytes, and markers without a length
            position += 1 if marker == 0xFF else 2
            continue
        length, _, rows, columns = struct.unpack_from(">HBHH", head, position + 2)
        if marker in _FRAME_MARKERS:
            return (rows, columns) if rows else None  # zero: the number of lines follows the picture (DNL)
        if length < 2:
            return None
        position += 2 + length
