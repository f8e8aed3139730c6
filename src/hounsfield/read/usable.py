"""Which DICOM objects are images that can be decoded, told without decoding: each refusal with its plain reason.

Quotes only names from the DICOM registry, never a value of the file.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, BinaryIO

from hounsfield.errors import ReadError
from hounsfield.read import codestream, decoders, tags

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

PIXEL_TAGS = {0x7FE00008: 32, 0x7FE00009: 64, 0x7FE00010: None}  # Float, Double Float and Pixel Data: fixed bits or not
UNDEFINED = 0xFFFFFFFF
_ITEM, _SEQUENCE_END = 0xE000FFFE, 0xE0DDFFFE  # group and element read as one little-endian number
# A black picture packs a thousandfold; past this size and density a header is wrong, or made to fill the memory.
_LARGE, _DENSEST = 2**28, 2_000
_LONGEST_SIDE = 2**16 - 1  # Rows and Columns have 16 bits
_RECOPY = "The file was cut short: copy or export it again."
_NOT_ACQUIRED = "Only acquired images are used; it can stay in the folder."
# Objects whose pixels are results and not what a scanner saw, by how their SOP class keyword starts or what it holds.
_DERIVED = ("Segmentation", "ParametricMap", "PresentationState", "RTDose", "RTImage", "RealWorldValueMapping")
_DERIVED_MODALITIES = frozenset(("SEG", "RTDOSE", "RTIMAGE", "RTSTRUCT", "RTPLAN", "RTRECORD", "PR", "KO", "SR", "REG"))
_PHOTOMETRIC = {1: ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"), 3: ("RGB", "YBR_")}


@dataclass(frozen=True)
class PixelElement:
    """Where the pixels of a file lie: the length its header states, and the bytes that are there from `start` on.

    `bits` are per sample where the element itself says so (Float and Double Float Pixel Data). `in_file` is false where
    the bytes were handed over by a parser, which has taken the delimiter of encapsulated pixels off.
    """

    length: int
    available: int
    bits: int | None
    file: BinaryIO
    start: int = 0
    in_file: bool = True


def element_of(dataset: Dataset) -> PixelElement | None:
    """Return the PixelElement of a data set that was read whole."""
    for tag, bits in PIXEL_TAGS.items():
        if tag in dataset:
            value = dataset[tag].value
            if not isinstance(value, (bytes, bytearray)):
                return None
            length = UNDEFINED if dataset[tag].is_undefined_length else len(value)
            return PixelElement(length, len(value), bits, io.BytesIO(value), in_file=False)
    return None


def frames_of(dataset: Dataset) -> int:
    """Return the number of frames; missing or empty means one (PS3.3 C.7.6.6 wants it only in multi-frame objects)."""
    if tags.raw(dataset, "NumberOfFrames") is None and not _stated(dataset, "NumberOfFrames"):
        return 1
    frames = tags.needed(dataset, "NumberOfFrames")
    if frames < 1:
        raise ReadError("the DICOM header states no frames")
    return frames


def transfer_syntax(dataset: FileDataset) -> str:
    """Return the transfer syntax UID, where the file names none the one it was parsed with, and record that."""
    from pydicom import uid
    from pydicom.dataset import FileMetaDataset

    if getattr(dataset, "file_meta", None) is None:
        dataset.file_meta = FileMetaDataset()
    named = tags.text(dataset.file_meta, "TransferSyntaxUID")
    if named is None:
        implicit, little = dataset.original_encoding
        guess = uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian
        dataset.file_meta.TransferSyntaxUID = guess if little else uid.ExplicitVRBigEndian
    return str(dataset.file_meta.TransferSyntaxUID)


def is_little_endian(dataset: FileDataset) -> bool:
    """Return whether values of several bytes start with the lowest."""
    return bool(dataset.original_encoding[1])


def check(dataset: FileDataset, element: PixelElement | None) -> PixelElement:
    """Refuse what cannot become an Image; return the element of what can.

    Raises
    ------
    ReadError
        For a DICOMDIR, an object without pixels, a derived object, a tiled whole-slide image, missing rows or
        columns, a colour model or transfer syntax without decoder, fewer bytes than the header promises, and a compressed
        picture of another size than the header's.
    """
    element = _check_object(dataset, element)
    rows, columns = (tags.needed(dataset, name) for name in ("Rows", "Columns"))
    if rows < 1 or columns < 1:
        raise ReadError("the DICOM header states no rows or no columns")
    frames = frames_of(dataset)
    samples = tags.whole(dataset, "SamplesPerPixel") or 1
    photometric = tags.text(dataset, "PhotometricInterpretation") or "none"
    if not photometric.startswith(_PHOTOMETRIC.get(samples, ())):
        raise ReadError(f"pixels of {samples} sample(s) in a colour model that cannot be read")
    syntax = transfer_syntax(dataset)
    decoders.require(syntax)
    bits = element.bits or tags.needed(dataset, "BitsAllocated")
    _check_bits(bits, tags.whole(dataset, "BitsStored"), encapsulated=decoders.is_encapsulated(syntax))
    size = (rows * columns * samples * frames * bits + 7) // 8
    if decoders.is_encapsulated(syntax):
        if size > _LARGE and size > _DENSEST * element.available:
            raise ReadError(
                f"the header promises {size / 2**30:.1f} GiB of pixels from {element.available} bytes", fix=_RECOPY
            )
        _check_fragments(element, frames, (rows, columns))
    else:
        halved = photometric == "YBR_FULL_422"  # two pixels share their colours (PS3.3 C.7.6.3.1.2)
        _check_length(element, size * (2 if halved else 3) // 3)
    return element


def _check_bits(allocated: int, stored: int | None, *, encapsulated: bool) -> None:
    """PS3.3 C.7.6.3 allows 1 bit or whole bytes; a decoder that is told anything else may write past its memory."""
    if allocated not in (1, 8, 16, 32, 64) or (encapsulated and allocated > 32):
        raise ReadError(f"the DICOM header states {allocated} bits allocated, which no image has")
    if stored is not None and not 1 <= stored <= allocated:
        raise ReadError(f"the DICOM header states {stored} bits stored of {allocated} allocated")


def _check_object(dataset: FileDataset, element: PixelElement | None) -> PixelElement:
    meta = getattr(dataset, "file_meta", None)
    sop_class = tags.text(dataset, "SOPClassUID") or (tags.text(meta, "MediaStorageSOPClassUID") if meta else None)
    keyword, name = _kind_of(sop_class or "")
    if keyword == "MediaStorageDirectoryStorage":
        raise ReadError(
            "a directory of files (DICOMDIR), not an image", fix="The files it lists are read by themselves."
        )
    modality = (tags.text(dataset, "Modality") or "").upper()
    known = name if keyword else (modality if modality in _DERIVED_MODALITIES else "of an unknown kind")
    if any(word in keyword for word in _DERIVED) or modality in ("SEG", "RTDOSE", "RTIMAGE"):
        raise ReadError(f"a derived object, not an acquired image: {known}", fix=_NOT_ACQUIRED)
    if element is None:
        if _stated(dataset, "Rows") or "Image" in keyword:
            raise ReadError("a DICOM image without its pixels", fix=_RECOPY)
        raise ReadError(f"a DICOM object without pixels: {known}", fix=_NOT_ACQUIRED)
    if tags.number(dataset, "TotalPixelMatrixColumns") is not None and frames_of(dataset) > 1:
        raise ReadError("a tiled whole-slide image: its frames are tiles, not slices", fix="Export regions as images.")
    return element


@cache
def _kind_of(sop_class: str) -> tuple[str, str]:
    """Return keyword and name of a SOP class, both "" for one that is not in the registry."""
    from pydicom.uid import UID

    kind = UID(sop_class)
    return (kind.keyword, kind.name) if kind.keyword else ("", "")


def _check_length(element: PixelElement, expected: int) -> None:
    if element.length == UNDEFINED:
        raise ReadError("compressed pixels under a transfer syntax for uncompressed ones")
    there = min(element.length, element.available)
    if there < expected:
        raise ReadError(f"the pixels are incomplete: {there} of {expected} bytes are there", fix=_RECOPY)


def _check_fragments(element: PixelElement, frames: int, size: tuple[int, int]) -> None:
    """Walk the items of encapsulated pixels (PS3.5 A.4) by their lengths, looking only at how each picture starts."""
    position, end = element.start, element.start + element.available
    fragments = -1  # the first item is the offset table
    closed = not element.in_file
    while position + 4 <= end:
        element.file.seek(position)
        tag, length = struct.unpack("<II", element.file.read(8).ljust(8, b"\0"))
        if tag == _SEQUENCE_END:
            closed = True
            break
        if tag != _ITEM:
            raise ReadError("the compressed pixels are damaged", fix=_RECOPY)
        if fragments >= 0:
            _check_picture(element.file.read(min(length, codestream.HEAD)), size)
        position += 8 + length
        fragments += 1
    if position > end or not closed:
        raise ReadError("the compressed pixels are incomplete", fix=_RECOPY)
    if fragments < frames:
        raise ReadError(f"the compressed pixels hold {max(fragments, 0)} of {frames} frames", fix=_RECOPY)


def _check_picture(head: bytes, size: tuple[int, int]) -> None:
    """A decoder takes its memory by the size that the picture itself states; it must be the header's."""
    stated = codestream.size_of(head)
    if stated is not None and stated != size:
        if min(stated) < 1 or max(stated) > _LONGEST_SIDE:
            raise ReadError("the compressed picture states an impossible size", fix=_RECOPY)
        raise ReadError(
            f"the compressed picture has {stated[0]}×{stated[1]} pixels, the header says {size[0]}×{size[1]}",
            fix=_RECOPY,
        )


def _stated(dataset: Dataset, keyword: str) -> bool:
    """Return whether an element is there with a value, even one that cannot be parsed."""
    from pydicom.datadict import tag_for_keyword

    tag = tag_for_keyword(keyword)
    found = dataset.get_item(tag) if tag is not None and tag in dataset else None
    return found is not None and found.value not in (None, b"", "")
