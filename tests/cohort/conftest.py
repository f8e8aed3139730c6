"""What the tests of `cohort` share: makers of small pictures, DICOM files and label tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from hounsfield.phantom import PhantomCohort, generate


@pytest.fixture
def png() -> Callable[..., Path]:
    """Write a small grey PNG; the same seed gives the same bytes."""

    def write(path: Path, seed: int) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 255, (8, 8), dtype=np.uint8)
        Picture.fromarray(pixels).save(path, format="PNG")
        return path

    return write


@pytest.fixture
def dicom() -> Callable[..., Path]:
    """Write a small CT; `patient`, `study`, `series` and `number` name it."""

    def write(path: Path, patient: str, study: str, series: str, number: int = 1) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, f"{series}.{number}"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.InstanceNumber = study, series, number
        dataset.PatientID, dataset.PatientName, dataset.PatientBirthDate = patient, "Secret^Sam", "19511224"
        dataset.StudyDate, dataset.Modality, dataset.BodyPartExamined = "20210704", "CT", "CHEST"
        dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 4, 4, 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
        values = np.random.default_rng([number, *series.encode(), *patient.encode()]).integers(-900, 900, (4, 4))
        dataset.PixelData = values.astype(np.int16).tobytes()
        dcmwrite(path, dataset, enforce_file_format=True)
        return path

    return write


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    """Write lines as a CSV beside the images."""

    def write(*lines: str, name: str = "labels.csv") -> Path:
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> PhantomCohort:
    out = tmp_path_factory.mktemp("phantom") / "Simulated Clinic"
    return generate(out, patients_a=16, patients_b=0, slices=3, size=32, seed=1)
