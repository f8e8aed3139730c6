"""The regions of interest that a label table gives: a centre, a box or a mask for each row, by the names of its columns."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from hounsfield.cohort.findings import BLANKS
from hounsfield.cohort.headers import Walk
from hounsfield.errors import UsageError

CENTRE = ("roi_x", "roi_y", "roi_z")
BOX = ("roi_x1", "roi_y1", "roi_z1", "roi_x2", "roi_y2", "roi_z2")
MASK = "roi_mask"
NAMES = frozenset((*CENTRE, *BOX, MASK))


@dataclass(frozen=True)
class Interest:
    """What a row gives.

    Attributes
    ----------
    numbers:
        x, y, z of a centre, or of two opposite corners of a box: mm in the patient (LPS, as in DICOM), or column, row and
        slice where the files state no position.
    mask:
        The place of a mask: its path below the images, or relative to them.
    """

    numbers: tuple[float, ...] | None = None
    mask: str | None = None

    @property
    def is_empty(self) -> bool:
        return self.numbers is None and self.mask is None


@dataclass(frozen=True)
class Interests:
    """What all rows give, in their order; (row, reason) of cells that give nothing usable; and notes."""

    rows: list[Interest]
    troubles: list[tuple[int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def interests_of(table: pl.DataFrame, masks: Mapping[str, str | None]) -> Interests:
    """Read the columns of regions of a table.

    A row that gives a box and a centre has the box, whose middle serves as the centre. A row whose numbers are incomplete or
    no numbers gives none: its case stays, and the reason is listed.

    Parameters
    ----------
    masks:
        Text of a cell → its place, see `mask_places`.
    """
    columns = _columns(table)
    notes = []
    for wanted in (CENTRE, BOX):
        missing = [name for name in wanted if name not in columns]
        if missing and len(missing) < len(wanted):
            notes.append(f"no {', '.join(missing)} beside the other columns of a region: these are not used")
    groups = [[columns[name] for name in wanted] for wanted in (BOX, CENTRE) if all(name in columns for name in wanted)]
    rows: list[Interest] = []
    troubles: list[tuple[int, str]] = []
    both = 0
    for number, row in enumerate(table.iter_rows(named=True), start=2):
        found: list[tuple[float, ...]] = []
        for names in groups:
            numbers, why = _numbers([row[name] for name in names], names)
            if why:
                troubles.append((number, why))
            elif numbers is not None:
                found.append(numbers)
        both += len(found) > 1
        text = _text(row[columns[MASK]]) if MASK in columns else ""
        if text and masks.get(text) is None:
            troubles.append((number, f"its region of interest is not used: there is no file for its {MASK}"))
        rows.append(Interest(found[0] if found else None, masks.get(text)))
    if both:
        notes.append(f"{both} row(s) give a box and a centre of interest: the box counts")
    return Interests(rows, troubles, notes)


def mask_places(table: pl.DataFrame, folder: Path, found: Walk) -> dict[str, str | None]:
    """Return the text of every mask cell → the place of its file; None where there is no such file.

    Paths are relative to the table's folder, else to the images.
    """
    columns = _columns(table)
    if MASK not in columns:
        return {}
    texts = {text for text in map(_text, table[columns[MASK]].to_list()) if text}
    known = {found.place(header.source.path) for header in found.headers} if texts else set()
    bases = [Path(os.path.realpath(base)) for base in (folder, found.top, found.root) if base is not None]
    return {text: _place(text, bases, found, known) for text in texts}


def without_masks(found: Walk, masks: Mapping[str, str] | Mapping[str, str | None]) -> tuple[Walk, set[str]]:
    """Return the walk without the images that are masks, and their places: a mask beside its image is no case."""
    places = {place for place in masks.values() if place is not None}
    kept = [header for header in found.headers if found.place(header.source.path) not in places] if places else []
    if not places or len(kept) == len(found.headers):
        return found, set()
    gone = {found.place(header.source.path) for header in found.headers} & places
    return Walk(found.root, kept, found.aside, found.marks, found.unpacked, found.top), gone


def masks_below(folder: Path, found: Walk) -> dict[str, str]:
    """Return the files of a folder of masks: what they are masks of → their place.

    A mask has the path of its image below the images, or that of the folder of a series; the ending may be another one, and the
    name may end in "_mask".

    Raises
    ------
    UsageError
        If there is no such folder, or it holds two masks of one image.
    """
    if not folder.is_dir():
        raise UsageError("there is no such folder of masks", where=folder)
    base, masks = Path(os.path.realpath(folder)), {}
    for path in sorted(base.rglob("*")):
        if not path.is_file() or path.name.startswith("."):
            continue
        whose = _whose(path.relative_to(base).as_posix()).removesuffix("_mask")
        if whose in masks:
            raise UsageError("the folder of masks holds two masks of one image", where=path, fix="Remove one of them.")
        masks[whose] = os.path.relpath(path, found.root).replace(os.sep, "/")
    return masks


def with_mask(interest: Interest, places: Sequence[str], masks: Mapping[str, str]) -> Interest:
    """Return the interest of a case with its mask of `masks_below`, unless the label table gives one; `places` are its files'."""
    if interest.mask is not None:
        return interest
    names = [_whose(place) for place in places]
    wanted = [*names, *dict.fromkeys(name.rpartition("/")[0] for name in names)]
    return replace(interest, mask=next((masks[name] for name in wanted if name in masks), None))


def _whose(place: str) -> str:
    """A path without its ending; .nii.gz is one ending."""
    folder, slash, name = place.rpartition("/")
    stem = name.removesuffix(".gz")
    return folder + slash + (stem.rpartition(".")[0] or stem)


def sentence(interests: Sequence[Interest]) -> str:
    """Say how many cases have which kind of region."""
    counts = {
        "centre": sum(one.numbers is not None and len(one.numbers) == 3 for one in interests),
        "box": sum(one.numbers is not None and len(one.numbers) == 6 for one in interests),
        "mask": sum(one.mask is not None for one in interests),
    }
    told = ", ".join(f"{count} with a {kind}" for kind, count in counts.items() if count)
    return f"regions of interest (roi_ columns of the label table): {told or 'no case has one'}"


def _columns(table: pl.DataFrame) -> dict[str, str]:
    return {name.lower(): name for name in table.columns if name.lower() in NAMES}


def _numbers(cells: Sequence[str | None], names: Sequence[str]) -> tuple[tuple[float, ...] | None, str | None]:
    """Return the numbers of some cells, None where all are empty, and why they are no region."""
    texts = [(cell or "").strip() for cell in cells]
    blank = [text.lower() in BLANKS for text in texts]
    if all(blank):
        return None, None
    if any(blank):
        return None, f"its region of interest is not used: {names[blank.index(True)]} is empty"
    numbers = []
    for text, name in zip(texts, names, strict=True):
        try:
            numbers.append(float(text))
        except ValueError:
            numbers.append(math.nan)
        if not math.isfinite(numbers[-1]):
            return None, f"its region of interest is not used: {name} is no number"
    return tuple(numbers), None


def _text(cell: str | None) -> str:
    text = (cell or "").strip()
    return "" if text.lower() in BLANKS else text.replace("\\", "/")


def _place(text: str, bases: Sequence[Path], found: Walk, known: set[str]) -> str | None:
    for base in bases:
        place = os.path.relpath(os.path.normpath(base / text), found.root)
        place = place.replace(os.sep, "/")
        if place in known or (found.root / place).is_file():
            return place
    return None
