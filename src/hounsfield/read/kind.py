"""What a file is, told from its first bytes and never from its name."""

from __future__ import annotations

import gzip
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Literal

Kind = Literal["dicom", "raster", "nifti", "npz"]

_RASTER = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",  # JPEG
    b"II*\x00",  # TIFF, little endian
    b"MM\x00*",
    b"II+\x00",  # BigTIFF
    b"MM\x00+",
)
# PS3.5 6.2: every value representation, for files that start with an explicit VR but without a preamble.
_VRS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()
)
# The first element of a bare data set is short (a group length, a character set, a UID); a longer one is another file.
_LONGEST_FIRST_ELEMENT = 1024


def kind_of(path: Path) -> Kind | None:
    """Return which reader a file needs, or None where no reader here knows it.

    DICOM is known by "DICM" at byte 128 (PS3.10 7.1), or, without a preamble, by a plausible first element of group
    0002 or 0008 in either byte order. NIfTI (plain or gzipped) is known by the size and magic of its header, an .npz
    by the names in its zip directory (`holds_arrays`). An archive of images is no image itself: see `unpack`.

    Raises
    ------
    OSError
        If the file cannot be opened.
    """
    path = Path(path)
    with path.open("rb") as file:
        head = file.read(540)
    # DICM comes first: the preamble may hold a TIFF header, so that one file serves both kinds of reader.
    if head[128:132] == b"DICM":
        return "dicom"
    if head.startswith(_RASTER):
        return "raster"
    if head.startswith(b"PK\x03\x04"):
        return "npz" if holds_arrays(zip_names(path)) else None
    if head.startswith(b"\x1f\x8b"):
        return "nifti" if nifti_version(_unzipped_head(path)) else None
    if nifti_version(head):
        return "nifti"
    return "dicom" if _bare_dicom(head, path.stat().st_size) else None


def nifti_version(head: bytes) -> Literal[1, 2] | None:
    """Return the version of the NIfTI header that `head` (540 bytes) starts with, or None.

    Analyze 7.5 shares the size 348 but not the magic; it is not NIfTI and does not say which side is left.
    """
    if len(head) < 348:
        return None
    sizes = {struct.unpack(order + "i", head[:4])[0] for order in "<>"}
    if 348 in sizes and head[344:348] in (b"n+1\x00", b"ni1\x00"):
        return 1
    if 540 in sizes and head[4:7] in (b"n+2", b"ni2"):
        return 2
    return None


def _unzipped_head(path: Path) -> bytes:
    try:
        with gzip.open(path, "rb") as file:
            return file.read(540)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return b""


def zip_names(path: Path) -> list[str]:
    """Return the names in a zip's directory, folders left out; none where it is damaged or no zip."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [name for name in archive.namelist() if not name.endswith("/")]
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error):
        return []


def holds_arrays(names: list[str]) -> bool:
    """Say whether the names in a zip are those of an .npz: arrays and nothing else, or the arrays that `npz` reads.

    One stray .npy among a thousand DICOM files does not make an .npz.
    """
    arrays = [name for name in names if name.endswith(".npy")]
    images = [name for name in arrays if name == "images.npy" or (name.endswith("_images.npy") and "/" not in name)]
    return bool(images) or (bool(arrays) and len(arrays) == len(names))


def _bare_dicom(head: bytes, size: int) -> bool:
    if len(head) < 16:
        return False
    for order in "<>":
        group, element, short = struct.unpack(order + "HH2xH", head[:8])
        if group not in (0x0002, 0x0008) or element > 0x1200:
            continue
        if head[4:6] in _VRS:
            return short <= min(_LONGEST_FIRST_ELEMENT, size)
        # Implicit VR exists in little endian only (PS3.5 A.1).
        length = struct.unpack("<I", head[4:8])[0]
        if order == "<" and length <= min(_LONGEST_FIRST_ELEMENT, size) and length % 2 == 0:
            return True
    return False
