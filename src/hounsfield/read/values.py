"""From the cells of a file to physical values: one table of rules, each with its place in the standard (PS3.3).

`RULES` is walked from top to bottom; every rule that applies changes the values once. What is for display only (VOI LUT
and windows, C.11.2; presentation, C.11.6) changes nothing here and is kept as a fact: see `display.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from hounsfield.core.image import Unit
from hounsfield.errors import ReadError
from hounsfield.read import tags
from hounsfield.read.display import is_inverted
from hounsfield.read.lut import table_of
from hounsfield.read.palette import palette_colours

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

_COLOUR_TOP = 255.0
GREY = ("MONOCHROME1", "MONOCHROME2")


@dataclass
class Values:
    """Pixels on their way, (frames, rows, columns) or (…, 3), and what they mean so far.

    `cells` is true while they are as the file stores them, unused bits included; `padding` marks what is no measurement.
    """

    dataset: FileDataset
    pixels: np.ndarray
    photometric: str
    cells: bool
    unit: Unit = "arbitrary"
    range: tuple[float, float] | None = None
    padding: np.ndarray | None = field(default=None, repr=False)

    @property
    def is_grey(self) -> bool:
        return self.photometric in GREY

    @property
    def is_ct(self) -> bool:
        return (tags.text(self.dataset, "Modality") or "").upper() == "CT"


@dataclass(frozen=True)
class Rule:
    """One rule: what it is, where in PS3.3 it stands, when it applies, what it does."""

    name: str
    place: str
    applies: Callable[[Values], bool]
    apply: Callable[[Values], None]


@dataclass(frozen=True)
class Rescale:
    """value = slope × stored + intercept, in `type` ("HU", "US" unspecified, …) where the file names it."""

    slope: float = 1.0
    intercept: float = 0.0
    type: str | None = None
    stated: bool = False


def to_physical(stored: np.ndarray, dataset: FileDataset, *, cells: bool) -> Values:
    """Run the rules over stored values.

    Parameters
    ----------
    stored:
        Integers or floats of shape (frames, rows, columns), or (…, 3) in RGB.
    cells:
        Whether unused bits may still hold something else, as in uncompressed pixels.

    Raises
    ------
    ReadError
        For a slope of zero, and for tables that are missing or too short.
    """
    values = Values(dataset, stored, tags.text(dataset, "PhotometricInterpretation") or "", cells)
    for rule in RULES:
        if rule.applies(values):
            rule.apply(values)
    return values


def rescales_of(dataset: FileDataset, frames: int) -> list[Rescale]:
    """Return the rescale of each frame: of its functional group in enhanced objects (C.7.6.16.2.9), else one for all."""
    if not tags.has_functional_groups(dataset):
        return [_rescale(dataset)] * frames
    groups = [tags.functional_group(dataset, "PixelValueTransformationSequence", frame) for frame in range(frames)]
    return [_rescale(dataset if group is None else group) for group in groups]


def _rescale(place: Dataset) -> Rescale:
    slope, intercept = tags.number(place, "RescaleSlope"), tags.number(place, "RescaleIntercept")
    if slope == 0:
        raise ReadError("RescaleSlope is zero: every pixel would be the same", fix="Export the image again.")
    kind = tags.text(place, "RescaleType")
    return Rescale(
        slope=1.0 if slope is None else slope,
        intercept=intercept or 0.0,
        type=kind.upper() if kind else None,
        stated=intercept is not None,
    )


def _bits_of(values: Values) -> tuple[int, int, int]:
    """Return bits allocated, bits stored and the high bit; what a file leaves out follows from the others."""
    allocated = 8 * values.pixels.dtype.itemsize
    stored = tags.whole(values.dataset, "BitsStored") or allocated
    stored = min(max(stored, 1), allocated)
    high = tags.whole(values.dataset, "HighBit")
    return allocated, stored, high if high is not None and stored - 1 <= high < allocated else stored - 1


def _stored_range(values: Values) -> tuple[float, float] | None:
    if values.pixels.dtype.kind not in "iu":
        return None
    _, bits, _ = _bits_of(values)
    signed = tags.whole(values.dataset, "PixelRepresentation") == 1
    return (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if signed else (0.0, 2.0**bits - 1)


def _find_padding(values: Values) -> None:
    """Mark padding before unused bits are cleared: writers put values there that the bits in use could not hold."""
    value = tags.whole(values.dataset, "PixelPaddingValue")
    assert value is not None
    limit = tags.whole(values.dataset, "PixelPaddingRangeLimit")
    dtype = values.pixels.dtype
    first, last = sorted(_as_stored(item, dtype) for item in (value, value if limit is None else limit))
    pixels = values.pixels
    values.padding = pixels == first if first == last else (pixels >= first) & (pixels <= last)


def _as_stored(value: int, dtype: np.dtype) -> int:
    """Files write a signed padding value as unsigned, and the other way round: 63536 for −2000 in 16 bits."""
    info = np.iinfo(dtype)
    if info.min <= value <= info.max:
        return value
    return (value - int(info.min)) % (int(info.max) - int(info.min) + 1) + int(info.min)


def _clear_unused_bits(values: Values) -> None:
    """Take the bits in use out of their cells: others may hold overlays (retired, PS3.3 2004 C.9.2) or nothing."""
    allocated, stored, high = _bits_of(values)
    pixels = values.pixels
    if pixels.dtype.kind == "u":
        shifted = pixels >> (high - stored + 1) if high > stored - 1 else pixels
        values.pixels = shifted & pixels.dtype.type(2**stored - 1)
    else:  # up to the top and back down again spreads the sign
        values.pixels = (pixels << (allocated - 1 - high)) >> (allocated - stored)


def _use_range(values: Values) -> None:
    values.range = _stored_range(values)


def _replace_padding(values: Values) -> None:
    """Padding becomes the darkest value that was measured: outside the field of view there is no measurement.

    Left as it is, −2000 or 63536 would pass for a density, and stretch every statistic of the image.
    """
    padding, pixels = values.padding, values.pixels
    assert padding is not None
    if not padding.any() or padding.all():
        return
    info = np.iinfo(pixels.dtype)
    # Covered by the other extreme, and not cut out: that is ten times faster.
    if is_inverted(values.dataset):
        dark = np.where(padding, pixels.dtype.type(info.min), pixels).max()
    else:
        dark = np.where(padding, pixels.dtype.type(info.max), pixels).min()
    values.pixels = np.where(padding, dark, pixels)


def _rescale_values(values: Values) -> None:
    rescales = rescales_of(values.dataset, len(values.pixels))
    pixels = values.pixels.astype(np.float32)
    for frame, rescale in zip(pixels, rescales, strict=True):  # in place: a float64 copy would cost twice the memory
        if rescale.slope != 1.0:
            frame *= np.float32(rescale.slope)
        if rescale.intercept != 0.0:
            frame += np.float32(rescale.intercept)
    values.pixels = pixels
    # Required for CT, and then in HU unless another type is named (C.8.2.1.1.2); a screen capture has none.
    in_hu = values.is_ct and all(rescale.stated and rescale.type in (None, "HU") for rescale in rescales)
    values.unit = "HU" if in_hu else "arbitrary"
    if values.range is not None:
        ends = [rescale.slope * end + rescale.intercept for rescale in set(rescales) for end in values.range]
        values.range = min(ends), max(ends)


def _through_table(values: Values) -> None:
    item = tags.items(values.dataset, "ModalityLUTSequence")[0]
    table = table_of(item, values.dataset)
    values.pixels = table.look_up(values.pixels)
    kind = (tags.text(item, "ModalityLUTType") or "").upper()
    values.unit = "HU" if values.is_ct and kind == "HU" else "arbitrary"
    values.range = 0.0, table.top


def _palette(values: Values) -> None:
    values.pixels = palette_colours(values.pixels, values.dataset)
    values.unit, values.range = "RGB", (0.0, _COLOUR_TOP)


def _colours(values: Values) -> None:
    """Bring colours of any depth to 0 to 255."""
    bits = tags.whole(values.dataset, "BitsStored") or 8 * values.pixels.dtype.itemsize
    values.pixels = values.pixels.astype(np.float32)
    if bits != 8:
        values.pixels *= np.float32(_COLOUR_TOP / (2**bits - 1))
    values.unit, values.range = "RGB", (0.0, _COLOUR_TOP)


def _is_whole(values: Values) -> bool:
    return values.pixels.dtype.kind in "iu"


def _has_table(values: Values) -> bool:
    return values.is_grey and bool(len(tags.items(values.dataset, "ModalityLUTSequence")))


def _is_padded(values: Values) -> bool:
    return values.is_grey and _is_whole(values) and tags.whole(values.dataset, "PixelPaddingValue") is not None


def _has_unused_bits(values: Values) -> bool:
    return values.cells and _is_whole(values) and _bits_of(values)[1] < 8 * values.pixels.dtype.itemsize


# Planar configuration (C.7.6.3.1.3) and YBR to RGB (C.7.6.3.1.2) belong to the decoders: see `decode.py`.
RULES: tuple[Rule, ...] = (
    Rule("pixel padding is found", "C.7.5.1.1.2", _is_padded, _find_padding),
    Rule("unused bits are cleared", "C.7.6.3.1.1", _has_unused_bits, _clear_unused_bits),
    Rule("the range of the bits", "C.7.6.3.1.1", lambda values: values.is_grey, _use_range),
    Rule("pixel padding is replaced", "C.7.5.1.1.2", lambda values: values.padding is not None, _replace_padding),
    Rule("Modality LUT", "C.11.1.1.1", _has_table, _through_table),
    Rule("rescale slope and intercept", "C.11.1.1.2", lambda v: v.is_grey and not _has_table(v), _rescale_values),
    Rule("palette colours", "C.7.9", lambda values: values.photometric == "PALETTE COLOR", _palette),
    Rule("colours", "C.7.6.3.1.2", lambda v: not v.is_grey and v.photometric != "PALETTE COLOR", _colours),
)
