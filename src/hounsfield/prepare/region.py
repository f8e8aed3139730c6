"""The region of interest of a case, as a box of voxels: found in the volume, or given with the label of the case.

What is given is in the patient's coordinates (mm, LPS as in DICOM PS3.3 C.7.6.2.1.1) where the files say where their
voxels lie. Pictures and arrays do not; then x is the column, y the row and z the slice, counted from 0 at the centre of
the first voxel, and where they state no size of a pixel either, margin and size count voxels too. A volume that states
millimetres but no place is refused: nobody can say which of the two was meant.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hounsfield.core.image import Image
from hounsfield.core.plan import Region
from hounsfield.errors import ReadError
from hounsfield.prepare.finding import body_box, foreground_box, mask_box
from hounsfield.prepare.volume import Box, Grid, Vector
from hounsfield.read import Source, read_image

_ROUNDED = 1e-4  # voxels: what the sums of an affine may be off
_SAME_PLACE = 0.1  # voxels by which the corners of a mask may lie beside those of its image
_ELSEWHERE = "Leave the case out, or plan with another region (none takes the whole image)."


@dataclass(frozen=True, eq=False)
class Mask:
    """A mask as it was read: bool (slices, rows, columns), and its affine where the file states one."""

    voxels: np.ndarray
    affine: np.ndarray | None


def read_mask(source: Source) -> Mask:
    """Read a mask; of its values only counts whether they are 0, and in colours, whether they are black.

    Raises
    ------
    ReadError
        If the file is no image.
    """
    image: Image = read_image(source, digest=False)
    marked = image.pixels != 0
    return Mask(marked.any(axis=-1) if marked.ndim == 4 else marked, image.affine)


def region_box(
    region: Region,
    frames: Sequence[np.ndarray],
    grid: Grid,
    *,
    interest: Sequence[float] | None = None,
    mask: Mask | None = None,
    hounsfield: bool = False,
) -> Box:
    """Return the region as start and stop along slices, rows and columns, never empty and never outside the volume.

    A given box that leaves the volume is cut at its edge. A box around a centre keeps its size: it is shifted inwards
    until it fits, so that no pixels are made up (where it is larger than the volume, the whole axis is taken).

    Parameters
    ----------
    frames:
        Conditioned frames of the whole case, (rows, columns) or (rows, columns, 3); for `body` in HU.
    interest:
        3 numbers (a centre) or 6 (two opposite corners of a box); of a box the centre is its middle.
    hounsfield:
        Whether the frames are in HU.

    Raises
    ------
    ReadError
        If the case has no such region, nothing is found, or what is given lies outside the image or does not fit it.
    """
    if region.kind == "none":
        return (0, grid.shape[0]), (0, grid.shape[1]), (0, grid.shape[2])
    if region.kind == "centre":
        return _around(region, grid, _numbers(region, interest))
    if region.kind == "box":
        low, high = _corners(grid, _numbers(region, interest))
    else:
        if region.kind == "mask":
            if mask is None:
                raise ReadError("the plan's region is a mask, and the case has none", fix=_given("roi_mask"))
            found = mask_box(_on_the_grid(mask, grid))
        elif region.kind == "foreground":
            found = foreground_box(frames, grid, hounsfield=hounsfield)
        else:
            found = body_box(frames, grid)
        low, high = np.array([part[0] for part in found]) - 0.5, np.array([part[1] for part in found]) - 0.5
    if region.margin > 0:
        room = region.margin / np.array(_lengths(grid, "the margin of the region"))
        low, high = low - room, high + room
    return _cut(low, high, grid)


def _numbers(region: Region, interest: Sequence[float] | None) -> np.ndarray:
    """Return the given centre (3), or the corners of the given box (2, 3), as x, y, z."""
    if interest is None or (region.kind == "box" and len(interest) != 6):
        wanted = "roi_x, roi_y, roi_z" if region.kind == "centre" else "roi_x1, roi_y1, roi_z1, roi_x2, roi_y2, roi_z2"
        what = "a centre" if region.kind == "centre" else "a box"
        raise ReadError(f"the plan's region is {what}, and the case has none", fix=_given(wanted))
    given = np.asarray(interest, dtype=np.float64)
    if region.kind == "box":
        return given.reshape(2, 3)
    return given.reshape(-1, 3).mean(axis=0)


def _given(columns: str) -> str:
    return f"Give it in the label table ({columns}) and scan again, or plan with another region."


def _indices(grid: Grid, points: np.ndarray) -> np.ndarray:
    """Return points (n, 3) as x, y, z in indices of slices, rows and columns."""
    if grid.affine is not None:
        homogeneous = np.concatenate([points, np.ones((len(points), 1))], axis=1)
        points = (homogeneous @ np.linalg.inv(_invertible(grid)).T)[:, :3]
    elif grid.trouble is not None or (grid.plane is not None and grid.shape[0] > 1):
        why = grid.trouble or "the files state the size of their pixels, but not where they lie in the patient"
        raise ReadError(f"{why}, so a region of interest cannot be found in them", fix=_ELSEWHERE)
    return points[:, ::-1]


def _invertible(grid: Grid) -> np.ndarray:
    assert grid.affine is not None
    if abs(np.linalg.det(grid.affine[:3, :3])) < 1e-12:
        raise ReadError("the matrix from voxels to millimetres is singular", fix="Repair the header of the file.")
    return grid.affine


def _corners(grid: Grid, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and greatest index of a box along each axis; an oblique one takes in what it touches."""
    corners = np.array(list(itertools.product(*given.T)))
    indices = _indices(grid, corners)
    low, high = indices.min(axis=0), indices.max(axis=0)
    if grid.shape[0] == 1 and grid.affine is None:
        low[0], high[0] = 0, 0  # the one picture, whatever z says
    return low, high


