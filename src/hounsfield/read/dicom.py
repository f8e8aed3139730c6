"""A DICOM file as an Image: decode, take colours to RGB and grey values to physical ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

import numpy as np

from hounsfield.core.digest import digest_file
from hounsfield.core.image import Facts, Image, Unit, VOIWindow, WindowFunction
from hounsfield.errors import ReadError
from hounsfield.read import decoders, tags, usable
from hounsfield.read.dicom_header import place_of
from hounsfield.read.geometry import affine_of, plane_of
from hounsfield.read.palette import palette_colours
from hounsfield.read.values import physical

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

_COLOUR_TOP = 255.0


def read_dicom(path: Path) -> Image:
    """Return the pixels of a DICOM file with what they mean.

    Grey pixels are rescaled (unit "HU" or "arbitrary"), colours are RGB in 0 to 255 whatever their depth. MONOCHROME1
    is not inverted: `facts.inverted` says that low values are to be shown bright.

    Raises
    ------
    ReadError
        For what `usable.check` refuses, and where every decoder fails.
    """
    from pydicom import config, dcmread

    decoders.register()
    source = digest_file(path)
    with config.disable_value_validation():
        dataset = dcmread(path, force=True)
        usable.check(dataset, usable.element_of(dataset))
        frames = usable.frames_of(dataset)
        photometric = tags.text(dataset, "PhotometricInterpretation")
        grey = photometric in ("MONOCHROME1", "MONOCHROME2")
        stored = _decode(dataset, frames)
        pixels, unit, value_range = physical(stored, dataset) if grey else _colours(stored, dataset)
        modality, body_part, laterality = place_of(dataset)
        facts = Facts(
            modality=modality,
            body_part=body_part,
            laterality=laterality,
            photometric=photometric,
            inverted=photometric == "MONOCHROME1",
            windows=windows_of(dataset) if grey else (),
            value_range=value_range,
        )
        return Image(pixels, unit, source, plane_of(dataset).spacing, affine_of(dataset, frames), facts)


def windows_of(dataset: FileDataset) -> tuple[VOIWindow, ...]:
    """Return the windows of the file (PS3.3 C.11.2.1.2), of the first frame in enhanced objects (C.7.6.16.2.10).

    Windows of no positive width are left out: they cannot be applied.
    """
    place = tags.functional_group(dataset, "FrameVOILUTSequence") or dataset
    stated = (tags.text(place, "VOILUTFunction") or "").upper()
    function: WindowFunction = cast(WindowFunction, stated) if stated in get_args(WindowFunction) else "LINEAR"
    pairs = zip(tags.numbers(place, "WindowCenter"), tags.numbers(place, "WindowWidth"), strict=False)
    return tuple(VOIWindow(centre, width, function) for centre, width in pairs if width > 0)


def _decode(dataset: FileDataset, frames: int) -> np.ndarray:
    """Return stored values as (frames, height, width), or (…, 3) where there are three samples; YBR becomes RGB."""
    from pydicom.pixels import pixel_array

    try:
        stored = pixel_array(dataset)
    except MemoryError:
        raise
    except Exception as error:
        name = dataset.file_meta.TransferSyntaxUID.name
        raise ReadError(
            f"the pixels cannot be decoded ({name}; {type(error).__name__})",
            fix="The compressed data is damaged or of a variant that no installed decoder knows: export it uncompressed.",
        ) from error
    return stored[np.newaxis] if frames == 1 else stored  # pydicom drops the axis of a single frame


def _colours(stored: np.ndarray, dataset: FileDataset) -> tuple[np.ndarray, Unit, tuple[float, float]]:
    """Scale colours of any depth to 0 to 255; look palette colours up."""
    if tags.text(dataset, "PhotometricInterpretation") == "PALETTE COLOR":
        return palette_colours(stored, dataset), "RGB", (0.0, _COLOUR_TOP)
    bits = tags.whole(dataset, "BitsStored") or 8 * stored.dtype.itemsize
    pixels = stored.astype(np.float32)
    if bits != 8:
        pixels *= np.float32(_COLOUR_TOP / (2**bits - 1))
    return pixels, "RGB", (0.0, _COLOUR_TOP)
