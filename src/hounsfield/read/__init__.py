"""The room where files become Images: DICOM, PNG, JPEG, TIFF, NIfTI and .npz, each decoded behind one door."""

from hounsfield.read.decoders import decoder_table
from hounsfield.read.header import Header, read_headers
from hounsfield.read.image import read_image
from hounsfield.read.kind import kind_of
from hounsfield.read.series import Runs, Series, read_series, runs_of, same_pictures
from hounsfield.read.source import Source
from hounsfield.read.workers import each

__all__ = [
    "Header", "Runs", "Series", "Source", "decoder_table", "each", "kind_of", "read_headers", "read_image", "read_series", "runs_of",
    "same_pictures",
]  # fmt: skip
