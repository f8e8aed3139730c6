"""Walk a folder and read every header, in parallel; what is no usable image is listed with its reason."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hounsfield.core.digest import digest_file
from hounsfield.errors import HounsfieldError, UsageError
from hounsfield.read import Header, each, read_headers, read_image

Progress = Callable[[int, int], None]
_TOGETHER = 32


@dataclass(frozen=True)
class Walk:
    """What a folder holds: headers of its images, and (path, reason) of everything else."""

    root: Path
    headers: list[Header]
    aside: list[tuple[Path, str]]


def walk(
    images: Path, *, leave_out: Iterable[Path] = (), workers: int | None = None, progress: Progress | None = None
) -> Walk:
    """Read the headers of every file under a folder (or of one file), in the order of their paths.

    Raises
    ------
    UsageError
        If the place does not exist or holds no files.
    """
    if not images.exists():
        raise UsageError(
            "the image folder does not exist", where=images, fix="Give a folder of images, or an .npz file."
        )
    root = images if images.is_dir() else images.parent
    skip = {path.resolve() for path in leave_out}
    paths = [path for path in _files(images) if path.resolve() not in skip]
    if not paths:
        raise UsageError("no images: the folder is empty", where=images, fix="Give the folder that holds the images.")
    batches = [paths[start : start + _TOGETHER] for start in range(0, len(paths), _TOGETHER)]
    headers: list[Header] = []
    aside: list[tuple[Path, str]] = []
    for number, result in each(_read_batch, batches, workers=workers):
        if isinstance(result, HounsfieldError):  # a file of this batch killed the worker: ask them one by one
            found = [outcome for _, outcome in each(_read_batch, [[path] for path in batches[number]], workers=1)]
            pairs = [_first(outcome) for outcome in found]
        else:
            pairs = result
        for path, outcome in zip(batches[number], pairs, strict=True):
            if isinstance(outcome, str):
                aside.append((path, outcome))
            else:
                headers += outcome
        if progress is not None:
            progress(min((number + 1) * _TOGETHER, len(paths)), len(paths))
    return Walk(root, headers, aside)


def content_marks(headers: Sequence[Header]) -> dict[int, str]:
    """Return index → mark for images whose content may stand in the cohort twice; equal marks mean equal images.

    DICOM objects are marked by SOPInstanceUID, which is unique by definition (PS3.5 section 9); members of an archive
    by their values; other files by their bytes, read only where another file has the same length.
    """
    marks: dict[int, str] = {}
    sizes: dict[int, list[int]] = {}
    for index, header in enumerate(headers):
        if header.kind == "npz":
            marks[index] = read_image(header.source).source
        elif header.sop_uid:
            marks[index] = header.sop_uid
        elif header.kind != "dicom":
            sizes.setdefault(header.source.path.stat().st_size, []).append(index)
    for alike in sizes.values():
        if len(alike) > 1:
            marks |= {index: digest_file(headers[index].source.path) for index in alike}
    return marks


def _files(images: Path) -> list[Path]:
    if images.is_file():
        return [images]
    found = [Path(folder) / name for folder, _, names in os.walk(images) for name in names]
    return sorted(found)


def _read_batch(paths: list[Path]) -> list[list[Header] | str]:
    results: list[list[Header] | str] = []
    for path in paths:
        try:
            results.append(read_headers(path))
        except HounsfieldError as error:
            results.append(error.what)
    return results


def _first(outcome: list[list[Header] | str] | HounsfieldError) -> list[Header] | str:
    return outcome.what if isinstance(outcome, HounsfieldError) else outcome[0]
