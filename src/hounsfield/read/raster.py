"""PNG, JPEG and TIFF through Pillow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hounsfield.core.digest import digest_file
from hounsfield.core.image import Facts, Image
from hounsfield.errors import ReadError
from hounsfield.read.header import Header
from hounsfield.read.source import Source

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_FORMATS = ("PNG", "JPEG", "TIFF")
_EXIF_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)
_PHOTOMETRIC = 262
_WHITE_IS_ZERO = 0
_BYTE = (0.0, 255.0)
_WORD = (0.0, 65535.0)


def raster_headers(path: Path) -> list[Header]:
    """Return the one header of a raster file; the pages of a TIFF are its frames.

    Raises
    ------
    ReadError
        If Pillow does not know the file, or it is so large that it looks like a decompression bomb.
    """
    with _opened(path) as picture:
        sizes = [_turned_size(page) for page in _pages(picture)]
        _check_sizes(sizes)
        rows, columns = sizes[0]
        return [Header(kind="raster", source=Source(path), frames=len(sizes), rows=rows, columns=columns)]


def read_raster(path: Path) -> Image:
    """Return a raster file as an Image: grey ("arbitrary", 0–255 or 0–65535) or RGB (0–255).

    The EXIF orientation is applied. A file in colours whose three channels are equal everywhere is grey, as most
    exported radiographs are. 1 bit becomes 0 and 255. Transparency is laid on black, the background of a viewer; where
    it is fully opaque that changes nothing. Pillow reduces 16-bit RGB to 8 bits. An animated PNG or a second picture
    inside a JPEG is a preview or a variant, not a frame, and is left out.

    Raises
    ------
    ReadError
        If the file is damaged, too large, in a mode that Pillow cannot decode, or has pages of different sizes.
    """
    source = digest_file(path)
    with _opened(path) as picture:
        inverted = picture.mode.startswith(("I", "F")) and _white_is_zero(picture)
        try:
            decoded = [_pixels(page) for page in _pages(picture)]
        except (OSError, SyntaxError) as error:
            raise ReadError("the image is damaged or cut short", fix="Copy or export it again.") from error
    _check_sizes([pixels.shape[:2] for pixels, _ in decoded])
    ranges = {value_range for _, value_range in decoded}
    if len(ranges) > 1:
        raise ReadError("the pages of the file differ in depth", fix="Save each page as a file of its own.")
    coloured = any(pixels.ndim == 3 for pixels, _ in decoded)
    frames = np.stack([_with_channels(pixels) if coloured else pixels for pixels, _ in decoded]).astype(np.float32)
    if coloured and np.array_equal(frames[..., 0], frames[..., 1]) and np.array_equal(frames[..., 0], frames[..., 2]):
        frames, coloured = np.ascontiguousarray(frames[..., 0]), False
    facts = Facts(inverted=inverted, value_range=ranges.pop())
    return Image(frames, "RGB" if coloured else "arbitrary", source, facts=facts)


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
        limit = 2 * (pillow.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise ReadError(f"the image has more than {limit} million pixels", fix="Export it smaller.") from error
    except UnidentifiedImageError as error:
        raise ReadError(
            "the image is damaged or of a variant that Pillow cannot decode", fix="Save it as PNG."
        ) from error


def _pages(picture: Picture) -> Iterator[Picture]:
    for number in range(getattr(picture, "n_frames", 1) if picture.format == "TIFF" else 1):
        picture.seek(number)
        yield picture


def _turned_size(page: Picture) -> tuple[int, int]:
    """Return rows and columns after the EXIF orientation; for TIFF Pillow has swapped them already."""
    columns, rows = page.size
    sideways = page.format != "TIFF" and page.getexif().get(_EXIF_ORIENTATION) in _SIDEWAYS
    return (columns, rows) if sideways else (rows, columns)


def _check_sizes(sizes: list[tuple[int, int]]) -> None:
    if len(set(sizes)) > 1:
        raise ReadError("the pages of the file differ in size", fix="Save each page as a file of its own.")


def _pixels(page: Picture) -> tuple[np.ndarray, tuple[float, float] | None]:
    """Return one page as (height, width) or (height, width, 3), and the range that its type allows."""
    from PIL import ImageOps

    page.load()
    page = ImageOps.exif_transpose(page)
    mode = page.mode
    if mode.startswith("I;16"):
        return np.asarray(page).astype(np.uint16), _WORD
    if mode in ("I", "F"):
        # Older versions of Pillow open 16-bit PNG as 32-bit integers.
        return np.asarray(page), _WORD if mode == "I" and page.format == "PNG" else None
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in page.info:
        return _on_black(np.asarray(page.convert("RGBA"), dtype=np.float32)), _BYTE
    if mode in ("1", "L"):
        return np.asarray(page.convert("L")), _BYTE
    return np.asarray(page.convert("RGB")), _BYTE


def _on_black(pixels: np.ndarray) -> np.ndarray:
    return np.round(pixels[..., :3] * (pixels[..., 3:] / 255.0))


def _with_channels(pixels: np.ndarray) -> np.ndarray:
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., np.newaxis], 3, axis=-1)


def _white_is_zero(picture: Picture) -> bool:
    """Pillow turns 1- and 8-bit TIFFs with white at zero round, but not deeper ones."""
    found = getattr(picture, "tag_v2", {}).get(_PHOTOMETRIC)
    return found == _WHITE_IS_ZERO
