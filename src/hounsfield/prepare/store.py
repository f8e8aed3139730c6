"""The store: every case read, conditioned and resized once, in one memory-mapped array; training reads it from there.

Values in [0, 1] are kept as 16-bit whole numbers (steps of 1/65535). The folder's name is a digest of the files and of
everything that was done to them, so a change of either makes another store.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from hounsfield.core import files
from hounsfield.core.digest import digest
from hounsfield.errors import HounsfieldError, OutputError
from hounsfield.prepare.case import CaseFiles, Preparation, case_array
from hounsfield.read import each

PENDING, READY, REFUSED = 0, 1, 2
SCALE = 65535.0
_TOGETHER = 24  # cases per task: handing over a task takes as long as a tenth of an uncompressed slice


@dataclass(frozen=True)
class Store:
    """An open store.

    Attributes
    ----------
    folder:
        Where images.npy (cases, slices, channels, H, W; uint16) lies, and counts.npy (cases,): how many of the slices are
        real. The others were never written, and take no room on most disks.
    cases:
        Case names in the order of the array.
    refused:
        Case → reason, for cases whose files could not be used.
    """

    folder: Path
    cases: tuple[str, ...]
    refused: dict[str, str]

    @property
    def digest(self) -> str:
        return self.folder.name

    def rows(self, cases: Sequence[str]) -> np.ndarray:
        """Return the places of cases in the array."""
        place = {case: row for row, case in enumerate(self.cases)}
        return np.array([place[case] for case in cases], dtype=np.int64)

    def read(self, row: int) -> np.ndarray:
        """Return one case as (slices, channels, H, W) float32 in [0, 1], its real slices alone."""
        count = int(_open(str(self.folder / "counts.npy"), "r")[row])
        return _open(str(self.folder / "images.npy"), "r")[row, :count].astype(np.float32) / np.float32(SCALE)


def fill(
    folder: Path,
    cases: Sequence[CaseFiles],
    preparation: Preparation,
    channels: int,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Store:
    """Make (or complete, after an interruption) the store of these cases under `folder`.

    Older stores in the folder are removed: they belong to another plan.

    Raises
    ------
    OutputError
        If there is no room on the disk.
    """
    height, width = preparation.recipe.size
    shape = (len(cases), preparation.slices, channels, height, width)
    home = files.make_folder(folder) / _name(cases, preparation, shape)
    for other in folder.iterdir():
        if other.is_dir() and other != home:
            shutil.rmtree(other)
    state = _create(home, shape)
    refused = files.read_json(home / "refused.json") if (home / "refused.json").exists() else {}
    todo = [row for row in range(len(cases)) if state[row] == PENDING]
    jobs = [(str(home), row, cases[row], preparation) for row in todo]
    for done, (index, result) in enumerate(each(_fill_one, jobs, workers=workers, chunk=_TOGETHER), start=1):
        row = todo[index]
        if isinstance(result, HounsfieldError):
            refused[cases[row].case] = result.what
            files.write_json(home / "refused.json", refused)
        state[row] = REFUSED if isinstance(result, HounsfieldError) else READY
        if progress is not None:
            progress(done, len(todo))
    state.flush()
    return Store(home, tuple(case.case for case in cases), refused)


def _name(cases: Sequence[CaseFiles], preparation: Preparation, shape: tuple[int, ...]) -> str:
    sources = [[_signature(source.path), source.member] for case in cases for source in case.sources]
    masks = [None if case.mask is None else [_signature(case.mask.path), case.mask.member] for case in cases]
    return digest({
        "sources": sources, "names": [case.case for case in cases], "stacks": [case.stacks for case in cases],
        "interest": [case.interest for case in cases], "masks": masks, "done": preparation.content, "shape": shape,
    })[:16]  # fmt: skip


def _signature(path: Path) -> list[object]:
    try:
        status = path.stat()
    except OSError:
        return [str(path), None]
    return [str(path), status.st_size, status.st_mtime_ns]


def _create(home: Path, shape: tuple[int, ...]) -> np.memmap:
    if not (home / "state.npy").exists():
        need = int(np.prod(shape)) * 2
        free = shutil.disk_usage(home.parent).free
        if need > free * 0.9:
            raise OutputError(
                f"the store needs {need / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free", where=home.parent,
                fix="Free some room, choose another --out, or a smaller size in plan.yaml.",
            )  # fmt: skip
        files.make_folder(home)
        np.lib.format.open_memmap(home / "images.npy", mode="w+", dtype=np.uint16, shape=shape).flush()
        np.lib.format.open_memmap(home / "counts.npy", mode="w+", dtype=np.uint16, shape=shape[:1]).flush()
        np.lib.format.open_memmap(home / "state.npy", mode="w+", dtype=np.uint8, shape=shape[:1]).flush()
    return np.lib.format.open_memmap(home / "state.npy", mode="r+")


@lru_cache(maxsize=4)
def _open(path: str, mode: str) -> np.memmap:
    return np.lib.format.open_memmap(path, mode=mode)


def _fill_one(job: tuple[str, int, CaseFiles, Preparation]) -> None:
    home, row, case, preparation = job
    values = case_array(case, preparation)
    _open(f"{home}/images.npy", "r+")[row, : len(values)] = np.rint(values * np.float32(SCALE)).astype(np.uint16)
    _open(f"{home}/counts.npy", "r+")[row] = len(values)
