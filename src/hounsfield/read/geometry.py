"""Where the pixels of a DICOM image lie in the patient (PS3.3 C.7.6.2, and C.7.6.16.2 for enhanced objects)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hounsfield.read import tags

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# The direction cosines are written as decimal strings, often with few digits.
_COSINE_TOLERANCE = 1e-2
# Frames whose steps differ by more than this share of a step are not one evenly spaced volume.
_STEP_TOLERANCE = 0.02
_CENTIMETRES = 3  # PS3.3 C.8.5.5.1.15


@dataclass(frozen=True)
class Plane:
    """The plane of one frame: spacing between rows and between columns (mm), orientation (6,), position (3,) in LPS."""

    spacing: tuple[float, float] | None
    orientation: np.ndarray | None
    position: np.ndarray | None
    thickness: float | None

    @property
    def normal(self) -> np.ndarray | None:
        """The direction (3,) in which slices are stacked, or None where no valid orientation is stated."""
        return None if self.orientation is None else np.cross(self.orientation[:3], self.orientation[3:])

    @property
    def offset(self) -> float | None:
        """The position along the normal in mm, by which slices are put in order."""
        if self.normal is None or self.position is None:
            return None
        return float(self.normal @ self.position)


def plane_of(dataset: Dataset, frame: int = 0) -> Plane:
    """Return the plane of a frame, from the functional groups where there are any, else from the data set itself."""
    measures = tags.functional_group(dataset, "PixelMeasuresSequence", frame) or dataset
    orientation = tags.functional_group(dataset, "PlaneOrientationSequence", frame) or dataset
    position = tags.functional_group(dataset, "PlanePositionSequence", frame) or dataset
    return Plane(
        spacing=_spacing(measures, dataset),
        orientation=_orientation(tags.numbers(orientation, "ImageOrientationPatient")),
        position=_vector(tags.numbers(position, "ImagePositionPatient"), 3),
        thickness=_positive(tags.number(measures, "SpacingBetweenSlices"))
        or _positive(tags.number(measures, "SliceThickness")),
    )


def affine_of(dataset: Dataset, frames: int) -> np.ndarray | None:
    """Return the 4x4 matrix from (column, row, frame) to LPS millimetres, or None where the file does not state it.

    A single frame has no step to a next one: the third column then is the normal times the spacing between slices,
    the slice thickness, or 1 mm, in that order. Several frames need a plane each, parallel and evenly spaced in the
    order of the file; else there is no one matrix, and None is returned.
    """
    first = plane_of(dataset)
    if first.spacing is None or first.orientation is None or first.normal is None or first.position is None:
        return None
    step = first.normal * (first.thickness or 1.0)
    if frames > 1:
        if len(tags.items(dataset, "PerFrameFunctionalGroupsSequence")) < frames:
            return None
        even = _even_step([plane_of(dataset, frame) for frame in range(frames)])
        if even is None:
            return None
        step = even
    affine = np.eye(4)
    affine[:3, 0] = first.orientation[:3] * first.spacing[1]
    affine[:3, 1] = first.orientation[3:] * first.spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    return affine


def _even_step(planes: list[Plane]) -> np.ndarray | None:
    positions = [plane.position for plane in planes if plane.position is not None]
    orientations = [plane.orientation for plane in planes if plane.orientation is not None]
    if min(len(positions), len(orientations)) < len(planes) or len({plane.spacing for plane in planes}) > 1:
        return None
    if not np.allclose(orientations, orientations[0], atol=1e-4):
        return None
    steps = np.diff(positions, axis=0)
    mean = steps.mean(axis=0)
    length = float(np.linalg.norm(mean))
    if length == 0 or np.abs(steps - mean).max() > _STEP_TOLERANCE * length:
        return None
    return mean


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


def _orientation(found: tuple[float, ...]) -> np.ndarray | None:
    cosines = _vector(found, 6)
    if cosines is None:
        return None
    along, down = cosines[:3], cosines[3:]
    errors = (np.linalg.norm(along) - 1, np.linalg.norm(down) - 1, along @ down)
    return None if max(abs(error) for error in errors) > _COSINE_TOLERANCE else cosines


def _vector(found: tuple[float, ...], length: int) -> np.ndarray | None:
    return np.array(found, dtype=np.float64) if len(found) == length else None


def _positive(value: float | None) -> float | None:
    return abs(value) if value else None  # SpacingBetweenSlices may be negative in nuclear medicine (PS3.3 C.8.4.15)
