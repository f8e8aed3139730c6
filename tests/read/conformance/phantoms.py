"""A small body without any symmetry, cut into DICOM series of every direction: as slices, or as one enhanced object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

ROWS, COLUMNS = 24, 20


@dataclass(frozen=True)
class Cut:
    """A series: the direction along a row, that along a column, the step between slices (mm), spacing, where it starts."""

    across: tuple[float, float, float]
    down: tuple[float, float, float]
    step: tuple[float, float, float]
    count: int = 14
    spacing: tuple[float, float] = (1.5, 0.75)  # between rows, between columns
    origin: tuple[float, float, float] = (-40.0, 25.0, -60.0)

    def position(self, index: int) -> np.ndarray:
        return np.array(self.origin) + index * np.array(self.step)


def stored(count: int, seed: int = 0) -> np.ndarray:
    """Return (count, rows, columns) of signed values that differ in every direction, with noise, so that none repeats."""
    z, y, x = np.meshgrid(np.arange(count), np.arange(ROWS), np.arange(COLUMNS), indexing="ij")
    values = 30 * z + 11 * y + 5 * x + (x > 12) * (y < 9) * 300 + (z > count // 2) * (y > 15) * 500 - 400
    return (values + np.random.default_rng(seed).integers(0, 4, values.shape)).astype(np.int16)


def turned(degrees: Sequence[float]) -> np.ndarray:
    """Return the rotation about x, then y, then z."""
    rotation = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        one, two = [other for other in range(3) if other != axis]
        turn = np.eye(3)
        turn[one, one] = turn[two, two] = np.cos(angle)
        turn[one, two], turn[two, one] = -np.sin(angle), np.sin(angle)
        rotation = turn @ rotation
    return rotation


def write_slices(folder: Path, cut: Cut, *, modality: str = "MR", seed: int = 0) -> np.ndarray:
    """Write a series with shuffled file names, and return its stored values."""
    rng, values = np.random.default_rng(seed), stored(cut.count, seed)
    series = generate_uid(entropy_srcs=[folder.name, str(seed), "series"])
    for name, index in enumerate(rng.permutation(cut.count)):
        dataset = _common(modality, series, folder.name)
        dataset.SOPClassUID = CTImageStorage if modality == "CT" else MRImageStorage
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[series, str(index)])
        dataset.InstanceNumber = int(index) + 1
        dataset.ImageOrientationPatient = _decimals(*cut.across, *cut.down)
        dataset.ImagePositionPatient = _decimals(*cut.position(int(index)))
        dataset.PixelSpacing = list(cut.spacing)
        dataset.SliceThickness = float(np.linalg.norm(cut.step))
        _pixels(dataset, values[index])
        _save(dataset, folder / f"{name:03d}.dcm")
    return values


def write_enhanced(
    folder: Path, cut: Cut, *, modality: str = "MR", times: int = 1, shuffled: bool = True, seed: int = 0
) -> np.ndarray:
    """Write an enhanced object, its frames in shuffled order, and return its values (times, count, rows, columns)."""
    rng = np.random.default_rng(seed)
    values = np.stack([stored(cut.count, seed + time) + 200 * time for time in range(times)])
    series = generate_uid(entropy_srcs=[folder.name, str(seed), "enhanced"])
    dataset = _common(modality, series, folder.name)
    dataset.SOPClassUID = EnhancedCTImageStorage if modality == "CT" else EnhancedMRImageStorage
    dataset.SOPInstanceUID, dataset.InstanceNumber = generate_uid(entropy_srcs=[series]), 1
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    slope, intercept = dataset.pop("RescaleSlope").value, dataset.pop("RescaleIntercept").value
    shared = Dataset()
    shared.PixelMeasuresSequence = Items([Dataset()])
    shared.PixelMeasuresSequence[0].PixelSpacing = list(cut.spacing)
    shared.PixelMeasuresSequence[0].SliceThickness = float(np.linalg.norm(cut.step))
    shared.PlaneOrientationSequence = Items([Dataset()])
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = _decimals(*cut.across, *cut.down)
    shared.PixelValueTransformationSequence = Items([Dataset()])
    place = shared.PixelValueTransformationSequence[0]
    place.RescaleSlope, place.RescaleIntercept = slope, intercept
    place.RescaleType = "HU" if modality == "CT" else "US"
    dataset.SharedFunctionalGroupsSequence = Items([shared])
    count = times * cut.count
    order = rng.permutation(count) if shuffled else np.arange(count)
    dataset.PerFrameFunctionalGroupsSequence = Items(
        [_frame(cut, *divmod(int(place), cut.count), times=times) for place in order]
    )
    dataset.DimensionIndexSequence = Items(
        [_dimension(0x00209056), _dimension(0x00209057), *([_dimension(0x00209128)] if times > 1 else [])]
    )
    frames = values.reshape(-1, ROWS, COLUMNS)[order]
    dataset.NumberOfFrames = len(frames)
    _pixels(dataset, frames)
    _save(dataset, folder / "enhanced.dcm")
    return values


def _frame(cut: Cut, time: int, index: int, *, times: int) -> Dataset:
    frame = Dataset()
    frame.PlanePositionSequence = Items([Dataset()])
    frame.PlanePositionSequence[0].ImagePositionPatient = _decimals(*cut.position(index))
    frame.FrameContentSequence = Items([Dataset()])
    content = frame.FrameContentSequence[0]
    content.StackID, content.InStackPositionNumber = "1", index + 1
    content.DimensionIndexValues = [1, index + 1, *([time + 1] if times > 1 else [])]
    if times > 1:
        content.TemporalPositionIndex = time + 1
    return frame


def _dimension(pointer: int) -> Dataset:
    item = Dataset()
    item.DimensionIndexPointer, item.FunctionalGroupPointer = pointer, 0x00209111
    item.DimensionOrganizationUID = "1.2.826.0.1.3680043.8.498.1"
    return item


def _common(modality: str, series: str, name: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.Modality, dataset.Manufacturer, dataset.PatientID = modality, "SIEMENS", "phantom"
    dataset.PatientName, dataset.StudyDate, dataset.StudyTime = "Phantom", "20260101", "120000"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.2", series
    dataset.FrameOfReferenceUID = "1.2.826.0.1.3680043.8.498.3"
    dataset.SeriesNumber, dataset.SeriesDescription, dataset.ProtocolName = 1, name, name
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.RescaleSlope, dataset.RescaleIntercept = (1, -1024) if modality == "CT" else (0.5, 3)
    return dataset


def _pixels(dataset: Dataset, values: np.ndarray) -> None:
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = values.shape[-2:]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.PixelData = values.astype("<i2").tobytes()
    dataset["PixelData"].VR = "OW"


def _save(dataset: Dataset, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def _decimals(*values: float) -> list[str]:
    return [f"{value:.9f}"[:16] for value in values]
