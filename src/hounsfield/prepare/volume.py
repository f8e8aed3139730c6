"""Volumes: where the frames of a case lie, and the same frames at another spacing, on a grid of fixed size.

The resampling is the Recipe's own: a triangle filter whose weights follow from the sizes alone (`steps.resize_operator`),
along all three axes. It runs plane by plane, so that beside the frames of a case only the result is held.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hounsfield.core.image import Image
from hounsfield.errors import ReadError
from hounsfield.prepare.place import Axis
from hounsfield.prepare.steps import resize_operator

Vector = tuple[float, float, float]
# Start and stop along slices, rows and columns.
Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

NO_SPACING = "Plan without it: set spacing to null in plan.yaml (slices are then chosen evenly, and only resized)."
# Cosines and positions are decimal strings, often rounded to few digits; `read.stacks` is as patient.
_UNEVEN, _UNEVEN_MM = 0.05, 0.05
_CROOKED = 0.01


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of a case lie.

    Attributes
    ----------
    shape:
        Slices, rows, columns.
    plane:
        Millimetres between rows, and between columns; None where the files do not say.
    affine:
        4x4, from (column, row, slice) to patient coordinates in mm (LPS); None where the files do not say.
    trouble:
        Why the frames are no volume although each of them has a place; None where they are one.
    """

    shape: tuple[int, int, int]
    plane: tuple[float, float] | None = None
    affine: np.ndarray | None = None
    trouble: str | None = None

    @property
    def between_slices(self) -> float | None:
        """Millimetres between slices, measured across them: with a tilted gantry less than the step of the table."""
        if self.affine is None or self.shape[0] < 2:
            return None
        return abs(float(self.affine[:3, 2] @ _normal(self.affine)))

    @property
    def is_silent(self) -> bool:
        """Whether the files say nothing of millimetres: then all lengths count voxels."""
        return self.plane is None and self.affine is None and self.trouble is None

    def spacing(self, purpose: str, fix: str = NO_SPACING) -> Vector:
        """Return millimetres between slices, rows and columns. Of a single slice the first number is 1 and means nothing.

        Raises
        ------
        ReadError
            If the files do not say it; the message names the purpose.
        """
        between = 1.0 if self.shape[0] == 1 else self.between_slices
        if self.trouble is not None and self.shape[0] > 1:
            raise ReadError(f"{self.trouble}, and {purpose} needs a volume", fix=fix)
        if self.plane is None or between is None:
            what = "pixels are" if self.plane is None else "steps between the slices are"
            raise ReadError(f"the files do not say how large the {what}, and {purpose} needs it", fix=fix)
        return between, *self.plane


def grid_of(images: Sequence[Image]) -> Grid:
    """Return where the frames of images lie together, in their order.

    The step of single slices is the least-squares line through their positions, as in `read.stacks`; what their headers
    call thickness is not used.

    Raises
    ------
    ReadError
        If the images differ in size.
    """
    first = images[0]
    if any(image.size != first.size for image in images):
        sizes = " and ".join(sorted({f"{image.size[0]}×{image.size[1]}" for image in images}))
        raise ReadError(
            f"the slices of the case differ in size ({sizes})",
            fix="Give cases whose slices are of one size, or a 2d plan.",
        )
    shape = (sum(image.frames for image in images), *first.size)
    plane = first.spacing
    if any(not _alike(image.spacing, plane) for image in images):
        return Grid(shape, None, None, "the slices of the case differ in the size of their pixels")
    affines = [image.affine for image in images if image.affine is not None]
    if len(affines) < len(images):
        return Grid(shape, plane)
    if plane is None:
        columns, rows = np.linalg.norm(affines[0][:3, :2], axis=0).tolist()
        plane = (rows, columns)
    if len(images) == 1:
        return Grid(shape, plane, affines[0])
    return _together(shape, plane, affines, [image.frames for image in images])


def resampled(volume: Sequence[np.ndarray], spacing: Vector, wanted: Vector) -> np.ndarray:
    """Return a volume at another spacing, antialiased.

    Parameters
    ----------
    volume:
        Frames (rows, columns), or an array (slices, rows, columns).
    spacing, wanted:
        Millimetres between slices, rows and columns, as they are and as they are to be.

    Returns
    -------
    float32 of `lengths` slices, rows and columns.
    """
    shape = (len(volume), *volume[0].shape)
    whole = [(0, length) for length in lengths(shape, spacing, wanted)]
    return np.stack(list(_planes(volume, lengths(shape, spacing, wanted), (whole[0], whole[1], whole[2]))))


