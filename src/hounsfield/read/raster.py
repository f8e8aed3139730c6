"""PNG, JPEG and TIFF: 8 bits through Pillow; 16-bit PNG through imagecodecs and deeper TIFF through tifffile."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hounsfield.core.digest import digest_file
from hounsfield.core.image import Facts, Image
from hounsfield.errors import ReadError
from hounsfield.read.finite import finite
from hounsfield.read.header import Header
from hounsfield.read.source import Source
from hounsfield.read.tiff import deep_pixels, is_shallow, on_black, opened_tiff, page_size, turned

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_FORMATS = ("PNG", "JPEG", "TIFF")
_EXIF_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)
_BYTE, _WORD = 255.0, 65535.0
_DEPTH_AT = 24  # in a PNG: signature, length and name of IHDR, width, height, and then the bits per sample


@dataclass(frozen=True)
class _Page:
    """Pixels (height, width) or (height, width, 3), the greatest value of their type if it means something."""

    pixels: np.ndarray
    top: float | None = _BYTE
    white_is_zero: bool = False


def raster_headers(path: Path) -> list[Header]:
    """Return the one header of a raster file; the pages of a TIFF are its frames.

    Raises
    ------
    ReadError
        If the file is damaged or unknown, its pages differ in size, or it is so large that it looks like a
        decompression bomb.
    """
    if _is_tiff(path):
        with opened_tiff(path) as pages:
            sizes = [page_size(page) for page in pages]
    else:
        with _opened(path) as picture:
            sizes = [_turned_size(path, picture)]
    _check_sizes(sizes)
    rows, columns = sizes[0]
    return [Header(kind="raster", source=Source(path), frames=len(sizes), rows=rows, columns=columns)]


def read_raster(path: Path) -> Image:
    """Return a raster file as an Image: grey ("arbitrary") or RGB.

    Grey keeps the values of the file, its range that of the bits stored (0 to 255, 4095, 65535…), or None where they
    are signed, floats or more than 16. RGB is 0 to 255 whatever its depth, as from DICOM; 16 bits become fractions and
    lose nothing. RGB in floats stays as it is. 1, 2 and 4 bits are spread over 0 to 255.

    The orientation tag is applied. A file in colours whose three channels are equal everywhere is grey, as most
    exported radiographs are. Transparency is laid on black, the background of a viewer; where it is fully opaque that
    changes nothing. White at zero is turned round for 8 bits and fewer; deeper, `facts.inverted` says it. NaN becomes
    the lowest value. An animated PNG, a second picture inside a JPEG, and pages of a TIFF that are marked as
    thumbnails or masks are previews or variants, not frames, and are left out.

    Raises
    ------
    ReadError
        If the file is damaged, too large, of a variant that cannot be decoded, or has pages of different sizes.
    """
    source = digest_file(path)
    pages = _tiff_pages(path) if _is_tiff(path) else [_picture_page(path)]
    _check_sizes([page.pixels.shape[:2] for page in pages])
    tops, inverted = {page.top for page in pages}, {page.white_is_zero for page in pages}
    if len(tops) > 1 or len(inverted) > 1:
        raise ReadError("the pages of the file differ in depth", fix="Save each page as a file of its own.")
    top = tops.pop()
    coloured = any(page.pixels.ndim == 3 for page in pages)
    stored = np.stack([_with_channels(page.pixels) if coloured else page.pixels for page in pages])
    if coloured and np.array_equal(stored[..., 0], stored[..., 1]) and np.array_equal(stored[..., 0], stored[..., 2]):
        stored, coloured = stored[..., 0], False
    with np.errstate(over="ignore"):  # a double beyond the range of float32 becomes infinite, and then the lowest value
        frames = finite(np.ascontiguousarray(stored, dtype=np.float32))
    if coloured and top not in (None, _BYTE):
        frames *= np.float32(_BYTE / top)
        top = _BYTE
    facts = Facts(inverted=inverted.pop(), value_range=None if top is None else (0.0, top))
    return Image(frames, "RGB" if coloured else "arbitrary", source, facts=facts)


def _is_tiff(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) in (b"II", b"MM")


def _tiff_pages(path: Path) -> list[_Page]:
    with opened_tiff(path) as pages:
        _check_sizes([page_size(page) for page in pages])
        if not all(is_shallow(page) for page in pages):
            return [_Page(*deep_pixels(page)) for page in pages]
        numbers = [page.index for page in pages]
    with _opened(path) as picture:
        return [_decoded(picture, number) for number in numbers]


def _picture_page(path: Path) -> _Page:
    with path.open("rb") as file:
        head = file.read(_DEPTH_AT + 1)
    with _opened(path) as picture:
        if head.startswith(b"\x89PNG") and head[_DEPTH_AT:] == b"\x10":
            return _deep_png(path, picture)
        return _decoded(picture)


def _deep_png(path: Path, picture: Picture) -> _Page:
    """Decode 16 bits a sample, which Pillow cuts to 8 unless the picture is plain grey."""
    import imagecodecs

    try:
        orientation = picture.getexif().get(_EXIF_ORIENTATION, 1)
        pixels = np.asarray(imagecodecs.png_decode(path.read_bytes()))
    except (imagecodecs.PngError, OSError, SyntaxError) as error:
        raise _cut_short() from error
    if pixels.ndim == 3 and pixels.shape[-1] in (2, 4):
        pixels = on_black(pixels, _WORD)
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    return _Page(turned(pixels, orientation), _WORD)


def _decoded(picture: Picture, number: int = 0) -> _Page:
    try:
        picture.seek(number)
        return _Page(_pixels(picture))
    except (OSError, SyntaxError, EOFError) as error:
        raise _cut_short() from error


def _cut_short() -> ReadError:
    return ReadError("the image is damaged or cut short", fix="Copy or export it again.")


@contextmanager
def _opened(path: Path) -> Iterator[Picture]:
    from PIL import Image as pillow
    from PIL import UnidentifiedImageError

    try:
        # By an open file and not by name: given a name, Pillow 13 maps uncompressed TIFFs into memory, and then
        # scrambles those that an orientation tag turns on their side.
        with path.open("rb") as file, pillow.open(file, formats=_FORMATS) as picture:
            yield picture
    except pillow.DecompressionBombError as error:
        raise _too_large() from error
    except UnidentifiedImageError as error:
        raise ReadError(
            "the image is damaged or of a variant that Pillow cannot decode", fix="Save it as PNG."
        ) from error


def _turned_size(path: Path, picture: Picture) -> tuple[int, int]:
    """Return rows and columns after the EXIF orientation."""
    columns, rows = picture.size
    # For a PNG, Pillow decodes all pixels to see whether an orientation follows them; most have none at all.
    if picture.format == "PNG" and not _has_exif(path):
        return rows, columns
    return (columns, rows) if picture.getexif().get(_EXIF_ORIENTATION) in _SIDEWAYS else (rows, columns)


def _has_exif(path: Path) -> bool:
    """Step over the chunks of a PNG, looking for eXIf, or text in which older software keeps the same."""
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind in (b"eXIf", b"zTXt", b"tEXt", b"iTXt"):
                return True
            if kind == b"IEND":
                return False
            file.seek(length + 4, 1)
    return False


def _check_sizes(sizes: list[tuple[int, int]]) -> None:
    from PIL import Image as pillow

    if len(set(sizes)) > 1:
        raise ReadError("the pages of the file differ in size", fix="Save each page as a file of its own.")
    if pillow.MAX_IMAGE_PIXELS and sizes[0][0] * sizes[0][1] > 2 * pillow.MAX_IMAGE_PIXELS:
        raise _too_large()


def _too_large() -> ReadError:
    from PIL import Image as pillow

    limit = 2 * (pillow.MAX_IMAGE_PIXELS or 0) // 1_000_000
    return ReadError(f"the image has more than {limit} million pixels", fix="Export it smaller.")


def _pixels(picture: Picture) -> np.ndarray:
    """Return a picture of at most 8 bits as (height, width) or (height, width, 3), 0 to 255."""
    from PIL import ImageOps

    picture.load()
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        return on_black(np.asarray(picture.convert("RGBA")), _BYTE)
    return np.asarray(picture.convert("L" if picture.mode in ("1", "L") else "RGB"))


def _with_channels(pixels: np.ndarray) -> np.ndarray:
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., np.newaxis], 3, axis=-1)
