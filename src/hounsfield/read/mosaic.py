"""Siemens mosaics: the slices of a volume as tiles of one picture, told by a private header that Siemens calls CSA.

DICOM does not know of tiles: Rows and Columns are those of the whole picture, and ImagePositionPatient is where the
corner of a single slice of that size would lie. How many tiles there are, and in which direction they follow, stands
in CSAImageHeaderInfo (0029,xx10), whose format nibabel reads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hounsfield.errors import ReadError
from hounsfield.read import tags
from hounsfield.read.geometry import Plane

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PRIVATE_GROUP = 0x0029
_CREATOR = "SIEMENS CSA HEADER"


@dataclass(frozen=True, slots=True)
class Mosaic:
    """`count` slices of (rows, columns), as tiles in `side` rows and columns, following each other along `normal`."""

    count: int
    side: int
    rows: int
    columns: int
    normal: tuple[float, ...]

    def split(self, stored: np.ndarray) -> np.ndarray:
        """Return (count, rows, columns) for one picture (1, side × rows, side × columns)."""
        tiles = stored.reshape(self.side, self.rows, self.side, self.columns).swapaxes(1, 2)
        return tiles.reshape(self.side**2, self.rows, self.columns)[: self.count]

    def plane(self, picture: Plane) -> Plane:
        """Return the plane of the first tile. The stated corner belongs to a slice of the size of the whole picture."""
        position = picture.position
        if position is not None and picture.spacing is not None and picture.orientation is not None:
            across, down = np.array(picture.orientation).reshape(2, 3)
            across = across * picture.spacing[1] * (self.side - 1) * self.columns / 2
            down = down * picture.spacing[0] * (self.side - 1) * self.rows / 2
            x, y, z = (np.array(position) + across + down).tolist()
            position = (x, y, z)
        return Plane(picture.spacing, picture.orientation, position, picture.thickness)


def mosaic_of(dataset: Dataset) -> Mosaic | None:
    """Return how a picture is tiled, or None where it is no mosaic.

    Raises
    ------
    ReadError
        For a mosaic whose private header is missing or does not fit: nobody can say then how many slices it holds.
    """
    if "MOSAIC" not in tags.texts(dataset, "ImageType"):
        return None
    header = _csa(dataset)
    count, normal = _whole(header, "NumberOfImagesInMosaic"), _numbers(header, "SliceNormalVector")
    rows, columns = tags.needed(dataset, "Rows"), tags.needed(dataset, "Columns")
    if not count or len(normal) != 3:
        raise ReadError(
            "a Siemens mosaic whose private header (CSA) is missing: how many slices it holds is not known",
            fix="Export it without removing private elements, or as an enhanced or classic series.",
        )
    side = math.ceil(math.sqrt(count))
    if rows % side or columns % side:
        raise ReadError(f"a Siemens mosaic of {rows}×{columns} pixels that {count} tiles do not fit")
    return Mosaic(count, side, rows // side, columns // side, tuple(normal))


def _csa(dataset: Dataset) -> dict:
    from nibabel.nicom.csareader import CSAReadError, read

    for element in range(0x10, 0x100):
        creator = dataset.get((PRIVATE_GROUP, element))
        if creator is None or str(creator.value).strip() != _CREATOR:
            continue
        value = dataset.get((PRIVATE_GROUP, element << 8 | 0x10))
        if value is None or not isinstance(value.value, bytes):
            break
        try:
            return dict(read(value.value)["tags"])
        except (CSAReadError, ValueError, KeyError, IndexError):
            break
    return {}


def _numbers(header: dict, name: str) -> list[float]:
    try:
        return [float(item) for item in header[name]["items"]]
    except (KeyError, TypeError, ValueError):
        return []


def _whole(header: dict, name: str) -> int | None:
    found = _numbers(header, name)
    return int(found[0]) if found and found[0] == int(found[0]) and found[0] > 0 else None