def lengths(shape: Sequence[int], spacing: Vector, wanted: Vector) -> tuple[int, int, int]:
    """Return how many slices, rows and columns a volume has at another spacing: rounded, and at least 1.

    A single slice stays one: nobody knows how thick it is.
    """
    found = [
        max(1, math.floor(count * now / then + 0.5)) for count, now, then in zip(shape, spacing, wanted, strict=True)
    ]
    return (1 if shape[0] == 1 else found[0]), found[1], found[2]


def on_grid(
    volume: Sequence[np.ndarray], spacing: Vector, wanted: Vector, slices: int, size: tuple[int, int], fill: float
) -> np.ndarray:
    """Return `resampled` cut and filled around its centre: at most `slices` slices of `size`.

    Rows and columns that are missing become `fill`; slices that are missing stay missing, since whoever stores them knows
    how to say so.
    """
    height, width = size
    out = lengths((len(volume), *volume[0].shape), spacing, wanted)
    kept = _kept(out, slices, size)
    most = [stop - start for start, stop in kept]
    result = np.full((most[0], height, width), fill, dtype=np.float32)
    top, left = (height - most[1]) // 2, (width - most[2]) // 2
    for place, plane in enumerate(_planes(volume, out, kept)):
        result[place, top : top + most[1], left : left + most[2]] = plane
    return result


def axes_of_grid(
    shape: tuple[int, int, int], spacing: Vector, wanted: Vector, slices: int, size: tuple[int, int]
) -> tuple[Axis, Axis, Axis]:
    """Return where the slices, rows and columns of what `on_grid` makes lie on those of a volume of this shape."""
    out = lengths(shape, spacing, wanted)
    kept = _kept(out, slices, size)
    found = []
    for length, count, (start, stop), room in zip(shape, out, kept, (0, *size), strict=True):
        before = max(0, room - (stop - start)) // 2  # filled in
        step = length / count
        found.append(Axis((start - before + 0.5) * step - 0.5, step, 0, length))
    return found[0], found[1], found[2]


def _kept(out: tuple[int, int, int], slices: int, size: tuple[int, int]) -> Box:
    """Return which slices, rows and columns of a resized volume are kept: those around its centre."""
    parts = []
    for length, most in zip(out, (slices, *size), strict=True):
        count = min(length, most)
        parts.append(((length - count) // 2, (length - count) // 2 + count))
    return parts[0], parts[1], parts[2]


def _planes(volume: Sequence[np.ndarray], out: tuple[int, int, int], kept: Box) -> Iterator[np.ndarray]:
    """Yield the planes of the resized volume, and of those only what is kept: the rows of its operators that count."""
    height, width = volume[0].shape
    along, down, across = (
        resize_operator(length, count)[slice(*part)]
        for length, count, part in zip(out, (len(volume), height, width), kept, strict=True)
    )
    whole = (out[1:], (kept[1], kept[2])) == ((height, width), ((0, height), (0, width)))
    for weights in along:
        used = np.flatnonzero(weights)
        plane = weights[used[0]] * np.asarray(volume[int(used[0])], dtype=np.float32)
        for number in used[1:]:
            plane += weights[number] * volume[int(number)]
        yield plane if whole else down @ plane @ across.T


def _together(
    shape: tuple[int, int, int], plane: tuple[float, float], affines: list[np.ndarray], frames: list[int]
) -> Grid:
    first = affines[0]
    scale = float(np.linalg.norm(first[:3, :2], axis=0).max())
    if any(np.abs(affine[:3, :2] - first[:3, :2]).max() > _CROOKED * scale for affine in affines):
        return Grid(shape, plane, None, "the slices of the case lie in different planes")
    positions = np.concatenate([
        affine[:3, 3] + np.arange(count)[:, None] * affine[:3, 2] for affine, count in zip(affines, frames, strict=True)
    ])  # fmt: skip
    steps = np.diff(positions @ _normal(first))
    mean = float(steps.mean())
    if abs(mean) < 1e-6 or np.abs(steps - mean).max() > max(_UNEVEN * abs(mean), _UNEVEN_MM):
        return Grid(shape, plane, None, "the slices of the case are not evenly spaced")
    count = np.arange(len(positions)) - (len(positions) - 1) / 2
    affine = first.copy()
    affine[:3, 2] = count @ positions / (count @ count)
    return Grid(shape, plane, affine)


def _normal(affine: np.ndarray) -> np.ndarray:
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    return np.asarray(normal / np.linalg.norm(normal))


def _alike(one: tuple[float, float] | None, other: tuple[float, float] | None) -> bool:
    if one is None or other is None:
        return one is other
    return all(abs(a - b) <= _CROOKED * b for a, b in zip(one, other, strict=True))
