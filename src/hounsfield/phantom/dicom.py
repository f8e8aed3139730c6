"""Writing the phantom as CT images, and writing the files that a careful reader must put aside."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)

from hounsfield.errors import OutputError
from hounsfield.phantom.grid import Array, Grid
from hounsfield.phantom.scanner import RLE_LOSSLESS, Scanner

# One encoder by name: which one pydicom would choose depends on what else is installed, and so would the bytes.
RLE_ENCODER = "gdcm"


@dataclass(frozen=True)
class Patient:
    """Who is in the image: `key` seeds the UIDs and must be unique in the world of one phantom."""

    key: str
    patient_id: str
    name: str
    sex: str
    age: int
    study_date: str
    study_time: str = "101500"

    def uid(self, *what: object) -> str:
        """Return a UID that follows from the key alone, for example of ("series",) or ("image", 3)."""
        return str(generate_uid(entropy_srcs=[self.key, *map(str, what)]))


@dataclass(frozen=True)
class Series:
    """A written series: the file and the SOP Instance UID of each slice, from the lowest z to the highest."""

    study_uid: str
    series_uid: str
    paths: tuple[Path, ...]
    sop_uids: tuple[str, ...]


def _dataset(patient: Patient, sop_class: str, sop_uid: str, transfer_syntax: str = ExplicitVRLittleEndian) -> Dataset:
    """Return what every object holds: file meta (PS3.10 section 7), patient and study modules."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = UID(sop_uid)
    meta.TransferSyntaxUID = UID(transfer_syntax)
    meta.ImplementationVersionName = "HOUNSFIELD"
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, sop_uid
    ds.PatientName, ds.PatientID = patient.name, patient.patient_id
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = "", patient.sex, f"{patient.age:03d}Y"
    ds.StudyInstanceUID = patient.uid("study")
    ds.StudyDate, ds.StudyTime, ds.StudyID = patient.study_date, patient.study_time, "1"
    ds.AccessionNumber, ds.ReferringPhysicianName = "", ""
    ds.StudyDescription = "CT CHEST PHANTOM"
    return ds


def _number(value: float) -> str:
    """Return a decimal string of at most 16 bytes (PS3.5 section 6.2, DS)."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _image(patient: Patient, scanner: Scanner, grid: Grid) -> Dataset:
    """Return the part of a CT image that all slices of a series share (PS3.3 A.3)."""
    ds = _dataset(patient, CTImageStorage, "", scanner.transfer_syntax)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.Modality, ds.BodyPartExamined, ds.PatientPosition = "CT", "CHEST", scanner.position
    ds.Manufacturer, ds.ManufacturerModelName = scanner.manufacturer, scanner.model
    ds.InstitutionName, ds.SoftwareVersions, ds.DeviceSerialNumber = scanner.institution, "1.0", "0001"
    ds.SeriesInstanceUID, ds.SeriesNumber = patient.uid("series"), 2
    ds.SeriesDescription = f"THORAX {scanner.thickness_mm:g} mm {scanner.kernel}"
    ds.ProtocolName, ds.AcquisitionNumber = "Chest without contrast", 1
    for name in ("SeriesDate", "AcquisitionDate", "ContentDate"):
        setattr(ds, name, patient.study_date)
    for name in ("SeriesTime", "AcquisitionTime", "ContentTime"):
        setattr(ds, name, patient.study_time)
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = patient.uid("frame"), ""
    ds.KVP, ds.XRayTubeCurrent, ds.ExposureTime = scanner.kvp, 180, 500
    ds.ConvolutionKernel, ds.GantryDetectorTilt = scanner.kernel, 0
    ds.SliceThickness, ds.SpacingBetweenSlices = _number(scanner.thickness_mm), _number(scanner.spacing_mm)
    ds.ReconstructionDiameter = _number(scanner.field_mm)
    ds.ImageOrientationPatient = [_number(v) for v in scanner.directions]
    ds.PixelSpacing = [_number(grid.spacing[1]), _number(grid.spacing[2])]
    ds.Rows, ds.Columns = grid.shape[1:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, scanner.bits_stored, scanner.bits_stored - 1
    ds.PixelRepresentation = int(scanner.signed)
    ds.RescaleSlope, ds.RescaleIntercept = _number(scanner.slope), _number(scanner.intercept)
    ds.RescaleType = "HU"
    ds.WindowCenter, ds.WindowWidth = ["-600", "40"], ["1500", "400"]
    ds.WindowCenterWidthExplanation = ["LUNG", "MEDIASTINUM"]
    ds.BurnedInAnnotation, ds.LossyImageCompression = "NO", "00"
    return ds


def _complete(
    ds: Dataset, sop_uid: str, instance: int, scanner: Scanner, grid: Grid, index: int, stored: Array
) -> None:
    """Put slice `index` of the grid into the shared dataset."""
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(sop_uid)
    ds.InstanceNumber = instance
    ds.ImagePositionPatient = [_number(v) for v in scanner.image_position(grid, index)]
    # Along the normal of the slices.
    ds.SliceLocation = _number(round(float(grid.point((index, 0, 0))[2]), 6))
    pixels = np.ascontiguousarray(stored)
    syntax = ds.file_meta.TransferSyntaxUID
    if syntax == RLE_LOSSLESS:
        ds.compress(RLELossless, pixels, encoding_plugin=RLE_ENCODER, generate_instance_uid=False)
    else:
        ds.PixelData = pixels.tobytes()
        ds["PixelData"].VR = "OW"


def _save(ds: Dataset, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        ds.save_as(path, enforce_file_format=True)
    except OSError as error:
        raise OutputError(f"the phantom cannot be written: {error.strerror}", where=path) from error


def write_series(
    folder: Path,
    hu: Array,
    scanner: Scanner,
    patient: Patient,
    grid: Grid,
    *,
    name: Callable[[int], str] = "IM{:04d}.dcm".format,
) -> Series:
    """Write a volume as CT Image Storage files, one for each slice.

    Parameters
    ----------
    folder:
        Where the files go; it is made when absent.
    hu:
        (S, H, W) in HU on `grid`, rows along +y and columns along +x; the scanner arranges, scales and encodes it.
    name:
        File name from the Instance Number (1 to S).

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    stored = scanner.arrange(scanner.store(hu))
    ds = _image(patient, scanner, grid)
    paths, uids = [], []
    for index in range(len(hu)):
        instance = len(hu) - index if scanner.first_slice_at_head else index + 1
        uids.append(patient.uid("image", index))
        _complete(ds, uids[-1], instance, scanner, grid, index, stored[index])
        paths.append(folder / name(instance))
        _save(ds, paths[-1])
    return Series(ds.StudyInstanceUID, ds.SeriesInstanceUID, tuple(paths), tuple(uids))


