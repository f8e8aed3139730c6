"""TIFF and BigTIFF through tifffile: which pages are frames, and the pixels that are deeper than 8 bits.

Pillow reduces 16-bit colours to 8 bits, takes signed bytes for unsigned ones, lets large 32-bit numbers overflow, and
does not open half or double floats; tifffile does none of that. Pillow stays for 8 bits and fewer, where it knows more
colour models.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hounsfield.errors import ReadError

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

_VARIANT = 0b101  # NewSubfileType: a reduced copy of another page, or a mask for one (TIFF 6.0, section 8)
_ORIENTATION = 274
_SIDEWAYS = (5, 6, 7, 8)
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_PREMULTIPLIED, _ALPHA = 1, 2  # ExtraSamples
_WORD_BITS = 16


@contextmanager
def opened_tiff(path: Path) -> Iterator[list[TiffPage]]:
    """Give the pages of a TIFF that are frames; thumbnails and masks that are marked as such are left out.

    Raises
    ------
    ReadError
        If the file is damaged, or its chain of pages is cut: tifffile would give the first pages and drop the rest.
    """
    import tifffile

    quiet = _Quiet()
    tifffile.logger().addFilter(quiet)  # its warnings quote tags, and a tag may hold a name
    try:
        with tifffile.TiffFile(path, is_ome=False) as file:  # OME may point to other files
            pages = [page.aspage() for page in file.pages]
            _check_chain(file, pages)
            frames = [page for page in pages if not int(page.subfiletype) & _VARIANT]
            yield frames or pages[:1]
    except tifffile.TiffFileError as error:
        raise ReadError("the TIFF file is damaged or cut short", fix="Copy or export it again.") from error
    finally:
        tifffile.logger().removeFilter(quiet)


def page_size(page: TiffPage) -> tuple[int, int]:
    """Return rows and columns after the orientation tag."""
    rows, columns = page.imagelength, page.imagewidth
    return (columns, rows) if _orientation(page) in _SIDEWAYS else (rows, columns)


def is_shallow(page: TiffPage) -> bool:
    """Say whether Pillow decodes the page as it is: at most 8 bits, unsigned, and not in a big-endian BigTIFF."""
    bits = page.bitspersample
    stored = page.dtype is None or page.dtype.kind in "ub"
    return bits <= 8 and stored and not (page.parent.is_bigtiff and page.parent.byteorder == ">")


def deep_pixels(page: TiffPage) -> tuple[np.ndarray, float | None, bool]:
    """Return one page as (height, width) or (height, width, 3), the greatest value of its type, and if white is zero.

    The greatest value is None for signed numbers, for more than 16 bits and for floats: such a type says nothing of
    the range that is meant.

    Raises
    ------
    ReadError
        If the page is damaged, or neither grey nor RGB (with or without alpha).
    """
    samples, photometric = page.samplesperpixel, int(page.photometric)
    extra = tuple(int(kind) for kind in page.extrasamples)
    wanted = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3}.get(photometric)
    see_through = extra in ((_PREMULTIPLIED,), (_ALPHA,))
    known = wanted is not None and samples == wanted + (1 if see_through else 0)
    if page.dtype is None or page.dtype.kind not in "uif" or page.imagedepth > 1 or not known:
        raise ReadError("a TIFF of a variant that cannot be read", fix="Save it as PNG, or as grey or RGB TIFF.")
    if not all(page.databytecounts):  # tifffile would fill such a strip with zeros
        raise ReadError("parts of the image are missing", fix="Export it again.")
    try:
        pixels = page.asarray(maxworkers=1)
    except MemoryError:
        raise
    except Exception as error:
        raise ReadError("the image is damaged or cut short", fix="Copy or export it again.") from error
    if samples > 1 and pixels.shape[0] == samples and pixels.shape[-1] != samples:
        pixels = np.moveaxis(pixels, 0, -1)  # stored plane by plane
    top = float((1 << page.bitspersample) - 1) if page.dtype.kind == "u" and page.bitspersample <= _WORD_BITS else None
    if see_through:
        pixels = on_black(pixels, top or 1.0) if extra == (_ALPHA,) else pixels[..., :-1]
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    return turned(pixels, _orientation(page)), top, photometric == _WHITE_IS_ZERO


def on_black(pixels: np.ndarray, top: float) -> np.ndarray:
    """Lay (height, width, channels) whose last channel is alpha, opaque at `top`, on the black of a viewer."""
    colours = pixels[..., :-1] * (pixels[..., -1:] / np.float64(top))
    return np.round(colours).astype(pixels.dtype) if pixels.dtype.kind in "ui" else colours


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn (height, width, …) as the orientation tag of TIFF and EXIF says; 1 and unknown numbers change nothing."""
    if orientation in _SIDEWAYS:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


class _Quiet(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return False


def _orientation(page: TiffPage) -> int:
    tag = page.tags.get(_ORIENTATION)
    return int(tag.value) if tag is not None else 1


def _check_chain(file: TiffFile, pages: list[TiffPage]) -> None:
    """Refuse where the last page that could be read names a next one, or an ImageJ stack hides frames behind one page."""
    cut = ReadError("the TIFF file is damaged or cut short: pages are missing", fix="Copy or export it again.")
    if not pages:
        raise cut
    form, start = file.tiff, pages[-1].offset
    file.filehandle.seek(start)
    count = struct.unpack(form.tagnoformat, file.filehandle.read(form.tagnosize))[0]
    file.filehandle.seek(start + form.tagnosize + count * form.tagsize)
    if any(file.filehandle.read(form.offsetsize)):
        raise cut
    stated = (file.imagej_metadata or {}).get("images", 1)
    if int(stated) > len(pages):
        raise ReadError(
            "an ImageJ stack without a page for each frame", fix="Save it as an ordinary TIFF, or as NIfTI."
        )
