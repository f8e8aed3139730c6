"""Volumes made from numbers, as NIfTI or as DICOM slices, whose every voxel has a known place in the patient (LPS, mm)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from hounsfield.core.plan import Region
from hounsfield.core.recipe import Normalise, Pad, Recipe, Resize, Window
from hounsfield.prepare import CaseFiles, Preparation, case_files

ORIGIN = (-40.0, -30.0, 100.0)
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def affine_of(spacing: Sequence[float], origin: Sequence[float] = ORIGIN) -> np.ndarray:
    """From (column, row, slice) to LPS, for mm between slices, rows and columns."""
    affine = np.diag([spacing[2], spacing[1], spacing[0], 1.0])
    affine[:3, 3] = origin
    return affine


def nifti(
    path: Path, volume: np.ndarray, spacing: Sequence[float] = (1, 1, 1), origin: Sequence[float] = ORIGIN
) -> Path:
    """Write (slices, rows, columns) so that it is read with these very axes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.Nifti1Image(volume.transpose(2, 1, 0), LPS_TO_RAS @ affine_of(spacing, origin)).to_filename(path)
    return path


def slices(
    folder: Path, volume: np.ndarray, spacing: Sequence[float] = (1, 1, 1), *, orientation: Sequence[float] = (1, 0, 0, 0, 1, 0),
    thickness: float = 99.0,
) -> list[Path]:  # fmt: skip
    """Write (slices, rows, columns) in HU as one DICOM file per slice; what they call thickness is wrong on purpose."""
    folder.mkdir(parents=True, exist_ok=True)
    normal = np.cross(orientation[:3], orientation[3:])
    paths = []
    for number, frame in enumerate(volume):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, f"1.2.{number + 1}"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.InstanceNumber = "1.3", "1.4", number
        dataset.PatientID, dataset.Modality, dataset.RescaleSlope, dataset.RescaleIntercept = "p", "CT", 1, 0
        dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = *frame.shape, 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
        dataset.PixelSpacing, dataset.SliceThickness = [spacing[1], spacing[2]], thickness
        dataset.ImageOrientationPatient = list(orientation)
        dataset.ImagePositionPatient = [
            round(float(value), 5) for value in np.array(ORIGIN) + number * spacing[0] * normal
        ]
        dataset.PixelData = frame.astype(np.int16).tobytes()
        paths.append(folder / f"{number:03d}.dcm")
        dcmwrite(paths[-1], dataset, enforce_file_format=True)
    return paths


def sphere(
    shape: Sequence[int], spacing: Sequence[float], centre: Sequence[float], radius: float, origin: Sequence[float] = ORIGIN
) -> np.ndarray:  # fmt: skip
    """Which voxels of a volume (slices, rows, columns) lie in a ball around x, y, z (LPS, mm)."""
    places = [origin[2 - axis] + spacing[axis] * np.arange(shape[axis]) for axis in range(3)]
    z, y, x = np.meshgrid(*places, indexing="ij")
    return np.asarray(np.hypot(np.hypot(x - centre[0], y - centre[1]), z - centre[2]) <= radius)


def recipe(size: int | tuple[int, int] = 32, windows: Sequence[tuple[float, float]] = ((0.0, 2000.0),)) -> Recipe:
    height, width = (size, size) if isinstance(size, int) else size
    return Recipe(
        steps=(
            Window(windows=tuple(windows)), Resize(height=height, width=width), Pad(height=height, width=width),
            Normalise(mean=(0.5,) * len(windows), std=(0.2,) * len(windows)),
        )
    )  # fmt: skip


def plan3d(**values: Any) -> Preparation:
    """A 3d preparation of a CT; keywords are those of Preparation, and `size` and `windows` those of its recipe."""
    region = values.pop("region", Region())
    made = recipe(values.pop("size", 32), values.pop("windows", ((0.0, 2000.0),)))
    asked: dict[str, Any] = {"conditioning": "hounsfield", "slices": 64, "dimension": "3d", **values}
    return Preparation(recipe=made, region=region, **asked)


def case(paths: Path | Sequence[Path], frames: int | None = None, **more: Any) -> CaseFiles:
    """One file of some frames, or files of one frame each."""
    if isinstance(paths, Path):
        assert frames is not None
        return case_files([(paths, None)], [frames], "case", **more)
    return case_files([(path, None) for path in paths], [1] * len(paths), "case", **more)
