"""Pixel bytes → arrays of stored values: plain ones taken from the file as they lie, the rest through pydicom's decoders.

pydicom gives planar configuration 0 (PS3.3 C.7.6.3.1.3) and RGB for every YBR model (C.7.6.3.1.2).
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from hounsfield.errors import ReadError
from hounsfield.read import decoders, tags, usable

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

_PIXEL_DATA = 0x7FE00010
_PLAIN = {8: ("<u1", "<i1"), 16: ("<u2", "<i2"), 32: ("<u4", "<i4")}


def stored_values(
    data: bytes, dataset: FileDataset, element: usable.PixelElement, frames: int
) -> tuple[np.ndarray, bool]:
    """Return stored values (frames, rows, columns) or (…, 3), and whether they are cells whose unused bits are as in the file.

    Parameters
    ----------
    data:
        The whole file.

    Raises
    ------
    ReadError
        Where every decoder fails.
    """
    plain = _plain(data, dataset, element, frames)
    if plain is not None:
        return plain, True
    stored = _decode(_whole(data, dataset, element))
    return (stored[np.newaxis] if frames == 1 else stored), False  # pydicom drops the axis of a single frame


def _plain(data: bytes, dataset: FileDataset, element: usable.PixelElement, frames: int) -> np.ndarray | None:
    """Return grey little-endian pixels without a copy, or None for all others."""
    bits = tags.whole(dataset, "BitsAllocated")
    known = _PLAIN.get(bits or 0)
    grey = (tags.whole(dataset, "SamplesPerPixel") or 1) == 1
    if known is None or not grey or element.bits or element.length == usable.UNDEFINED or not element.in_file:
        return None
    if not usable.is_little_endian(dataset):
        return None
    rows, columns = tags.needed(dataset, "Rows"), tags.needed(dataset, "Columns")
    dtype = np.dtype(known[tags.whole(dataset, "PixelRepresentation") == 1])
    return np.frombuffer(data, dtype, frames * rows * columns, element.start).reshape(frames, rows, columns)


def _whole(data: bytes, dataset: FileDataset, element: usable.PixelElement) -> FileDataset:
    """Return the data set with its pixels, which a quick walk leaves out."""
    from pydicom import dcmread
    from pydicom.dataelem import DataElement

    if any(tag in dataset for tag in usable.PIXEL_TAGS):
        return dataset
    if not decoders.is_encapsulated(usable.transfer_syntax(dataset)):
        return dcmread(io.BytesIO(data), force=True)
    pixels = DataElement(_PIXEL_DATA, "OB", data[element.start :], already_converted=True)
    pixels.is_undefined_length = True
    dataset[_PIXEL_DATA] = pixels
    return dataset


def _decode(dataset: FileDataset) -> np.ndarray:
    from pydicom.pixels import pixel_array

    syntax = usable.transfer_syntax(dataset)
    for plugin in decoders.plugins_for(syntax):
        try:
            return pixel_array(dataset, decoding_plugin=plugin, allow_excess_frames=False)
        except (MemoryError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 — a panic of a decoder written in Rust is no Exception
            failure = error
    raise ReadError(
        f"the pixels cannot be decoded ({dataset.file_meta.TransferSyntaxUID.name}; {_kind_of(failure)})",
        fix="The compressed data is damaged or of a variant that no installed decoder knows: export it uncompressed.",
    ) from failure


def _kind_of(error: BaseException) -> str:
    name = type(error).__name__
    return name if name != "error" else "struct.error"
