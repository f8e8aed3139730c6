"""Which compressions of DICOM pixels can be decoded here, by what, and what to install for the rest."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from hounsfield.errors import ReadError

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import Decoder

_PYLIBJPEG = "pylibjpeg pylibjpeg-openjpeg"
# What to install per transfer syntax, permissive licences only: pylibjpeg-libjpeg is GPL-3 and so is left out.
_INSTALL = {
    "JPEGBaseline8Bit": "python-gdcm",
    "JPEGExtended12Bit": "imagecodecs",
    "JPEGLossless": "python-gdcm",
    "JPEGLosslessSV1": "python-gdcm",
    "JPEGLSLossless": "pyjpegls",
    "JPEGLSNearLossless": "pyjpegls",
    "JPEG2000Lossless": _PYLIBJPEG,
    "JPEG2000": _PYLIBJPEG,
    "HTJ2KLossless": _PYLIBJPEG,
    "HTJ2KLosslessRPCL": _PYLIBJPEG,
    "HTJ2K": _PYLIBJPEG,
}


# pydicom's plugins in the order in which they are tried, where its own order is slow or dangerous: GDCM takes two cores
# for JPEG 2000 and gets no further than others with one, and it ends the whole process on damaged JPEG streams. For JPEG-LS
# it stays as the second: CharLS in pyjpegls refuses some files that it reads.
_ORDER = {
    "RLELossless": ("pylibjpeg", "pydicom"),
    "JPEGBaseline8Bit": ("pillow", "pylibjpeg", "gdcm"),
    "JPEGExtended12Bit": ("pillow", "imagecodecs", "pylibjpeg", "gdcm"),
    "JPEGLSLossless": ("pyjpegls", "gdcm"),
    "JPEGLSNearLossless": ("pyjpegls", "gdcm"),
    "JPEG2000Lossless": ("pylibjpeg", "pillow", "gdcm"),
    "JPEG2000": ("pylibjpeg", "pillow", "gdcm"),
}
# These are asked even where the ones before them failed; others only where those are not installed.
_SECOND_TRY = frozenset(("JPEGLSLossless", "JPEGLSNearLossless", "JPEGExtended12Bit"))


@cache
def plugins_for(syntax: str) -> tuple[str, ...]:
    """Return the plugins to try for a transfer syntax (its UID), the first first; "" stands for pydicom's own choice."""
    for decoder in _decoders():
        if syntax == decoder.UID:
            there = decoder.available_plugins
            known = tuple(name for name in _ORDER.get(decoder.UID.keyword, ()) if name in there)
            if known:
                return known if decoder.UID.keyword in _SECOND_TRY else known[:1]
    return ("",)


@cache
def register() -> None:
    """Give pydicom our decoder for 12-bit JPEG, and keep GDCM's own messages off the screen. Once per process."""
    from pydicom.pixels.decoders import JPEGExtended12BitDecoder

    JPEGExtended12BitDecoder.add_plugin("imagecodecs", ("hounsfield.read.jpeg12", "_decode_frame"))
    try:
        import gdcm
    except ImportError:
        return
    gdcm.Trace.WarningOff()
    gdcm.Trace.ErrorOff()


def decoder_table() -> list[dict[str, str | list[str] | bool]]:
    """Return one row per transfer syntax: `name`, `uid`, `available`, `plugins` and `install`.

    `plugins` are those found here, in the order in which they are tried; an uncompressed syntax needs none and lists
    "built in". `install` is what to `pip install` where nothing decodes the syntax, else "".
    """
    rows: list[dict[str, str | list[str] | bool]] = []
    for decoder in _decoders():
        plugins = [name for name in plugins_for(str(decoder.UID)) if name] or list(decoder.available_plugins)
        if decoder.is_available and not plugins:
            plugins = ["built in"]
        install = "" if decoder.is_available else _INSTALL.get(decoder.UID.keyword, "")
        rows.append(
            {
                "name": decoder.UID.name,
                "uid": str(decoder.UID),
                "available": bool(decoder.is_available),
                "plugins": plugins,
                "install": install,
            }
        )
    return rows


@cache
def require(syntax: str) -> None:
    """Check that pixels in a transfer syntax (its UID) can be decoded.

    Raises
    ------
    ReadError
        Where no decoder exists (video, private syntaxes), or none is installed; then with what to install.
    """
    from pydicom.uid import UID

    known = UID(syntax)
    for decoder in _decoders():
        if known == decoder.UID:
            if decoder.is_available:
                return
            packages = _INSTALL.get(known.keyword, "")
            raise ReadError(f"no decoder is installed for {known.name}", fix=f"Run: pip install {packages}")
    name = known.name if known.keyword else "a private or unknown one"
    raise ReadError(f"the transfer syntax is not supported: {name}", fix="Export the image uncompressed.")


@cache
def is_encapsulated(syntax: str) -> bool:
    """Return whether pixels lie in fragments (PS3.5 A.4); deflated data sets do not."""
    from pydicom.uid import UID

    return bool(UID(syntax).is_encapsulated)


@cache
def _decoders() -> tuple[Decoder, ...]:
    from pydicom.pixels import decoders

    register()
    return tuple(value for name, value in vars(decoders).items() if name.endswith("Decoder"))
