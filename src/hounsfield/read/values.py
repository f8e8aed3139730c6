"""From stored DICOM values to physical ones: the modality transformation (PS3.3 C.11.1) and pixel padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hounsfield.core.image import Unit
from hounsfield.errors import ReadError
from hounsfield.read import tags

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


@dataclass(frozen=True)
class Rescale:
    """value = slope × stored + intercept, in `type` ("HU", "US" unspecified, …) where the file names it."""

    slope: float = 1.0
    intercept: float = 0.0
    type: str | None = None
    stated: bool = False


def physical(stored: np.ndarray, dataset: Dataset) -> tuple[np.ndarray, Unit, tuple[float, float] | None]:
    """Return monochrome pixels as float32, their unit, and the range that the stored type allows after rescaling.

    The unit is "HU" only for CT whose file states a rescale (it is required there, PS3.3 C.8.2.1) and names no other
    type; a CT screen capture has none and stays "arbitrary". Pixel padding is replaced on CT only: see `_padding`.

    Parameters
    ----------
    stored:
        Integers or floats of shape (frames, height, width).

    Raises
    ------
    ReadError
        For a slope of zero.
    """
    if len(tags.items(dataset, "ModalityLUTSequence")):
        return _through_table(stored, dataset)
    rescales = rescales_of(dataset, len(stored))
    is_ct = (tags.text(dataset, "Modality") or "").upper() == "CT"
    padding = _padding(stored, dataset) if is_ct else None
    pixels = stored.astype(np.float32)
    if padding is not None and padding.any() and not padding.all():
        pixels[padding] = stored[~padding].min()
    for frame, rescale in zip(pixels, rescales, strict=True):  # in place: a float64 copy would cost twice the memory
        if rescale.slope != 1.0:
            frame *= np.float32(rescale.slope)
        if rescale.intercept != 0.0:
            frame += np.float32(rescale.intercept)
    in_hu = is_ct and all(rescale.stated and rescale.type in (None, "HU") for rescale in rescales)
    return pixels, "HU" if in_hu else "arbitrary", _range(stored, dataset, rescales)


def rescales_of(dataset: Dataset, frames: int) -> list[Rescale]:
    """Return the rescale of each frame: of its functional group in enhanced objects (PS3.3 C.7.6.16.2.9), else one."""
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


def _padding(stored: np.ndarray, dataset: Dataset) -> np.ndarray | None:
    """Return where a CT holds padding (PS3.3 C.7.5.1.1.2): outside the round field of view, not a measurement.

    It becomes the lowest value that was measured. Left as it is, −2000 or 63536 would pass for a density, and stretch
    every statistic of the image; the lowest real value is air on any whole-body slice and stays inside the data.
    """
    value = tags.whole(dataset, "PixelPaddingValue")
    if value is None or stored.dtype.kind not in "iu":
        return None
    limit = tags.whole(dataset, "PixelPaddingRangeLimit")
    first, last = sorted(_as_stored(item, stored.dtype) for item in (value, value if limit is None else limit))
    return stored == first if first == last else (stored >= first) & (stored <= last)


def _as_stored(value: int, dtype: np.dtype) -> int:
    """Files write a signed padding value as unsigned, and the other way round: 63536 for −2000 in 16 bits."""
    info = np.iinfo(dtype)
    if info.min <= value <= info.max:
        return value
    return (value - info.min) % (info.max - info.min + 1) + info.min


def _range(stored: np.ndarray, dataset: Dataset, rescales: list[Rescale]) -> tuple[float, float] | None:
    if stored.dtype.kind not in "iu":
        return None
    bits = tags.whole(dataset, "BitsStored") or 8 * stored.dtype.itemsize
    signed = tags.whole(dataset, "PixelRepresentation") == 1
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    ends = [rescale.slope * end + rescale.intercept for rescale in set(rescales) for end in (low, high)]
    return min(ends), max(ends)


def _through_table(stored: np.ndarray, dataset: Dataset) -> tuple[np.ndarray, Unit, tuple[float, float] | None]:
    """Apply a Modality LUT (PS3.3 C.11.1.1.1): it takes the place of the rescale."""
    from pydicom.pixels import apply_modality_lut

    table = tags.items(dataset, "ModalityLUTSequence")[0]
    pixels = apply_modality_lut(stored, dataset).astype(np.float32)
    bits = int((tags.numbers(table, "LUTDescriptor") or (0, 0, 16))[-1])
    is_ct = (tags.text(dataset, "Modality") or "").upper() == "CT"
    in_hu = is_ct and (tags.text(table, "ModalityLUTType") or "").upper() == "HU"
    return pixels, "HU" if in_hu else "arbitrary", (0.0, float(2**bits - 1))
