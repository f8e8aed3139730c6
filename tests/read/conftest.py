"""What the tests of `read` share: a writer of small DICOM files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmwrite
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

NAME, PATIENT, UID = "Doe^Jane", "MRN-778899", "1.2.826.0.1.3680043.8.498.77889900"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a DICOM file: `write(array, Keyword=value, …)`; further arguments `name`, `syntax`, `preamble`, `edit`."""

    def write_dicom(
        stored: np.ndarray | None,
        *,
        name: str = "image",
        syntax: str = ExplicitVRLittleEndian,
        preamble: bool = True,
        edit: Callable[[Dataset], None] | None = None,
        **values: Any,
    ) -> Path:
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.SOPClassUID = values.pop("SOPClassUID", CTImageStorage)
        dataset.SOPInstanceUID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{UID}.1", f"{UID}.2", f"{UID}.3"
        dataset.PatientName, dataset.PatientID, dataset.Modality = NAME, PATIENT, "CT"
        if stored is not None:
            _pixels(dataset, stored, big=syntax == ExplicitVRBigEndian)
        with disable_value_validation():  # the tests write what files in the wild hold
            for keyword, value in values.items():
                setattr(dataset, keyword, value)
        if edit is not None:
            edit(dataset)
        path = tmp_path / name
        if not preamble:
            del dataset.file_meta
            big, implicit = syntax == ExplicitVRBigEndian, syntax == ImplicitVRLittleEndian
            dcmwrite(path, dataset, implicit_vr=implicit, little_endian=not big)
            return path
        dataset.file_meta.TransferSyntaxUID = syntax
        dcmwrite(path, dataset, enforce_file_format=True)
        return path

    return write_dicom


def _pixels(dataset: Dataset, stored: np.ndarray, *, big: bool) -> None:
    """Fill in the Image Pixel module for (height, width), (frames, height, width) or (height, width, 3)."""
    colour = stored.shape[-1] == 3
    shape = stored.shape[:-1] if colour else stored.shape
    if len(shape) == 3:
        dataset.NumberOfFrames = shape[0]
    dataset.Rows, dataset.Columns = shape[-2:]
    dataset.SamplesPerPixel = 3 if colour else 1
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    bits = 8 * stored.dtype.itemsize
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    raw = stored.astype(stored.dtype.newbyteorder(">" if big else "<")).tobytes()
    dataset.PixelData = raw + b"\0" * (len(raw) % 2)
    dataset["PixelData"].VR = "OW" if bits > 8 else "OB"
