"""What stands out in a volume, found in a copy of it that is reduced to some millimetres, and measured in the volume itself.

A copy of a few hundred thousand blocks needs little memory and is free of single bright voxels; the edges are then sought
voxel by voxel, but only in the blocks of what was found and those next to them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from hounsfield.errors import ReadError
from hounsfield.prepare.conditioning.grey import grey_of
from hounsfield.prepare.conditioning.otsu import otsu
from hounsfield.prepare.volume import Box, Grid

BLOCK_MM = 3.0
LEAST_BLOCKS = 64  # along an axis, where there are as many voxels: a small field is not reduced to nothing
# Skin and fat lie above; lung, the foam of a mattress and air below.
BODY_HU = -300.0
TABLE_MM = 10.0  # what is thinner than this is a table, a tube or a blanket
AIR_HU = -1000.0  # below it, CT files hold only padding
SHARE = 0.1  # of the largest piece: smaller ones are no part of what stands out


def foreground_box(frames: Sequence[np.ndarray], grid: Grid, *, hounsfield: bool) -> Box:
    """Return the box of what stands out from the background: Otsu's threshold, and of the pieces above it the large ones.

    A piece counts from a tenth of the largest on, so that two legs or two breasts are both kept.

    Raises
    ------
    ReadError
        If nothing stands out, as in a picture of one value.
    """
    floor = AIR_HU if hounsfield else -np.inf
    reduced, factors = _reduced(frames, grid, floor)
    threshold = otsu(reduced)
    labels, count = ndimage.label(reduced > threshold)
    if count == 0:
        raise ReadError("nothing stands out from the background, so there is no region of interest", fix=_OTHERWISE)
    sizes = np.bincount(labels.ravel())[1:]
    large = 1 + np.flatnonzero(sizes >= SHARE * sizes.max())
    return _edges(frames, np.isin(labels, large), factors, threshold)


def body_box(frames: Sequence[np.ndarray], grid: Grid) -> Box:
    """Return the box of the patient in a CT in HU: the largest piece above -300 HU after an opening, without the table.

    The opening acts within each slice and takes away what is thinner than about 10 mm. Skin that it shaved off is given
    back as far as it touches what is left. What lies on the table is the patient only if it is larger than the table.

    Raises
    ------
    ReadError
        If nothing is left.
    """
    reduced, factors = _reduced(frames, grid, AIR_HU)
    inside = reduced > BODY_HU
    rounds = _rounds(grid, factors)
    cross = ndimage.generate_binary_structure(2, 1)[None]
    labels, count = ndimage.label(ndimage.binary_opening(inside, cross, iterations=rounds))
    if count == 0:
        raise ReadError(f"nothing above {BODY_HU:g} HU is as large as a body, so there is no region", fix=_OTHERWISE)
    body = labels == 1 + int(np.bincount(labels.ravel())[1:].argmax())
    body = ndimage.binary_dilation(body, cross, iterations=rounds, mask=inside)
    body = np.stack([ndimage.binary_fill_holes(cut) for cut in body])
    return _edges(frames, body, factors, BODY_HU)


def mask_box(mask: np.ndarray) -> Box:
    """Return the box of the true voxels of (slices, rows, columns).

    Raises
    ------
    ReadError
        If there are none.
    """
    if not mask.any():
        raise ReadError("the mask of the region of interest is empty", fix="Give a mask that marks something.")
    slices, rows, columns = (np.asarray(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    return _span(slices), _span(rows), _span(columns)


_OTHERWISE = "Leave the case out, or plan with another region (none takes the whole image)."


def _reduced(frames: Sequence[np.ndarray], grid: Grid, floor: float) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Return the means of blocks of about 3 mm (slices, rows, columns), and the sides of a block in voxels."""
    mm = (grid.between_slices, *(grid.plane or (None, None)))
    factors = [
        max(1, min(round(BLOCK_MM / side) if side else length, length // LEAST_BLOCKS))
        for side, length in zip(mm, grid.shape, strict=True)
    ]
    deep, tall, wide = factors
    starts = [np.arange(0, length, factor) for length, factor in zip(grid.shape, factors, strict=True)]
    counts = [np.diff(np.append(start, length)) for start, length in zip(starts, grid.shape, strict=True)]
    sums = np.zeros([len(start) for start in starts], dtype=np.float64)
    for number, frame in enumerate(frames):
        values = np.maximum(grey_of(frame), np.float32(floor))
        rows = np.add.reduceat(values, starts[1], axis=0, dtype=np.float64)
        sums[number // deep] += np.add.reduceat(rows, starts[2], axis=1)
    means = sums / (counts[0][:, None, None] * counts[1][:, None] * counts[2])
    return means.astype(np.float32), (deep, tall, wide)


def _rounds(grid: Grid, factors: tuple[int, int, int]) -> int:
    """Return how often to erode so that what is thinner than a table vanishes: n rounds take 2n + 1 blocks."""
    if grid.plane is None:
        return 1
    block = min(grid.plane[0] * factors[1], grid.plane[1] * factors[2])
    return max(1, round((TABLE_MM / block - 1) / 2))


def _edges(frames: Sequence[np.ndarray], found: np.ndarray, factors: tuple[int, int, int], threshold: float) -> Box:
    """Return the box of the voxels above a threshold in the blocks that were found, and in those next to them."""
    near = ndimage.binary_dilation(found, ndimage.generate_binary_structure(3, 3))
    height, width = frames[0].shape[:2]
    slices = np.zeros(len(frames), dtype=bool)
    rows, columns = np.zeros(height, dtype=bool), np.zeros(width, dtype=bool)
    for number, frame in enumerate(frames):
        blocks = near[number // factors[0]]
        if not blocks.any():
            continue
        blocks = np.repeat(np.repeat(blocks, factors[1], axis=0)[:height], factors[2], axis=1)[:, :width]
        hit = blocks & (grey_of(frame) > threshold)
        slices[number] = hit.any()
        rows |= hit.any(axis=1)
        columns |= hit.any(axis=0)
    return _span(slices), _span(rows), _span(columns)


def _span(hit: np.ndarray) -> tuple[int, int]:
    places = np.flatnonzero(hit)
    return int(places[0]), int(places[-1]) + 1
