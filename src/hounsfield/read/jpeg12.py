"""A plugin for pydicom: 12-bit JPEG Extended (process 4) through imagecodecs, which GDCM and Pillow cannot decode.

pydicom finds `is_available`, `DECODER_DEPENDENCIES` and `_decode_frame` by these names
(see its guide "Creating a decoder plugin").
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from pydicom.uid import JPEGExtended12Bit

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import DecodeRunner

DECODER_DEPENDENCIES = {JPEGExtended12Bit: ("imagecodecs>=2024.6.1",)}


def is_available(uid: str) -> bool:
    """Return whether this plugin decodes a transfer syntax here."""
    return uid in DECODER_DEPENDENCIES and find_spec("imagecodecs") is not None


def _decode_frame(source: bytes, runner: DecodeRunner) -> bytes:
    """Return the samples of one frame, colour by pixel, little endian."""
    from imagecodecs import jpeg8_decode

    frame = jpeg8_decode(source)
    if not runner.pixel_representation:
        # Lossy values overshoot; past the bits in use, pydicom would cut the upper bits off and turn white into black.
        frame = np.minimum(frame, 2**runner.bits_stored - 1)
    runner.set_option("bits_allocated", 8 * frame.dtype.itemsize)
    if frame.ndim == 3:
        # imagecodecs turns YBR into RGB by itself, and puts the colours of a pixel side by side.
        runner.set_option("planar_configuration", 0)
        runner.set_option("photometric_interpretation", "RGB")
    return frame.astype(frame.dtype.newbyteorder("<"), copy=False).tobytes()
