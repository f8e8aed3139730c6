"""How a file was made, as far as it says so: scanner settings, protocol, compression. No name, number or date of a person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hounsfield.read import tags
from hounsfield.read.kind import kind_of

if TYPE_CHECKING:
    pass

Fact = str | float | bool

# Elements that PS3.15 Annex E does not count as identifying a person, by what they hold.
_WORDS = (
    "Manufacturer", "ManufacturerModelName", "SoftwareVersions", "ImageType", "SOPClassUID", "SpecificCharacterSet",
    "ContrastBolusAgent", "ContrastBolusRoute", "ScanOptions", "ConvolutionKernel", "FilterType", "PatientPosition",
    "ViewPosition", "ScanningSequence", "SequenceVariant", "MRAcquisitionType", "ReceiveCoilName", "DetectorType", "Grid",
    "TransducerType", "PresentationIntentType", "PhotometricInterpretation", "LossyImageCompression", "BurnedInAnnotation",
    "PresentationLUTShape", "RescaleType", "BodyPartExamined",
)  # fmt: skip
_NUMBERS = (
    "KVP", "XRayTubeCurrent", "Exposure", "ExposureTime", "SliceThickness", "SpacingBetweenSlices",
    "ReconstructionDiameter", "GantryDetectorTilt", "TableHeight", "SpiralPitchFactor", "DistanceSourceToDetector",
    "MagneticFieldStrength", "EchoTime", "RepetitionTime", "FlipAngle", "InversionTime", "PixelBandwidth",
    "EchoTrainLength", "MechanicalIndex", "BitsStored", "PixelRepresentation", "RescaleIntercept", "RescaleSlope",
    "WindowCenter", "WindowWidth", "PixelPaddingValue", "SamplesPerPixel",
)  # fmt: skip
# Free text: it can predict a label, and it could hold a name. Its values must not be shown.
FREE_TEXT = ("ProtocolName", "SeriesDescription", "StudyDescription", "SequenceName")


def technical_facts(path: Path) -> dict[str, Fact]:
    """Return name → value of what a file says of its making: words, numbers; what it does not say is left out.

    DICOM elements keep their keyword as the name. Pictures tell their format and, for JPEG, the mean of the quantisation
    tables, which stands for the quality setting. The bytes per pixel are not told here, since only the caller knows the pixels.
    """
    kind = kind_of(path)
    if kind == "dicom":
        return _of_dicom(path)
    if kind == "raster":
        return _of_picture(path)
    return {"format": kind or "unknown"}


def _of_dicom(path: Path) -> dict[str, Fact]:
    from pydicom import config, dcmread

    wanted = [tags.tag_of(keyword) for keyword in (*_WORDS, *_NUMBERS, *FREE_TEXT)]
    with config.disable_value_validation():
        dataset = dcmread(path, stop_before_pixels=True, specific_tags=wanted, force=True)
        found: dict[str, Fact] = {"format": "DICOM"}
        for keyword in (*_WORDS, *FREE_TEXT):
            value = "\\".join(tags.texts(dataset, keyword)[:8]).strip("\\ ")
            if value:
                found[keyword] = value
        for keyword in _NUMBERS:
            number = tags.number(dataset, keyword)
            if number is not None:
                found[keyword] = number
        syntax = tags.text(dataset.file_meta, "TransferSyntaxUID")
        if syntax:
            found["transfer syntax"] = _name_of(syntax)
        writer = tags.text(dataset.file_meta, "ImplementationVersionName")
        if writer:
            found["written by"] = writer
    return found


def _name_of(uid: str) -> str:
    from pydicom.uid import UID

    return UID(uid).name


def _of_picture(path: Path) -> dict[str, Fact]:
    from PIL import Image

    with Image.open(path) as picture:
        found: dict[str, Fact] = {"format": str(picture.format), "colour mode": picture.mode}
        tables = getattr(picture, "quantization", None)
        if tables:
            values = [value for table in tables.values() for value in table]
            found["JPEG quantisation"] = sum(values) / len(values)
            found["progressive"] = bool(picture.info.get("progressive"))
        dots = picture.info.get("dpi")
        if dots:
            found["dots per inch"] = float(dots[0])
        found["colour profile"] = "icc_profile" in picture.info
    return found
