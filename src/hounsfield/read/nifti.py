"""NIfTI-1 and -2, plain, gzipped or as a pair of .hdr and .img, turned to axial slices in radiological convention.

The voxel axes of a NIfTI file may run in any of 48 ways. They are permuted and flipped, never resampled, to the way
nearest to LPS: columns run to the patient's left, rows to the back, frames to the head. So row 0 is anterior and the
patient's right is on the left of the picture, as a radiologist expects, whatever plane was scanned.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from hounsfield.core.digest import digest_file
from hounsfield.core.image import Facts, Image, Unit
from hounsfield.errors import ReadError
from hounsfield.read.finite import finite
from hounsfield.read.header import Header
from hounsfield.read.kind import nifti_version
from hounsfield.read.source import Source

if TYPE_CHECKING:
    from nibabel.arrayproxy import ArrayProxy
    from nibabel.nifti1 import Nifti1Pair

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_MILLIMETRES = {"meter": 1000.0, "mm": 1.0, "micron": 0.001}


def nifti_headers(path: Path) -> list[Header]:
    """Return the one header of a NIfTI file, its shape after turning.

    Raises
    ------
    ReadError
        For more than three dimensions, complex values, a matrix that is singular, or fewer bytes than the header
        promises (gzipped files are checked when they are read).
    """
    with _opened(path) as image:
        shape = _shape(image)
        _check_type(image)
        turn, _, spacing = _turn(image, shape)
        _check_length(image, path)
        columns, rows, frames = _turned_shape(shape, turn)
        return [Header(kind="nifti", source=Source(path), frames=frames, rows=rows, columns=columns, spacing=spacing)]


def nifti_digest(path: Path) -> str:
    """Return the sha256 of a NIfTI image's bytes; of a pair, that of both files' digests.

    Scans of one protocol often share their header to the last byte, so a pair's header alone says nothing of it.
    """
    whole = digest_file(path)
    with path.open("rb") as file:
        if not _is_pair(file.read(540)):
            return whole
    return hashlib.sha256(f"{whole}{digest_file(_voxels_of(path))}".encode()).hexdigest()


def read_nifti(path: Path) -> Image:
    """Return a NIfTI volume as an Image of axial slices (frames, rows, columns), see the top of this module.

    `scl_slope` and `scl_inter` are applied, and NaN becomes the lowest value. The unit is "arbitrary": the format has
    no modality, and guessing HU from the values would be wrong for some file. The affine is None where neither sform
    nor qform is set: then the header does not say where the patient's left is.

    Raises
    ------
    ReadError
        For what `nifti_headers` refuses, where the data ends early, and where no voxel is a number.
    """
    from nibabel.orientations import apply_orientation

    source = nifti_digest(path)
    with _opened(path) as image:
        shape = _shape(image)
        _check_type(image)
        turn, affine, spacing = _turn(image, shape)
        try:
            stored = np.asarray(_proxy(image).get_unscaled()).reshape(shape, order="F")
        except (OSError, EOFError, ValueError) as error:
            raise ReadError(
                "the voxels are incomplete: the file was cut short", fix="Copy or export it again."
            ) from error
        slope, intercept = float(_proxy(image).slope), float(_proxy(image).inter)
    unit: Unit = "arbitrary"
    value_range: tuple[float, float] | None = None
    if stored.dtype.fields:
        unit, value_range = "RGB", (0.0, 255.0)
        stored = np.stack([stored[name] for name in "RGB"], axis=-1)
    elif stored.dtype.kind in "iu":
        ends = [slope * end + intercept for end in (np.iinfo(stored.dtype).min, np.iinfo(stored.dtype).max)]
        value_range = (float(min(ends)), float(max(ends)))
    turned = apply_orientation(stored, turn)
    axes = (2, 1, 0, 3)[: turned.ndim]
    pixels = np.array(turned.transpose(axes), dtype=np.float32, order="C")
    if unit != "RGB" and slope != 1.0:
        pixels *= np.float32(slope)
    if unit != "RGB" and intercept != 0.0:
        pixels += np.float32(intercept)
    return Image(finite(pixels), unit, source, spacing, affine, Facts(value_range=value_range))


@contextmanager
def _opened(path: Path) -> Iterator[Nifti1Pair]:
    """Open by content: nibabel's own `load` goes by the name. The image reads from the file until the block ends."""
    import nibabel

    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rb") if zipped else path.open("rb") as file:
        head = file.read(540)
        file.seek(0)
        second = nifti_version(head) == 2
        if _is_pair(head):
            pair = nibabel.Nifti2Pair if second else nibabel.Nifti1Pair
            with _voxels_of(path).open("rb") as voxels:
                holders = {"header": nibabel.FileHolder(fileobj=file), "image": nibabel.FileHolder(fileobj=voxels)}
                yield pair.from_file_map(holders)
        else:
            yield (nibabel.Nifti2Image if second else nibabel.Nifti1Image).from_stream(file)


