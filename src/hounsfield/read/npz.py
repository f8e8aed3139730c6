"""Archives of arrays in the layout of MedMNIST: `train_images`, `train_labels`, and so on.

Every image of such an array is a member, named "train/12". Nothing is ever unpickled.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from hounsfield.core.digest import digest_array
from hounsfield.core.image import Facts, Image
from hounsfield.errors import ReadError
from hounsfield.read.archive import ArrayFile, array_file, array_names, load_array
from hounsfield.read.finite import finite
from hounsfield.read.header import Header
from hounsfield.read.source import Source

_MOST_CHANNELS = 4  # a volume of so few columns is none: the last axis holds channels
_SPLITS = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}
_LAYOUT = "An .npz needs train_images (and val_images, test_images) with train_labels beside them, as in MedMNIST."


def npz_headers(path: Path) -> list[Header]:
    """Return one header per image of an archive; (N, H, W), (N, H, W, 3) and volumes (N, D, H, W) are understood.

    A last axis of 1 is the channel of a grey image, (N, H, W, 1). Colours come last: (N, 3, H, W) is three slices.

    Labels of one value per image become text; images without a labels array have none.

    Raises
    ------
    ReadError
        If there is no array of images, its shape or type is not understood, or the labels do not fit: another number
        of them, or several per image.
    """
    headers: list[Header] = []
    names = array_names(path)
    for name in _image_arrays(names):
        file = array_file(path, name)
        frames, rows, columns = _frame_shape(file)
        prefix = _prefix(name)
        labels = _labels(path, f"{prefix}labels", len(file)) if f"{prefix}labels" in names else [None] * len(file)
        part = prefix.rstrip("_")
        headers += [
            Header(
                kind="npz",
                source=Source(path, f"{part}/{index}" if part else str(index)),
                frames=frames,
                rows=rows,
                columns=columns,
                label=label,
                split=_SPLITS.get(part),
            )
            for index, label in enumerate(labels)
        ]
    return headers


def read_member(source: Source) -> Image:
    """Return one member: grey ("arbitrary") or RGB, its range that of its integer type.

    Raises
    ------
    ReadError
        If the archive is damaged or has no such member.
    """
    part, _, number = (source.member or "").rpartition("/")
    name = f"{part}_images" if part else "images"
    if not number.isdecimal() or name not in array_names(source.path):
        raise ReadError("the archive has no such member", where=source, fix='Members are named like "train/12".')
    file = array_file(source.path, name)
    _frame_shape(file)
    if int(number) >= len(file):
        raise ReadError(f"the archive ends at member {part}/{len(file) - 1}", where=source)
    try:
        stored = file.item(int(number))
    except (EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ReadError("the archive is damaged", where=source, fix="Copy or download it again.") from error
    coloured = stored.shape[-1] == 3 and stored.ndim > 2
    if stored.shape[-1] == 1 and stored.ndim > 2:
        stored = stored[..., 0]
    with np.errstate(over="ignore"):  # a double beyond the range of float32 becomes infinite, and then the lowest value
        pixels = finite(stored.astype(np.float32))
    if pixels.ndim == (3 if coloured else 2):
        pixels = pixels[np.newaxis]
    value_range: tuple[float, float] | None = None
    if stored.dtype.kind in "iu":
        info = np.iinfo(stored.dtype)
        value_range = (float(info.min), float(info.max))
    elif stored.dtype.kind == "b":
        value_range = (0.0, 1.0)
    facts = Facts(value_range=value_range)
    return Image(pixels, "RGB" if coloured else "arbitrary", digest_array(stored), facts=facts)


def _image_arrays(names: list[str]) -> list[str]:
    found = [name for name in names if name == "images" or name.endswith("_images")]
    if not found:
        raise ReadError("an .npz without an array of images", fix=_LAYOUT)
    return found


def _prefix(name: str) -> str:
    return name.removesuffix("images")


def _frame_shape(file: ArrayFile) -> tuple[int, int, int]:
    """Return frames, rows and columns of each image of an array."""
    if file.dtype.kind not in "biuf":
        raise ReadError(f"an .npz whose images are of type {file.dtype.kind!r}, not numbers", fix=_LAYOUT)
    channels = file.shape[-1] if len(file.shape) > 3 and file.shape[-1] <= _MOST_CHANNELS else None
    shape = file.shape[1:] if channels is None else file.shape[1:-1]
    if len(shape) not in (2, 3) or 0 in shape or channels not in (None, 1, 3):
        raise ReadError(f"an .npz whose images have the shape {file.shape}", fix=_LAYOUT)
    rows, columns = shape[-2:]
    return (shape[0] if len(shape) == 3 else 1), rows, columns


def _labels(path: Path, name: str, count: int) -> list[str | None]:
    labels = load_array(path, name)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise ReadError(
            f"{name} holds several values per image", fix="Give one label per image, or a table of labels beside it."
        )
    if len(labels) != count:
        raise ReadError(f"{name} holds {len(labels)} labels for {count} images", fix=_LAYOUT)
    if labels.dtype.kind == "f" and np.array_equal(labels, np.round(labels)):
        labels = labels.astype(np.int64)
    return [str(label) for label in labels.tolist()]
