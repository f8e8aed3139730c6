"""A DICOM file opened: the elements that Hounsfield uses, and where the pixels lie."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from hounsfield.read import elements, keys, tags, usable

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset
    from pydicom.tag import BaseTag

# The rest of a header (often hundreds of private elements) is skipped over.
_WANTED = (
    "SpecificCharacterSet", "ImageType", "SOPClassUID", "SOPInstanceUID", "StudyDate", "Modality", "Manufacturer",
    "InstitutionName", "ManufacturerModelName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge",
    "BodyPartExamined", "SliceThickness", "SpacingBetweenSlices", "ImagerPixelSpacing", "NominalScannedPixelSpacing",
    "SequenceOfUltrasoundRegions", "ViewPosition", "DiffusionGradientOrientation", "StudyInstanceUID", "SeriesInstanceUID",
    "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient", "Laterality", "ImageLaterality", "SamplesPerPixel",
    "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns", "PixelSpacing", "BitsAllocated",
    "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit", "BurnedInAnnotation",
    "WindowCenter", "WindowWidth", "RescaleIntercept", "RescaleSlope", "RescaleType", "WindowCenterWidthExplanation",
    "VOILUTFunction", "ModalityLUTSequence", "VOILUTSequence", "PresentationLUTShape", "TotalPixelMatrixColumns",
    "RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor", "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData",
    "SegmentedRedPaletteColorLookupTableData", "SegmentedGreenPaletteColorLookupTableData",
    "SegmentedBluePaletteColorLookupTableData", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
)  # fmt: skip
# Siemens' private header, for mosaics: up to three private creators of its group, and their element 10.
_PIXEL_VRS = ("OB", "OW", "OF", "OD", "UN")  # PS3.5 A.2; another one is a damaged element, and the right one may follow
_PRIVATE = (0x00290010, 0x00290011, 0x00290012, 0x00291010, 0x00291110, 0x00291210)


def open_header(file: BinaryIO, path: Path) -> tuple[FileDataset, usable.PixelElement | None]:
    """Return the wanted elements of a file, read up to the pixels and no further, and where these lie in it."""
    found = elements.walk(file, wanted_tags())
    if found is not None:
        return found.dataset, _element(found, file, path.stat().st_size)
    file.seek(0)
    return _parse(file, path)


def open_bytes(data: bytes) -> tuple[FileDataset, usable.PixelElement | None]:
    """Return the same of a file's bytes, all of which are at hand."""
    file = io.BytesIO(data)
    found = elements.walk(file, wanted_tags())
    if found is not None:
        return found.dataset, _element(found, file, len(data))
    from pydicom import dcmread

    dataset = dcmread(io.BytesIO(data), force=True)
    return dataset, usable.element_of(dataset)


def _element(found: elements.Found, file: BinaryIO, size: int) -> usable.PixelElement | None:
    if found.pixels not in usable.PIXEL_TAGS:
        return None
    return usable.PixelElement(
        found.length, size - found.start, usable.PIXEL_TAGS[found.pixels], file, found.start
    )  # fmt: skip


def _parse(file: BinaryIO, path: Path) -> tuple[FileDataset, usable.PixelElement | None]:
    """Leave it to pydicom, which knows big endian, deflated and old files, and forgives much."""
    from pydicom import dcmread
    from pydicom.filereader import read_partial
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    found: list[usable.PixelElement] = []
    size = path.stat().st_size

    def at_pixels(tag: int, vr: str | None, length: int) -> bool:
        if tag in usable.PIXEL_TAGS and (vr is None or vr in _PIXEL_VRS):
            start = file.tell()
            found.append(usable.PixelElement(length, size - start, usable.PIXEL_TAGS[tag], file, start))
        return bool(found)

    dataset = read_partial(file, stop_when=at_pixels, force=True, specific_tags=sorted(wanted_tags().values()))
    if tags.text(dataset.file_meta, "TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        # pydicom inflates such a file whole, so the positions found are not those of the file.
        return dataset, usable.element_of(dcmread(path, force=True))
    return dataset, found[0] if found else None


@cache
def wanted_tags() -> dict[int, BaseTag]:
    """Return the tags that Hounsfield looks at, beside the pixels, as numbers and as pydicom has them."""
    from pydicom.tag import BaseTag

    known = [tags.tag_of(keyword) for keyword in (*_WANTED, *keys.TOP_LEVEL)] + [BaseTag(tag) for tag in _PRIVATE]
    return {int(tag): tag for tag in known}
