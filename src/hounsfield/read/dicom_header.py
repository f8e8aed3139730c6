"""The header of a DICOM file, read up to the pixels and no further."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from hounsfield.read import tags, usable
from hounsfield.read.geometry import plane_of
from hounsfield.read.header import Header
from hounsfield.read.source import Source

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

# Only these are parsed; the rest of a header (often hundreds of private elements) is skipped over.
_WANTED = (
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyDate",
    "Modality",
    "Manufacturer",
    "InstitutionName",
    "ManufacturerModelName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "BodyPartExamined",
    "SliceThickness",
    "SpacingBetweenSlices",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "SequenceOfUltrasoundRegions",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "InstanceNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "Laterality",
    "ImageLaterality",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "PixelSpacing",
    "BitsAllocated",
    "TotalPixelMatrixColumns",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)


def dicom_headers(path: Path) -> list[Header]:
    """Return the one header of a DICOM file.

    Raises
    ------
    ReadError
        For what `usable.check` refuses.
    """
    from pydicom import config

    # Values are converted when they are asked for, so the header is built while validation is off.
    with config.disable_value_validation(), path.open("rb") as file:
        dataset, element = _parse(file, path)
        usable.check(dataset, element)
        return [_header(dataset, Source(path))]


def place_of(dataset: FileDataset) -> tuple[str | None, str | None, str | None]:
    """Return modality, body part and laterality in upper case."""
    anatomy = tags.functional_group(dataset, "FrameAnatomySequence")
    laterality = tags.text(dataset, "ImageLaterality", "Laterality")
    if laterality is None and anatomy is not None:
        laterality = tags.text(anatomy, "FrameLaterality")
    found = (tags.text(dataset, "Modality"), tags.text(dataset, "BodyPartExamined"), laterality)
    modality, body_part, side = (value.upper() if value else None for value in found)
    return modality, body_part, side


def _header(dataset: FileDataset, source: Source) -> Header:
    frames = usable.frames_of(dataset)
    plane = plane_of(dataset)
    modality, body_part, laterality = place_of(dataset)
    return Header(
        kind="dicom",
        source=source,
        frames=frames,
        rows=tags.needed(dataset, "Rows"),
        columns=tags.needed(dataset, "Columns"),
        modality=modality,
        body_part=body_part,
        laterality=laterality,
        manufacturer=tags.text(dataset, "Manufacturer"),
        model=tags.text(dataset, "ManufacturerModelName"),
        institution=tags.text(dataset, "InstitutionName"),
        sex=tags.sex(dataset),
        age=tags.age(dataset),
        study_date=tags.date(dataset, "StudyDate"),
        patient_id=tags.text(dataset, "PatientID"),
        study_uid=tags.text(dataset, "StudyInstanceUID"),
        series_uid=tags.text(dataset, "SeriesInstanceUID"),
        sop_uid=tags.text(dataset, "SOPInstanceUID"),
        spacing=plane.spacing,
        position=plane.offset if frames == 1 else None,
        instance_number=tags.whole(dataset, "InstanceNumber"),
        transfer_syntax=usable.transfer_syntax(dataset),
    )


def _parse(file: BinaryIO, path: Path) -> tuple[FileDataset, usable.PixelElement | None]:
    from pydicom import dcmread
    from pydicom.filereader import read_partial
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    found: list[usable.PixelElement] = []
    size = path.stat().st_size

    def at_pixels(tag: int, vr: str | None, length: int) -> bool:
        if tag in usable.PIXEL_TAGS:
            start = file.tell()
            found.append(usable.PixelElement(length, size - start, usable.PIXEL_TAGS[tag], file, start))
        return bool(found)

    dataset = read_partial(file, stop_when=at_pixels, force=True, specific_tags=list(_wanted_tags()))
    if tags.text(dataset.file_meta, "TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        # pydicom inflates such a file whole, so the positions found are not those of the file.
        return dataset, usable.element_of(dcmread(path, force=True))
    return dataset, found[0] if found else None


@cache
def _wanted_tags() -> tuple[int, ...]:
    from pydicom.tag import Tag

    return tuple(Tag(keyword) for keyword in _WANTED)
