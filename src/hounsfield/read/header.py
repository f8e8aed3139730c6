"""Header: what a file says of itself, read without decoding a pixel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hounsfield.errors import ReadError
from hounsfield.read.kind import Kind, kind_of
from hounsfield.read.source import Source
from hounsfield.read.trouble import plain_errors

NOT_AN_IMAGE = "not an image: neither DICOM, PNG, JPEG, TIFF, NIfTI nor an .npz of arrays"


@dataclass(frozen=True, slots=True)
class Block:
    """Frames of one file that follow each other in space: one volume, or one slice of a volume.

    Attributes
    ----------
    frames:
        How many; the blocks of a header add up to its frames, in their order.
    orientation:
        Direction cosines of a row and of a column (6 numbers), LPS, as the frames are turned by `read_image`; None
        where the file states none, and then the block is a list of pictures and no volume.
    origin:
        LPS position (mm) of the centre of the first pixel of the first frame.
    step:
        From one frame to the next (mm, LPS); None for one frame, or where there is no position.
    key:
        What tells this block from others of its series, by name: echo time, b-value, time…
    notes:
        What was found and is exactly represented, such as a gantry tilt.
    trouble:
        Why several frames are no volume, in plain words; None where they are.
    """

    frames: int
    orientation: tuple[float, ...] | None = None
    origin: tuple[float, float, float] | None = None
    step: tuple[float, float, float] | None = None
    key: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """One image of a file, as its header describes it. What the file does not say is None.

    Attributes
    ----------
    frames, rows, columns:
        The shape that `read_image` gives: after EXIF rotation, for NIfTI after turning to axial slices.
    sex, age:
        "F", "M" or "O"; years, from PatientAge or else from the dates of birth and study.
    study_date:
        YYYYMMDD.
    patient_id, study_uid, series_uid, sop_uid:
        As in the file, not yet hashed; left out of the printed form.
    spacing:
        Millimetres between rows, and between columns.
    blocks:
        Where the frames lie in the patient, block by block (`Block`); one block without a place for what has none.
    transfer_syntax:
        UID of the DICOM transfer syntax.
    burned_in, view:
        What BurnedInAnnotation (PS3.3 C.7.6.1.1.2) and ViewPosition (C.8.7.5) say.
    label, split:
        Only for members of an .npz: the label as text; "train", "validation" or "test".
    """

    kind: Kind
    source: Source
    frames: int
    rows: int
    columns: int
    modality: str | None = None
    body_part: str | None = None
    laterality: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    institution: str | None = field(default=None, repr=False)
    sex: str | None = None
    age: float | None = None
    study_date: str | None = field(default=None, repr=False)
    patient_id: str | None = field(default=None, repr=False)
    study_uid: str | None = field(default=None, repr=False)
    series_uid: str | None = field(default=None, repr=False)
    sop_uid: str | None = field(default=None, repr=False)
    spacing: tuple[float, float] | None = None
    instance_number: int | None = None
    transfer_syntax: str | None = None
    label: str | None = None
    split: str | None = None
    blocks: tuple[Block, ...] = ()
    burned_in: bool | None = None
    view: str | None = None


def read_headers(path: Path) -> list[Header]:
    """Return the header of every image in a file: one, or for an .npz one per member.

    Raises
    ------
    ReadError
        If the file is not an image that `read_image` could decode, with the reason: empty, unreadable, of another
        format, a DICOM object without pixels or with derived ones, cut short, or compressed in a way that nothing
        installed here can decode. Compressed pixels are counted, not decoded, so damage inside them shows later.
    """
    path = Path(path)
    with plain_errors(path):
        return _reader_of(known_kind(path))(path)


def known_kind(path: Path) -> Kind:
    """Return the kind of a file; raise ReadError where it is empty or no image."""
    kind = kind_of(path)
    if kind is None:
        raise ReadError("the file is empty" if path.stat().st_size == 0 else NOT_AN_IMAGE)
    return kind


def _reader_of(kind: Kind) -> Callable[[Path], list[Header]]:
    # Imported here, so that a folder of PNGs never loads pydicom, and the other way round.
    if kind == "dicom":
        from hounsfield.read.dicom_header import dicom_headers

        return dicom_headers
    if kind == "raster":
        from hounsfield.read.raster import raster_headers

        return raster_headers
    if kind == "nifti":
        from hounsfield.read.nifti import nifti_headers

        return nifti_headers
    from hounsfield.read.npz import npz_headers

    return npz_headers
