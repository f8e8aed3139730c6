"""Look-up tables of grey values (PS3.3 C.11.1.1.1 Modality LUT, C.11.2.1.1 VOI LUT)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hounsfield.errors import ReadError
from hounsfield.read import tags

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset


@dataclass(frozen=True, slots=True)
class Table:
    """A table: `first` is the value that the first entry stands for; `top` the greatest value that its bits hold."""

    first: int
    entries: np.ndarray
    top: float

    def look_up(self, values: np.ndarray) -> np.ndarray:
        """Return the entries for values, float32; those before the table take its first entry, those after its last."""
        places = np.rint(values) if values.dtype.kind == "f" else values.astype(np.int64)
        places = np.clip(places - self.first, 0, len(self.entries) - 1).astype(np.intp)
        return self.entries[places]


def table_of(item: Dataset, dataset: FileDataset, *, signed_first: bool | None = None) -> Table:
    """Return the table of a LUT sequence's item.

    The descriptor's second value is signed where the pixels are (`signed_first` overrules); zero entries stand for 65536.
    The entries are 8 or 16 bits wide, told by their length, because files state 16 and store 8, and the other way round.

    Raises
    ------
    ReadError
        If the descriptor or the data is missing, or the data is too short.
    """
    descriptor = tags.numbers(item, "LUTDescriptor")
    data = tags.raw(item, "LUTData")
    if len(descriptor) != 3 or data is None:
        raise ReadError("a look-up table without its descriptor or data")
    count, first, bits = int(descriptor[0]) or 2**16, int(descriptor[1]), int(descriptor[2])
    if signed_first is None:
        signed_first = tags.whole(dataset, "PixelRepresentation") == 1
    if signed_first and first >= 2**15:
        first -= 2**16
    entries = _entries(data, count, little=bool(dataset.original_encoding[1]))
    if len(entries) < count:
        raise ReadError(f"a look-up table of {len(entries)} entries instead of {count}")
    bits = bits if 8 <= bits <= 16 else 16
    top = float(2**bits - 1)
    return Table(first, np.minimum(entries[:count], top).astype(np.float32), top)


def _entries(data: object, count: int, *, little: bool) -> np.ndarray:
    if isinstance(data, (bytes, bytearray)):
        if len(data) >= 2 * count:
            return np.frombuffer(data, "<u2" if little else ">u2", count)
        return np.frombuffer(data, np.uint8)
    values = np.atleast_1d(np.asarray(data, dtype=np.int64))  # VR US, or SS where negative numbers stand for large ones
    if len(values) * 2 == count + count % 2 and len(values) < count:  # two 8-bit entries to a word
        return np.ascontiguousarray(values.astype("<u2")).view(np.uint8)
    return np.where(values < 0, values + 2**16, values)
