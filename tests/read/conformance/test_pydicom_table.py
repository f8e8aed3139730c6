"""Every DICOM file of pydicom's two collections, by name: it reads, with values equal to pydicom's, or why it does not.

`pydicom_files.csv` is the table. Its columns: `pixels`, whether pydicom finds a pixel element; the shape and unit that
`read_image` gives; `turned`, how the picture was brought to the display convention (empty: not at all); `difference`
from pydicom's values, by the last decoder that pydicom has for the file where `read_image` takes the first, lossy files
included (two decoders of one standard give the same numbers here): 0, "float32" where a fractional rescale is rounded to
24 bits, or "no reference" where pydicom has no decoder (12-bit JPEG, compared with DCMTK in test_dcmtk.py); `refused`,
the reason in the reader's words.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
import pytest

from hounsfield.errors import ReadError
from hounsfield.read import decoder_table, read_headers, read_image
from tests.read.conformance.independent import (
    collections,
    padding_of,
    parsed,
    plugins_for,
    pydicom_values,
    turn_between,
)

TABLE = list(csv.DictReader(Path(__file__).with_name("pydicom_files.csv").read_text().splitlines()))
WRITTEN_FOR = "3.0."  # the pydicom whose files the table names
ROUNDED = 2.0**-22  # of the largest value: two roundings to float32's 24 bits
BAR, COUNTED = 154, 162


@dataclass(frozen=True)
class Record:
    """What became of one file, and how it compares with pydicom; of the pixels nothing is kept."""

    refused: str = ""
    refused_by_header: str = ""
    shape: str = ""
    unit: str = ""
    turned: tuple[str, ...] = ()
    difference: float | None = None
    rounding: float = 0.0
    trouble: str = ""


@cache
def record(path: Path, digest: bytes) -> Record:
    """Read a file (once per content) and compare it; any exception but a ReadError fails the test."""
    headers, refused_by_header = [], ""
    try:
        headers = read_headers(path)
    except ReadError as error:
        refused_by_header = error.what
    try:
        image = read_image(path)
    except ReadError as error:
        trouble = "" if error.where == str(path) else "the error does not name the file"
        return Record(error.what, refused_by_header, trouble=trouble)
    shape = image.pixels.shape[:3]
    trouble = ""
    if [(h.frames, h.rows, h.columns, h.spacing) for h in headers] != [(*shape, image.spacing)]:
        trouble = "the header says something else"
    if [(h.modality, h.body_part, h.laterality) for h in headers] != [
        (image.facts.modality, image.facts.body_part, image.facts.laterality)
    ]:
        trouble = "the header names another place"
    low, high = image.facts.value_range
    if not (np.isfinite(image.pixels).all() and low - 1e-3 <= image.pixels.min() <= image.pixels.max() <= high + 1e-3):
        trouble = f"values past what the file can hold, {low} to {high}"
    dataset, found, rounding = parsed(path), [], 0.0
    for plugin in reversed(plugins_for(dataset)):  # `read_image` takes the first that can
        try:
            reference = pydicom_values(dataset, plugin)
        except RuntimeError:  # the decoder does not know this variant; another one does
            continue
        found.append(turn_between(reference, image.pixels, ignore=padding_of(dataset, plugin)))
        rounding = ROUNDED * float(np.abs(reference).max())
        break
    return Record(
        refused_by_header=refused_by_header,
        shape="×".join(map(str, shape)),
        unit=image.unit,
        turned=tuple(sorted({turned for turned, _ in found})),
        difference=max((difference for _, difference in found), default=None),
        rounding=rounding,
        trouble=trouble,
    )


def records(collection: str, data: Path) -> Iterator[tuple[dict[str, str], Path, Record]]:
    """Yield the row of the table, the path and the record of every file that the table names and that is there."""
    root, *found = collections(data)[collection]
    paths = {str(path.relative_to(root)): path for path in found}
    for row in TABLE:
        if row["collection"] == collection and row["file"] in paths:
            path = paths[row["file"]]
            yield row, path, record(path, hashlib.sha256(path.read_bytes()).digest())


@pytest.mark.parametrize("collection", ["pydicom", "pydicom-data", "conformance"])
def test_the_table_names_every_file(data, collection) -> None:
    if collection == "pydicom" and not pydicom.__version__.startswith(WRITTEN_FOR):
        pytest.skip(f"the table was written for the files of pydicom {WRITTEN_FOR}x")
    root, *found = collections(data)[collection]
    named = [row["file"] for row in TABLE if row["collection"] == collection]
    assert sorted(named) == sorted(str(path.relative_to(root)) for path in found)


@pytest.mark.parametrize("collection", ["pydicom", "pydicom-data", "conformance"])
def test_every_file_reads_as_the_table_says_or_is_refused_for_its_reason(data, collection) -> None:
    wrong = []
    for row, _, found in records(collection, data):
        shape = "×".join(row[side] for side in ("frames", "rows", "columns")) if row["frames"] else ""
        said = (row["refused"], row["refused"], shape, row["unit"], "")
        if (found.refused, found.refused_by_header, found.shape, found.unit, found.trouble) != said:
            wrong.append((row["file"], found))
    assert wrong == []


@pytest.mark.parametrize("collection", ["pydicom", "pydicom-data", "conformance"])
def test_values_equal_those_of_pydicom(data, collection) -> None:
    wrong, turned = [], {}
    for row, _, found in records(collection, data):
        if found.refused:
            continue
        if row["difference"] == "no reference":
            agrees = found.difference is None
        else:
            allowed = found.rounding if row["difference"] == "float32" else 0
            agrees = found.turned == (row["turned"],) and found.difference is not None and found.difference <= allowed
        if not agrees:
            wrong.append((row["file"], found))
        if row["turned"]:
            turned[row["file"]] = row["turned"]
    print(f"turned to the display convention: {turned}")  # noqa: T201 — shown by pytest -rP
    assert wrong == []


def test_nearly_all_files_with_pixels_decode(data) -> None:
    """The bar: 154 of the 162 files with pixels of pydicom's tests and pydicom-data.

    A dose or a segmentation decodes but is no acquired image; it is refused by its kind, and counts as decoded where the
    decoders of `decoder_table` give its pixels.
    """
    read, derived, failed = [], [], {}
    for collection in ("pydicom", "pydicom-data"):
        for row, path, found in records(collection, data):
            if row["pixels"] == "no":
                continue
            if not found.refused:
                read.append(path.name)
            elif found.refused.startswith("a derived object") and _decodes(path):
                derived.append(path.name)
            else:
                failed[path.name] = found.refused
    counted = len(read) + len(derived) + len(failed)
    told = f"{len(read)} read, {len(derived)} decode but are derived, of {counted}; the others: {failed}"
    print(told)  # noqa: T201 — shown by pytest -rP
    assert counted == COUNTED or not pydicom.__version__.startswith(WRITTEN_FOR), told
    assert (len(read) + len(derived)) / counted >= BAR / COUNTED, told


def _decodes(path: Path) -> bool:
    assert decoder_table()  # registers the decoders
    try:
        dataset = parsed(path)
        return pydicom_values(dataset, plugins_for(dataset)[0]).size > 0
    except (ValueError, AttributeError, RuntimeError):
        return False