def _around(region: Region, grid: Grid, centre: np.ndarray) -> Box:
    assert region.size is not None
    index = _indices(grid, centre[None])[0]
    if grid.shape[0] == 1 and grid.affine is None:
        index[0] = 0
    outside = (index < -0.5 - _ROUNDED) | (index > np.array(grid.shape) - 0.5 + _ROUNDED)
    if grid.shape[0] == 1 and grid.affine is not None:
        outside[0] = False  # how far a single slice reaches is not known
    if outside.any():
        raise ReadError("the centre of the region of interest lies outside the image", fix=_ELSEWHERE)
    sides = (np.array(region.size) + 2 * region.margin) / np.array(_lengths(grid, "the size of the region"))
    parts = []
    for place, side, length in zip(index, sides, grid.shape, strict=True):
        count = min(length, max(1, math.floor(side + 0.5)))
        start = min(max(0, math.floor(place - count / 2 + 1 - _ROUNDED)), length - count)
        parts.append((start, start + count))
    return parts[0], parts[1], parts[2]


def _cut(low: np.ndarray, high: np.ndarray, grid: Grid) -> Box:
    """Return the voxels that an interval of indices touches along each axis; voxel i reaches from i - 0.5 to i + 0.5."""
    parts = []
    for axis, length in enumerate(grid.shape):
        start = math.floor(low[axis] + 0.5 + _ROUNDED)
        stop = max(start + 1, math.ceil(high[axis] + 0.5 - _ROUNDED))
        if axis == 0 and length == 1:
            start, stop = 0, 1
        if start >= length or stop <= 0:
            raise ReadError("the region of interest lies outside the image", fix=_ELSEWHERE)
        parts.append((max(0, start), min(length, stop)))
    return parts[0], parts[1], parts[2]


def _lengths(grid: Grid, purpose: str) -> Vector:
    if grid.is_silent:
        return 1.0, 1.0, 1.0
    return grid.spacing(
        purpose, "Plan with a region that needs no millimetres: margin 0, and foreground, body, mask or box."
    )


def _on_the_grid(mask: Mask, grid: Grid) -> np.ndarray:
    """Return a mask with the axes of its image: a NIfTI is always read as axial slices, a DICOM in the plane it was taken.

    Axes are swapped and turned round where the affines say so; nothing is resampled.

    Raises
    ------
    ReadError
        If the grids are not the same.
    """
    fix = "Give a mask on the grid of the image (resample it with the tool that made it)."
    voxels = mask.voxels
    if mask.affine is not None and grid.affine is not None:
        # From (slice, row, column) of the image to those of the mask.
        reverse = np.eye(4)[[2, 1, 0, 3]]
        between = reverse @ np.linalg.inv(mask.affine) @ _invertible(grid) @ reverse
        if grid.shape[0] == 1:  # of a single slice nobody knows how thick it is
            between[:3, 0] /= np.linalg.norm(between[:3, 0])
        turn = np.rint(between[:3, :3])
        if not (np.abs(turn).sum(axis=0) == 1).all() or not (np.abs(turn).sum(axis=1) == 1).all():
            raise ReadError("the mask has another spacing or direction than its image", fix=fix)
        axes = [int(np.abs(turn[:, axis]).argmax()) for axis in range(3)]
        signs = [turn[axes[axis], axis] for axis in range(3)]
        voxels = voxels.transpose(axes)[tuple(slice(None, None, int(sign)) for sign in signs)]
        if voxels.shape == grid.shape:
            corners = np.array(list(itertools.product(*[(0, length - 1) for length in grid.shape])), dtype=np.float64)
            there = corners @ between[:3, :3].T + between[:3, 3]
            wanted = np.empty_like(there)
            for axis, (source, sign) in enumerate(zip(axes, signs, strict=True)):
                wanted[:, source] = corners[:, axis] if sign > 0 else grid.shape[axis] - 1 - corners[:, axis]
            if np.abs(there - wanted).max() > _SAME_PLACE:
                raise ReadError("the mask lies beside its image, by their positions in the patient", fix=fix)
    if voxels.shape != grid.shape:
        sizes = ["×".join(map(str, shape)) for shape in (voxels.shape, grid.shape)]
        raise ReadError(f"the mask has {sizes[0]} voxels (slices, rows, columns), and its image {sizes[1]}", fix=fix)
    return voxels
