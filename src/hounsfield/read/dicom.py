"""A DICOM file as an Image: decode, take colours to RGB and grey values to physical ones, lay the frames out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hounsfield.core.image import Facts, Image, Region
from hounsfield.errors import ReadError
from hounsfield.read import decoders, tags, usable
from hounsfield.read.dataset import open_bytes
from hounsfield.read.decode import stored_values
from hounsfield.read.dicom_header import burned_in_of, place_of
from hounsfield.read.display import is_inverted, voi_tables_of, windows_of
from hounsfield.read.layout import layout_of
from hounsfield.read.values import to_physical

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

# PS3.3 C.8.5.5.1.2 and .3: regions of tissue, of colour flow over tissue, and M-mode, are pictures; spectra and scales are not.
_TISSUE = frozenset((1, 2))


def read_dicom(path: Path) -> Image:
    """Return the pixels of a DICOM file with what they mean.

    Grey pixels are rescaled (unit "HU" or "arbitrary"), colours are RGB in 0 to 255 whatever their depth. MONOCHROME1
    is not inverted: `facts.inverted` says that low values are to be shown bright. Pictures whose orientation is stated are
    turned to the display convention (`geometry.turn_of`), frames that lie in space follow each other along row × column,
    and a Siemens mosaic becomes its slices.

    Raises
    ------
    ReadError
        For what `usable.check` refuses, and where every decoder fails.
    """
    from pydicom import config

    decoders.register()
    data = path.read_bytes()
    with config.disable_value_validation():
        dataset, element = open_bytes(data)
        element = usable.check(dataset, element)
        layout = layout_of(dataset)
        stored, cells = stored_values(data, dataset, element, layout.stored)
        values = to_physical(stored, dataset, cells=cells)
        if values.photometric == "PALETTE COLOR" and layout.mosaic is not None:
            raise ReadError("a mosaic in palette colours")
        pixels = np.ascontiguousarray(layout.arrange(values.pixels))
        modality, body_part, laterality = place_of(dataset)
        grey = values.is_grey
        facts = Facts(
            modality=modality,
            body_part=body_part,
            laterality=laterality,
            photometric=values.photometric,
            inverted=grey and is_inverted(dataset),
            windows=windows_of(dataset) if grey else (),
            tables=voi_tables_of(dataset) if grey else (),
            regions=_regions(dataset, *pixels.shape[1:3]),
            burned_in=burned_in_of(dataset),
            value_range=values.range,
        )
        return Image(pixels, values.unit, None, layout.spacing, layout.affine, facts)


def _regions(dataset: FileDataset, rows: int, columns: int) -> tuple[Region, ...]:
    """Return the boxes of the ultrasound regions that show tissue (PS3.3 C.8.5.5), cut to the picture."""
    found = []
    for item in tags.items(dataset, "SequenceOfUltrasoundRegions"):
        corners = [tags.whole(item, f"RegionLocation{name}") for name in ("MinY0", "MinX0", "MaxY1", "MaxX1")]
        if tags.whole(item, "RegionSpatialFormat") not in _TISSUE or None in corners:
            continue
        top, left, bottom, right = (int(corner or 0) for corner in corners)
        box = Region(max(0, top), max(0, left), min(rows, bottom + 1), min(columns, right + 1))
        if box.top < box.bottom and box.left < box.right:
            found.append(box)
    return tuple(found)
