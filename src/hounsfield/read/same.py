"""Whether two DICOM files hold the same picture, told without decoding it."""

from __future__ import annotations

from hashlib import sha256

from hounsfield.read import tags, usable
from hounsfield.read.dataset import open_bytes
from hounsfield.read.source import Source, as_source
from hounsfield.read.trouble import plain_errors

# What decides the values, beside the stored bytes.
_DECISIVE = (
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "RescaleSlope", "RescaleIntercept",
)  # fmt: skip


def picture_mark(source: Source) -> str:
    """Return a mark that two DICOM files share if their stored pixels and what decides their values are equal.

    The same picture under two compressions has two marks: only what is certainly equal counts as equal.

    Raises
    ------
    ReadError
        If the file is no image.
    """
    with plain_errors(as_source(source)):
        data = source.path.read_bytes()
        dataset, element = open_bytes(data)
        element = usable.check(dataset, element)
        known = [usable.transfer_syntax(dataset), *("/".join(tags.texts(dataset, name)) for name in _DECISIVE)]
        element.file.seek(element.start)
        size = element.available if element.length == usable.UNDEFINED else min(element.length, element.available)
        return sha256("|".join(known).encode() + element.file.read(size)).hexdigest()
