"""The lesion under a map: the part of a mask that lies in the plane that the network saw."""

from __future__ import annotations

import numpy as np

from hounsfield.errors import ReadError
from hounsfield.explain.attribution import Attribution
from hounsfield.prepare import CaseFiles
from hounsfield.prepare.region import read_mask


def lesion_under(attribution: Attribution, files: CaseFiles) -> np.ndarray:
    """Return where a case's mask lies on the picture of a map, bool (height, width).

    By millimetres where both files say where their voxels lie, whatever way they are turned; else the mask must have the slices, rows
    and columns of the images.

    Raises
    ------
    ReadError
        If the mask has another size, or marks nothing in this slice.
    """
    assert files.mask is not None
    assert attribution.place is not None
    mask, place = read_mask(files.mask), attribution.place
    if mask.affine is not None and place.plane is not None:
        rows, columns = np.mgrid[: place.picture[0], : place.picture[1]]
        ones = np.ones(rows.size)
        points = place.plane @ np.stack([columns.ravel(), rows.ravel(), ones])
        indices = np.rint(np.linalg.solve(mask.affine, np.concatenate([points, ones[None]]))[:3]).astype(np.int64)[::-1]
        inside = np.all(
            [(part >= 0) & (part < length) for part, length in zip(indices, mask.voxels.shape, strict=True)], axis=0
        )
        lesion = np.zeros(rows.size, dtype=bool)
        lesion[inside] = mask.voxels[tuple(indices[:, inside])]
        lesion = lesion.reshape(rows.shape)
    elif mask.voxels.shape == (sum(files.frames), *place.picture):
        lesion = mask.voxels[min(round(place.number), len(mask.voxels) - 1)]
    else:
        raise ReadError("it has another size than the image")
    if not lesion.any():
        raise ReadError("it marks nothing in the slice that spoke most")
    return lesion
