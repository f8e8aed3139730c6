"""read_image: any file that is an image, as an Image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hounsfield.core.digest import digest_file
from hounsfield.core.image import Image
from hounsfield.errors import ReadError
from hounsfield.read.header import known_kind
from hounsfield.read.source import Source, as_source
from hounsfield.read.trouble import plain_errors


def read_image(source: Source | Path | str, *, digest: bool = True) -> Image:
    """Return the pixels of a file, or of a member of an .npz, as float32 with what they mean.

    Parameters
    ----------
    digest:
        Whether to work out the sha256 of the source, which takes a tenth of the time of an uncompressed slice.

    Raises
    ------
    ReadError
        If the file is no image, is damaged or cut short, or has no decoder here; never any other exception.
    """
    source = as_source(source)
    with plain_errors(source):
        kind = known_kind(source.path)
        if kind == "npz":
            from hounsfield.read.npz import read_member

            return read_member(source)
        if source.member is not None:
            raise ReadError("only an .npz has members", fix="Name the file alone.")
        # Imported here, so that a folder of PNGs never loads pydicom, and the other way round.
        if kind == "dicom":
            from hounsfield.read.dicom import read_dicom

            image = read_dicom(source.path)
            return replace(image, source=digest_file(source.path)) if digest else image
        if kind == "raster":
            from hounsfield.read.raster import read_raster

            return read_raster(source.path)
        from hounsfield.read.nifti import read_nifti

        return read_nifti(source.path)
