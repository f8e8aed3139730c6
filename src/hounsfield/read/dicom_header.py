"""The header of a DICOM file, read up to the pixels and no further."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hounsfield.read import tags, usable
from hounsfield.read.dataset import open_header
from hounsfield.read.header import Header
from hounsfield.read.layout import layout_of
from hounsfield.read.source import Source

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

_BURNED_IN = {"YES": True, "NO": False}


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
        dataset, element = open_header(file, path)
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


def burned_in_of(dataset: FileDataset) -> bool | None:
    """Return what the file says of text in its pixels (BurnedInAnnotation, PS3.3 C.7.6.1.1.2), None where nothing."""
    return _BURNED_IN.get((tags.text(dataset, "BurnedInAnnotation") or "").upper())


def _header(dataset: FileDataset, source: Source) -> Header:
    layout = layout_of(dataset)
    modality, body_part, laterality = place_of(dataset)
    return Header(
        kind="dicom",
        source=source,
        frames=layout.frames,
        rows=layout.rows,
        columns=layout.columns,
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
        spacing=layout.spacing,
        instance_number=tags.whole(dataset, "InstanceNumber"),
        transfer_syntax=usable.transfer_syntax(dataset),
        blocks=layout.blocks,
        burned_in=burned_in_of(dataset),
        view=tags.text(dataset, "ViewPosition"),
    )
