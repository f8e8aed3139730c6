"""How a file asks to be shown: windows, VOI tables, polarity (PS3.3 C.11.2, C.11.6). Facts, applied by `prepare`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast, get_args

import numpy as np

from hounsfield.core.image import VOITable, VOIWindow, WindowFunction
from hounsfield.errors import ReadError
from hounsfield.read import tags
from hounsfield.read.lut import table_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset


def windows_of(dataset: FileDataset) -> tuple[VOIWindow, ...]:
    """Return the windows of the file (C.11.2.1.2), of the first frame in enhanced objects (C.7.6.16.2.10).

    Windows of no positive width, and LINEAR ones narrower than 1 (C.11.2.1.2.1), are left out: they cannot be applied.
    """
    place = tags.functional_group(dataset, "FrameVOILUTSequence") or dataset
    stated = (tags.text(place, "VOILUTFunction") or "").upper()
    function: WindowFunction = cast(WindowFunction, stated) if stated in get_args(WindowFunction) else "LINEAR"
    pairs = list(zip(tags.numbers(place, "WindowCenter"), tags.numbers(place, "WindowWidth"), strict=False))
    words = tags.texts(place, "WindowCenterWidthExplanation")
    named = [*words, *[""] * len(pairs)]
    least = 1.0 if function == "LINEAR" else 0.0
    return tuple(
        VOIWindow(centre, width, function, name or None)
        for (centre, width), name in zip(pairs, named, strict=False)
        if width > 0 and width >= least
    )


def voi_tables_of(dataset: FileDataset) -> tuple[VOITable, ...]:
    """Return the VOI LUTs of the file (C.11.2.1.1), their entries in [0, 1]. Damaged ones are left out: windows remain.

    Their first value is signed where the values that come in may be negative: after a rescale with a negative
    intercept, or from signed pixels (C.11.2.1.1: "the same as the output range of the Modality LUT").
    """
    signed = tags.whole(dataset, "PixelRepresentation") == 1 or (tags.number(dataset, "RescaleIntercept") or 0.0) < 0
    place: Dataset = tags.functional_group(dataset, "FrameVOILUTSequence") or dataset
    found = []
    for item in tags.items(place, "VOILUTSequence"):
        try:
            table = table_of(item, dataset, signed_first=signed)
        except ReadError:
            continue
        values = np.asarray(table.entries / np.float32(table.top), dtype=np.float32)
        found.append(VOITable(float(table.first), values, tags.text(item, "LUTExplanation")))
    return tuple(found)


def is_inverted(dataset: FileDataset) -> bool:
    """Return whether low values are to be shown bright: MONOCHROME1 (C.7.6.3.1.2), or a presentation that says INVERSE.

    The shape must be INVERSE for MONOCHROME1 and IDENTITY for MONOCHROME2 where it is used (C.8.11.3), so it says the
    same twice; where a file states INVERSE with MONOCHROME2, the shape is what its maker asked for (C.11.6).
    """
    if tags.text(dataset, "PhotometricInterpretation") == "MONOCHROME1":
        return True
    return (tags.text(dataset, "PresentationLUTShape") or "").upper() == "INVERSE"
