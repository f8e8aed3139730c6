"""Series → volumes: which files are one volume (from headers alone), and the volume itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hounsfield.core.digest import digest
from hounsfield.core.image import Image
from hounsfield.errors import HounsfieldError, ReadError
from hounsfield.read.geometry import affine_of
from hounsfield.read.header import Block, Header, read_headers
from hounsfield.read.image import read_image
from hounsfield.read.same import picture_mark
from hounsfield.read.source import Source
from hounsfield.read.stacks import SCOUT, Key, Place, Same, Vector, stacks_of

# A picture that differs in size or plane from this many that fit together is a scout, a capture or a report page.
_CROWD = 4


@dataclass(frozen=True, slots=True)
class Run:
    """Headers that make one volume, in slice order, or frames of one file; see `stacks.Stack` for the words.

    `affine` is None where the frames have no place, or are no volume: then `trouble` says why.
    """

    headers: tuple[Header, ...]
    frames: int
    affine: np.ndarray | None = None
    key: Key = ()
    notes: tuple[str, ...] = ()
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Runs:
    """What a series holds: volumes in order, and (header, reason) for each file that is in none."""

    runs: list[Run]
    aside: list[tuple[Header, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Series:
    """Volumes that were read, and (source, reason) of everything that became none."""

    volumes: list[Image]
    aside: list[tuple[Source, str]]


def read_series(images: Path | str | Iterable[Path | str | Source]) -> Series:
    """Read a folder (or files) as volumes: every series, echo, time point and orientation is one of its own.

    An Image of the result holds one volume: its frames follow each other along row × column of the orientation, its
    pixels are turned to the display convention (columns to the left or the back, rows to the back or the feet), and its
    affine takes (column, row, frame) to LPS millimetres over the positions of all slices. Nothing is resampled: a tilted
    gantry shears the affine. Slices that make no volume (gaps, uneven steps, repeats that no header explains) are put
    aside with the reason, as is every file that is no image.

    Raises
    ------
    ReadError
        If a folder is not there or holds no files.
    """
    headers: list[Header] = []
    aside: list[tuple[Source, str]] = []
    for path in _paths(images):
        try:
            headers += read_headers(path)
        except HounsfieldError as error:
            aside.append((Source(path), error.what))
    volumes: list[Image] = []
    for group in by_series(headers):
        found = runs_of(group, same=same_pictures([header.source for header in group]))
        aside += [(header.source, why) for header, why in found.aside]
        for run in found.runs:
            if run.trouble:
                aside += [(header.source, run.trouble) for header in run.headers]
                continue
            try:
                volumes += read_run(run)
            except HounsfieldError as error:
                aside += [(header.source, error.what) for header in run.headers]
    return Series(volumes, aside)


def by_series(headers: Iterable[Header]) -> list[list[Header]]:
    """Group headers by SeriesInstanceUID, in the order in which the series are met; what has none stands alone."""
    groups: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        groups[header.series_uid or str(header.source)].append(header)
    return list(groups.values())


def runs_of(headers: Sequence[Header], same: Same | None = None) -> Runs:
    """Divide the files of one series into volumes, from their headers alone.

    Files of several frames are volumes of their own, already divided into blocks; files of one frame are put together.
    A scout among slices, and a single picture of another size or plane, is put aside.

    Parameters
    ----------
    same:
        Whether the pixels of two headers (by index) are equal; asked where two slices claim one position.
    """
    singles = [index for index, header in enumerate(headers) if header.frames == 1]
    films = [header for header in headers if header.frames > 1]
    runs = [_of_file(header) for header in sorted(films, key=lambda one: (one.instance_number or 0, str(one.source)))]
    aside: list[tuple[Header, str]] = []
    places = [_place(headers[index]) for index in singles]
    compare = None if same is None else lambda one, other: same(singles[one], singles[other])
    stacks = stacks_of(places, compare)
    crowd = max((len(stack.members) for stack in stacks if stack.step is not None), default=0)
    for stack in stacks:
        members = tuple(headers[singles[member]] for member in stack.members)
        aside += [(headers[singles[copy]], "the same slice, a second time") for copy in stack.left_out]
        if len(stacks) > 1 and _is_scout(members[0]) and crowd >= _CROWD:
            aside += [(header, "a scout (localizer) among the slices of its series") for header in members]
        # One that a header's attribute tells apart, such as a time point, is no stranger.
        elif len(members) == 1 and crowd >= _CROWD and not stack.key:
            aside.append(
                (members[0], f"a single picture of another size or plane than the {crowd} slices of its series")
            )
        else:
            affine = _affine(members[0], stack.origin, stack.step) if stack.trouble is None else None
            runs.append(Run(members, len(members), affine, stack.key, stack.notes, stack.trouble))
    return Runs(runs, aside)


def read_run(run: Run) -> list[Image]:
    """Read the volumes of a run: one, or for a file of several blocks one per block.

    Raises
    ------
    ReadError
        If a file cannot be read, or differs in size or unit from the first.
    """
    images = [read_image(header.source) for header in run.headers]
    first = images[0]
    if len(images) == 1:
        return _blocks(first, run.headers[0])
    for image, header in zip(images, run.headers, strict=True):
        if image.pixels.shape != first.pixels.shape or image.unit != first.unit:
            raise ReadError("slices of one volume differ in size or unit", where=header.source)
    pixels = np.concatenate([image.pixels for image in images])
    source = digest([image.source for image in images])
    return [Image(pixels, first.unit, source, first.spacing, run.affine, first.facts)]


def _blocks(image: Image, header: Header) -> list[Image]:
    if len(header.blocks) < 2:
        return [image]
    found, start = [], 0
    for block in header.blocks:
        affine = affine_of(header.spacing, block.orientation, block.origin, block.step)
        pixels = image.pixels[start : start + block.frames]
        if block.trouble is None:
            found.append(Image(pixels, image.unit, image.source, image.spacing, affine, image.facts))
        start += block.frames
    return found


def _of_file(header: Header) -> Run:
    troubles = sorted({block.trouble for block in header.blocks if block.trouble})
    notes = tuple(sorted({note for block in header.blocks for note in block.notes}))
    block = header.blocks[0] if len(header.blocks) == 1 else Block(header.frames)
    affine = affine_of(header.spacing, block.orientation, block.origin, block.step)
    return Run((header,), header.frames, affine, block.key, notes, "; ".join(troubles) or None)


def _place(header: Header) -> Place:
    block = header.blocks[0] if header.blocks else Block(1)
    return Place(
        header.rows, header.columns, header.spacing, block.orientation, block.origin, header.instance_number, block.key
    )


def _affine(header: Header, origin: Vector | None, step: Vector | None) -> np.ndarray | None:
    orientation = header.blocks[0].orientation if header.blocks else None
    return affine_of(header.spacing, orientation, origin, step)


def _is_scout(header: Header) -> bool:
    return any(name == SCOUT for block in header.blocks for name, _ in block.key)


def same_pictures(sources: Sequence[Source]) -> Same:
    """Return a question for `runs_of`: do two of these files (by index) hold one and the same picture?"""

    def same(one: int, other: int) -> bool:
        try:
            first, second = (picture_mark(sources[index]) for index in (one, other))
        except HounsfieldError:
            return False
        return first == second

    return same


def _paths(images: Path | str | Iterable[Path | str | Source]) -> list[Path]:
    if isinstance(images, (str, Path)):
        root = Path(images)
        if root.is_file():
            return [root]
        found = sorted(path for path in root.rglob("*") if path.is_file())
        if not found:
            raise ReadError("no files are here", where=root, fix="Give the folder that holds the images.")
        return found
    return [item.path if isinstance(item, Source) else Path(item) for item in images]