def write_truncated(path: Path, hu: Array, scanner: Scanner, patient: Patient, grid: Grid) -> None:
    """Write one more slice `hu` (H, W) above the series, with only half of its pixels: a transfer that broke off.

    It is a slice of its own beyond the last one, so that the series is whole without it.
    """
    ds = _image(patient, scanner, grid)
    top = grid.shape[0]
    stored = scanner.arrange(scanner.store(hu[None]))[0]
    _complete(ds, patient.uid("image", "truncated"), top + 1, scanner, grid, top, stored)
    whole = io.BytesIO()
    ds.save_as(whole, enforce_file_format=True)
    content = whole.getvalue()
    path.write_bytes(content[: len(content) - len(ds.PixelData) // 2])


def write_notes(path: Path) -> None:
    """Write plain text under a name that claims to be DICOM."""
    path.write_bytes(b"Please call before sending the next batch.\nThis file is text, whatever its name says.\n")


def write_report(path: Path, patient: Patient) -> None:
    """Write a Basic Text SR (PS3.3 A.35.1) in the patient's study: a DICOM object without pixels.

    Its text says nothing about a nodule, for it must not become a way to read the label.
    """
    ds = _dataset(patient, BasicTextSRStorage, patient.uid("report"))
    ds.Modality, ds.Manufacturer = "SR", "Hounsfield phantom"
    ds.SeriesInstanceUID, ds.SeriesNumber, ds.InstanceNumber = patient.uid("report series"), 9, 1
    ds.ContentDate, ds.ContentTime = patient.study_date, patient.study_time
    ds.CompletionFlag, ds.VerificationFlag = "COMPLETE", "UNVERIFIED"
    ds.ReferencedPerformedProcedureStepSequence = Sequence([])
    ds.PerformedProcedureCodeSequence = Sequence([])
    ds.ValueType, ds.ContinuityOfContent = "CONTAINER", "SEPARATE"
    ds.ConceptNameCodeSequence = Sequence([_code("18748-4", "LN", "Diagnostic imaging report")])
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "TEXT"
    item.ConceptNameCodeSequence = Sequence([_code("121071", "DCM", "Finding")])
    item.TextValue = "CT of the chest without contrast. See the images."
    ds.ContentSequence = Sequence([item])
    _save(ds, path)


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code