def _is_pair(head: bytes) -> bool:
    return head[344:347] == b"ni1" or head[4:7] == b"ni2"


def _voxels_of(path: Path) -> Path:
    """Return the file that holds the voxels of a header."""
    found = [place for suffix in (".img", ".IMG") if (place := path.with_suffix(suffix)) != path and place.is_file()]
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    if zipped or not found:
        raise ReadError("a NIfTI header without its .img file", fix="Convert the pair to one .nii file.")
    return found[0]


def _proxy(image: Nifti1Pair) -> ArrayProxy:
    return cast("ArrayProxy", image.dataobj)  # of images that come from a file it always is one


def _shape(image: Nifti1Pair) -> tuple[int, int, int]:
    shape = tuple(int(length) for length in image.shape)
    if len(shape) > 3 and any(length != 1 for length in shape[3:]):
        raise ReadError(f"an image of {len(shape)} dimensions, not a volume", fix="Split it into volumes.")
    if not shape or 0 in shape:
        raise ReadError("the header states no voxels")
    first, second, third = (*shape, 1, 1)[:3]
    return first, second, third


def _check_type(image: Nifti1Pair) -> None:
    dtype = image.get_data_dtype()
    if dtype.kind == "c" or (dtype.fields and len(dtype.fields) != 3):
        raise ReadError(f"voxels of a type that cannot be read: {image.header.get_value_label('datatype')}")


def _turn(image: Nifti1Pair, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray | None, tuple[float, float]]:
    """Return the turn (an orientation of nibabel), the LPS affine after it, and the spacing of rows and columns."""
    from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

    scale = _MILLIMETRES.get(image.header.get_xyzt_units()[0], 1.0)
    affine = np.diag([scale, scale, scale, 1.0]) @ image.affine
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise ReadError("the matrix from voxels to millimetres is singular", fix="Repair the header's sform or qform.")
    turn = ornt_transform(io_orientation(affine), axcodes2ornt("LPS"))
    turned = _RAS_TO_LPS @ affine @ inv_ornt_aff(turn, shape)
    columns, rows, _ = np.linalg.norm(turned[:3, :3], axis=0)
    stated = int(image.header["sform_code"]) > 0 or int(image.header["qform_code"]) > 0
    return turn, turned if stated else None, (float(rows), float(columns))


def _turned_shape(shape: tuple[int, int, int], turn: np.ndarray) -> tuple[int, int, int]:
    turned = [0, 0, 0]
    for axis, length in enumerate(shape):
        turned[int(turn[axis, 0])] = length
    return turned[0], turned[1], turned[2]


def _check_length(image: Nifti1Pair, path: Path) -> None:
    with path.open("rb") as file:
        if file.read(2) == b"\x1f\x8b":
            return
    data = path if image.header["magic"].item()[:2] == b"n+" else _voxels_of(path)
    expected = _proxy(image).offset + int(np.prod(image.shape)) * image.get_data_dtype().itemsize
    there = data.stat().st_size
    if there < expected:
        raise ReadError(f"the voxels are incomplete: {there} of {expected} bytes are there", fix="Copy it again.")
