"""Palette colours (PS3.3 C.7.9): each stored value is a place in three tables, of red, green and blue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hounsfield.errors import ReadError
from hounsfield.read import tags

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

_COLOURS = ("Red", "Green", "Blue")


def palette_colours(stored: np.ndarray, dataset: FileDataset) -> np.ndarray:
    """Return RGB in 0 to 255, float32 of shape (…, 3), for integers of shape (…).

    Values before the first entry of the table take the first one, values past the end the last (C.7.6.3.1.5). Tables of
    16 bits are reduced to their upper byte, as displays do. pydicom's own lookup is used for segmented tables only: for
    plain ones it ignores that a big-endian file has big-endian tables.

    Raises
    ------
    ReadError
        If a table is missing or shorter than it says.
    """
    entries, first, table = _table(dataset)
    index = np.clip(stored.astype(np.int32) - first, 0, entries - 1)
    return table[index].astype(np.float32)


def _table(dataset: FileDataset) -> tuple[int, int, np.ndarray]:
    """Return the number of entries, the stored value of the first one, and the colours (entries, 3) in 0 to 255."""
    descriptor = tags.numbers(dataset, "RedPaletteColorLookupTableDescriptor")
    if len(descriptor) != 3:
        raise ReadError("the image has palette colours but no palette")
    entries, first = int(descriptor[0]) or 2**16, int(descriptor[1])  # 0 stands for 65536
    if tags.raw(dataset, "RedPaletteColorLookupTableData") is None:
        from pydicom.pixels import apply_color_lut

        table = apply_color_lut(np.arange(first, first + entries, dtype=np.int32), dataset)[:, :3]
    else:
        columns = [_plain(dataset, f"{colour}PaletteColorLookupTableData", entries) for colour in _COLOURS]
        table = np.stack(columns, axis=-1)
    # Some writers leave 8-bit colours in the lower byte of 16-bit tables; shifted, they would be black.
    return entries, first, table >> 8 if table.max() > 255 else table


def _plain(dataset: FileDataset, keyword: str, entries: int) -> np.ndarray:
    data = tags.raw(dataset, keyword)
    if not isinstance(data, bytes) or len(data) < entries:
        raise ReadError("a table of the colour palette is missing or too short")
    little = bool(dataset.original_encoding[1])
    if len(data) >= 2 * entries:  # by the length, because files state 8 bits and store 16
        return np.frombuffer(data, "<u2" if little else ">u2", entries)
    packed = np.frombuffer(data[: len(data) // 2 * 2], np.uint8)
    # Two entries share a word; a big-endian file has the bytes of each word the other way round (PS3.5 7.3).
    ordered = packed if little else packed.reshape(-1, 2)[:, ::-1].ravel()
    if len(ordered) < entries:
        raise ReadError("a table of the colour palette is missing or too short")
    return ordered[:entries].astype(np.uint16)
