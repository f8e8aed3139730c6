"""Where the frames of a DICOM image lie in the patient (PS3.3 C.7.6.2, and C.7.6.16.2 for enhanced objects), in LPS.

LPS: x grows to the patient's left, y to the back (posterior), z to the head (superior). All lengths are millimetres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from hounsfield.read import tags

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# Tuples and plain sums: a numpy call on three numbers takes longer than all of a header's sums.
Vector = tuple[float, float, float]
# The direction cosines are written as decimal strings, often with few digits.
_COSINE_TOLERANCE = 1e-2
_CENTIMETRES = 3  # PS3.3 C.8.5.5.1.15
# How each plane is shown (columns run to …, rows run to …): from in front, or from the feet, the patient's right on
# the left; sagittal planes with the face on the left. The slices then follow each other along row × column.
_DISPLAY: dict[int, tuple[Vector, Vector]] = {
    2: ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),  # axial: left, back
    1: ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0)),  # coronal: left, feet
    0: ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0)),  # sagittal: back, feet
}


@dataclass(frozen=True, slots=True)
class Plane:
    """The plane of one frame.

    Attributes
    ----------
    spacing:
        Between rows, and between columns.
    orientation:
        Six direction cosines: along a row (where columns run), then along a column (where rows run).
    position:
        Of the centre of the first pixel.
    thickness:
        The spacing between slices that the file states, else its slice thickness.
    """

    spacing: tuple[float, float] | None
    orientation: tuple[float, ...] | None
    position: Vector | None
    thickness: float | None

    @property
    def normal(self) -> Vector | None:
        """The direction in which slices are stacked, or None where no valid orientation is stated."""
        return None if self.orientation is None else normal_of(self.orientation)


@dataclass(frozen=True, slots=True)
class Turn:
    """The flips and the transposition that bring a picture to the display convention: exact, nothing is resampled."""

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    def size(self, rows: int, columns: int) -> tuple[int, int]:
        return (columns, rows) if self.transpose else (rows, columns)

    def pixels(self, stored: np.ndarray) -> np.ndarray:
        """Return (frames, rows, columns, …) turned, as a view."""
        turned = np.swapaxes(stored, 1, 2) if self.transpose else stored
        if self.flip_rows:
            turned = turned[:, ::-1]
        return turned[:, :, ::-1] if self.flip_columns else turned

    def plane(self, plane: Plane, rows: int, columns: int) -> Plane:
        """Return the plane of the turned picture; `rows` and `columns` are those before the turn."""
        if self == STRAIGHT or plane.orientation is None:
            return plane
        across, down = plane.orientation[:3], plane.orientation[3:]
        spacing = plane.spacing
        if self.transpose:
            across, down = down, across
            spacing = None if spacing is None else (spacing[1], spacing[0])
        height, width = self.size(rows, columns)
        position = plane.position
        if position is not None and spacing is not None:
            position = _moved(position, across, spacing[1] * (width - 1) * self.flip_columns)
            position = _moved(position, down, spacing[0] * (height - 1) * self.flip_rows)
        elif self.flip_rows or self.flip_columns:
            position = None  # without the spacing nobody knows where the other corner is
        signs = [-1.0 if self.flip_columns else 1.0] * 3 + [-1.0 if self.flip_rows else 1.0] * 3
        turned = tuple(sign * value for sign, value in zip(signs, (*across, *down), strict=True))
        return Plane(spacing, turned, position, plane.thickness)


STRAIGHT = Turn()


@lru_cache(maxsize=1024)
def turn_of(orientation: tuple[float, ...] | None) -> Turn:
    """Return how to turn a picture of this orientation so that it lies as its plane is shown (see `_DISPLAY`).

    The plane is the one whose normal is nearest. A prone or feet-first acquisition, whose picture stands on its head, is
    put upright, so that left and right mean the same in every case. Without an orientation nothing is turned.
    """
    if orientation is None:
        return STRAIGHT
    across, down = orientation[:3], orientation[3:]
    # Rounded, so that the slices of one series, whose cosines differ in the last digit, are turned alike.
    normal = [round(abs(value), 2) for value in normal_of(orientation)]
    plane = max((2, 1, 0), key=lambda axis: normal[axis])  # of equal ones the axial
    wanted_across, wanted_down = _DISPLAY[plane]
    straight = abs(_dot(across, wanted_across)) + abs(_dot(down, wanted_down))
    crossed = abs(_dot(down, wanted_across)) + abs(_dot(across, wanted_down))
    transpose = round(crossed - straight, 2) > 0
    if transpose:
        across, down = down, across
    return Turn(transpose, _dot(down, wanted_down) < 0, _dot(across, wanted_across) < 0)


def normal_of(orientation: tuple[float, ...]) -> Vector:
    """Return row × column of six direction cosines."""
    a, b, c, d, e, f = orientation
    return b * f - c * e, c * d - a * f, a * e - b * d


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _moved(position: Vector, direction: Sequence[float], by: float) -> Vector:
    x, y, z = (value + by * part for value, part in zip(position, direction, strict=True))
    return x, y, z


def plane_of(dataset: Dataset, frame: int = 0) -> Plane:
    """Return the plane of a frame, from the functional groups where there are any, else from the data set itself."""
    measures = tags.functional_group(dataset, "PixelMeasuresSequence", frame) or dataset
    orientation = tags.functional_group(dataset, "PlaneOrientationSequence", frame) or dataset
    position = tags.functional_group(dataset, "PlanePositionSequence", frame) or dataset
    return Plane(
        spacing=_spacing(measures, dataset),
        orientation=_orientation(tags.numbers(orientation, "ImageOrientationPatient")),
        position=_vector(tags.numbers(position, "ImagePositionPatient")),
        thickness=_positive(tags.number(measures, "SpacingBetweenSlices"))
        or _positive(tags.number(measures, "SliceThickness")),
    )


def affine_of(
    spacing: tuple[float, float] | None,
    orientation: tuple[float, ...] | None,
    origin: Vector | None,
    step: Vector | None,
) -> np.ndarray | None:
    """Return the 4x4 matrix from (column, row, frame) to LPS millimetres, or None where a part of it is not known.

    `step` is the vector from one slice to the next, as the positions have it: with a tilted gantry it is not the normal
    of the slices, and the matrix then shears, which says exactly where every pixel was.
    """
    if spacing is None or orientation is None or origin is None or step is None:
        return None
    affine = np.eye(4)
    affine[:3, 0] = np.array(orientation[:3]) * spacing[1]
    affine[:3, 1] = np.array(orientation[3:]) * spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = origin
    return affine


def single_step(plane: Plane) -> Vector | None:
    """Return the step of one slice alone: its normal times the stated spacing or thickness, else 1 mm."""
    if plane.normal is None:
        return None
    return _moved((0.0, 0.0, 0.0), plane.normal, plane.thickness or 1.0)


def _spacing(measures: Dataset, dataset: Dataset) -> tuple[float, float] | None:
    places = [(measures, "PixelSpacing"), (dataset, "ImagerPixelSpacing"), (dataset, "NominalScannedPixelSpacing")]
    for place, keyword in places:
        found = tags.numbers(place, keyword)
        if len(found) == 2 and min(found) > 0:
            return found
    return _ultrasound_spacing(dataset)


def _ultrasound_spacing(dataset: Dataset) -> tuple[float, float] | None:
    """One calibrated region that measures centimetres in both directions (PS3.3 C.8.5.5); with more, none is the one."""
    regions = tags.items(dataset, "SequenceOfUltrasoundRegions")
    if len(regions) != 1:
        return None
    units = [tags.whole(regions[0], f"PhysicalUnits{axis}Direction") for axis in "YX"]
    deltas = [abs(tags.number(regions[0], f"PhysicalDelta{axis}") or 0.0) * 10 for axis in "YX"]
    if units != [_CENTIMETRES, _CENTIMETRES] or min(deltas) <= 0:
        return None
    return deltas[0], deltas[1]


def _orientation(found: tuple[float, ...]) -> tuple[float, ...] | None:
    if len(found) != 6:
        return None
    along, down = found[:3], found[3:]
    errors = (math.hypot(*along) - 1, math.hypot(*down) - 1, _dot(along, down))
    return None if max(abs(error) for error in errors) > _COSINE_TOLERANCE else found


def _vector(found: tuple[float, ...]) -> Vector | None:
    return (found[0], found[1], found[2]) if len(found) == 3 else None


def _positive(value: float | None) -> float | None:
    return abs(value) if value else None  # SpacingBetweenSlices may be negative in nuclear medicine (PS3.3 C.8.4.15)
