"""Walk a folder and read every header, in parallel; what is no usable image is listed with its reason.

First the folder is compared with its index, then workers read what is new, and only when they are gone are the headers
loaded: so memory does not hold both, and an interrupted scan goes on where it stopped.
"""

from __future__ import annotations

import atexit
import gc
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path

from hounsfield.cohort.alike.same import Marks
from hounsfield.cohort.index import Aside, DamagedIndex, Index, open_index, remove_index
from hounsfield.cohort.places import Place, places_below
from hounsfield.cohort.reading import Marking, Outcome, byte_marks, member_marks, read_file, unpack_file
from hounsfield.core.files import make_folder
from hounsfield.errors import HounsfieldError, UsageError
from hounsfield.read import Header, Source, each
from hounsfield.read.dicomdir import is_dicomdir
from hounsfield.read.unpack import archive_kind

Progress = Callable[[int, int], None]
Say = Callable[[str], None]
_TOGETHER = 32  # files in one task of a worker
_TOLD = 64  # files between two reports of progress
_LONG = 24 * 3600.0  # seconds that one archive, or one large array, may take


@dataclass(frozen=True)
class Walk:
    """What a folder holds.

    Attributes
    ----------
    root:
        The folder, without links on the way; the place of a file is its path below it.
    headers:
        Of all images, in the order of their places. The path of a header is its place below `root`, also where the file
        was unpacked from an archive: to open it, see `location`.
    aside:
        Everything else, with the reason.
    marks:
        Whose content is equal.
    unpacked:
        The place of an archive → the folder that it was unpacked to.
    top:
        The folder that paths of a label table may be relative to as well, where an archive was scanned.
    """

    root: Path
    headers: list[Header]
    aside: list[Aside]
    marks: Marks
    unpacked: dict[str, Path] = field(default_factory=dict)
    top: Path | None = None

    def place(self, path: Path) -> str:
        """Return the place of a header's path."""
        return path.as_posix()[len(self._before) :]

    @cached_property
    def _before(self) -> str:
        return os.path.join(self.root.as_posix(), "")

    def location(self, place: str) -> str:
        """Return where the file of a place lies: below `root`, or an absolute path where it was unpacked."""
        slash = place.find("/") if self.unpacked else -1
        while slash >= 0:
            folder = self.unpacked.get(place[:slash])
            if folder is not None:
                return str(folder / place[slash + 1 :])
            slash = place.find("/", slash + 1)
        return place

    def source(self, header: Header) -> Source:
        """Return what can be opened for a header."""
        if not self.unpacked:
            return header.source
        return Source(self.root / self.location(self.place(header.source.path)), header.source.member)


def walk(
    images: Path,
    *,
    leave_out: Iterable[Path] = (),
    run: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    say: Say | None = None,
) -> Walk:
    """Read the headers of every file under a folder, in the order of their places.

    Archives below it are unpacked, and their files are read as if they lay in a folder of the archive's name.

    Parameters
    ----------
    images:
        The folder; or one file: an image, an archive of images, or a DICOMDIR, whose folder is read.
    leave_out:
        Files and folders that are no part of it, such as the label table.
    run:
        The run folder. Its `private` folder keeps the index and what is unpacked, so that the next scan is quick; and it
        is left out itself. Without it nothing is kept: the index is a file without a name, and what is unpacked lies in a
        temporary folder until this process ends.
    progress:
        Called with the files known so far and all files.
    say:
        Called with a sentence when the index of an earlier scan cannot be used.

    Raises
    ------
    UsageError
        If the place does not exist or holds no files, or another scan is writing to the run folder.
    ReadError
        If it is an archive that cannot be unpacked.
    """
    if not images.exists():
        raise UsageError(
            "the image folder does not exist", where=images, fix="Give a folder of images, or an .npz file."
        )
    # The name of a file is kept where it is a link: it may say which archive it is.
    images = images.resolve() if images.is_dir() else images.parent.resolve() / images.name
    if images.is_file() and is_dicomdir(images):
        images = images.parent
    if run is not None:
        make_folder(run / "private").chmod(0o700)
    job = _Job(images, [*leave_out, *_own(run, images)], run, workers, progress, say or _silent)
    if images.is_file() and archive_kind(images) is not None:
        return job.run_archive()
    return job.run_folder(images)


def tidy(found: Walk, run: Path | None) -> None:
    """Remove from a run folder what was unpacked from archives of earlier scans."""
    home = _unpacking_home(run)
    used = {folder.parent for folder in (*found.unpacked.values(), *([found.top] if found.top else []))}
    for folder in home.iterdir() if run is not None and home.is_dir() else ():
        if folder not in used:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class _Job:
    images: Path
    leave_out: Sequence[Path]
    run: Path | None
    workers: int | None
    progress: Progress | None
    say: Say

    @property
    def index(self) -> Path | None:
        return None if self.run is None else self.run / "private" / "index.sqlite"

    def run_archive(self) -> Walk:
        """Unpack an archive and walk through it; a folder that holds all the others is left out of the places."""
        top = self._home_of(self.images)
        (aside,) = self._unpack([(str(self.images), str(top))])
        if isinstance(aside, HounsfieldError):
            raise aside
        inside = list(top.iterdir())
        root = inside[0] if len(inside) == 1 and inside[0].is_dir() else top
        found = self.run_folder(root)
        return replace(found, aside=found.aside + [Aside(name, why) for name, why in aside], top=top)

    def run_folder(self, images: Path) -> Walk:
        try:
            return self._run_folder(images)
        except DamagedIndex:
            self.say("the index of an earlier scan was damaged: every header is read again")
            remove_index(self.index)
            return self._run_folder(images)

    def _run_folder(self, images: Path) -> Walk:
        root = images if images.is_dir() else images.parent
        with open_index(self.index, images, self.say) as index:
            index.enter(self._places(images))
            if index.counts()[1] == 0:
                raise UsageError(
                    "no images: the folder is empty", where=images, fix="Give the folder that holds the images."
                )
            bases: dict[str | None, Path] = {None: root}
            self._read(index, bases)
            aside = self._unpack_all(index, bases)
            self._mark(index, bases)
            found = Walk(root, [], [], Marks(), {place: base for place, base in bases.items() if place is not None})
            digests: dict[Source, str | None] = {}
            with _growing():
                for headers, marks in index.headers(root):
                    found.headers.extend(headers)
                    if marks is not None:
                        digests.update(zip((header.source for header in headers), marks, strict=True))
            return replace(found, aside=[*index.aside(), *aside], marks=Marks(digests))

    def _places(self, images: Path) -> Iterator[Place]:
        if images.is_dir():
            return places_below(images, self.leave_out)
        state = images.stat()
        return iter([Place(images.name, state.st_size, state.st_mtime_ns)])

    def _read(self, index: Index, bases: dict[str | None, Path]) -> None:
        waiting = index.waiting(bases)
        known, total = index.counts()
        if waiting:
            for place, result in each(read_file, waiting, workers=self.workers, chunk=_TOGETHER):
                if isinstance(result, HounsfieldError):
                    # A worker that died or was too slow may have suffered from the machine: the next scan asks again.
                    result = Outcome("aside", result.what, fleeting=True)
                index.record(waiting.numbers[place], result)
                if self.progress is not None and place % _TOLD == 0:
                    self.progress(known + place + 1, total)
            index.flush()
        if self.progress is not None:
            self.progress(total, total)

    def _unpack_all(self, index: Index, bases: dict[str | None, Path]) -> list[Aside]:
        """Unpack the archives of the folder, read their files, and return what was put aside in unpacking."""
        archives = index.archives()
        jobs = [(str(bases[None] / place), str(self._home_of(bases[None] / place))) for _, place in archives]
        aside: list[Aside] = []
        for (number, place), (_, folder), result in zip(archives, jobs, self._unpack(jobs), strict=True):
            if isinstance(result, HounsfieldError):
                index.record(number, Outcome("aside", result.what, fleeting=True))
                continue
            aside += [Aside(f"{place}/{name}", why) for name, why in result]
            below = (replace(inner, name=f"{place}/{inner.name}") for inner in places_below(Path(folder)))
            index.enter(below, archive=place)
            if index.empty(place):
                index.record(number, Outcome("aside", "an archive without usable files", fleeting=True))
            bases[place] = Path(folder)
        index.forget_unpacked(place for place in bases if place is not None)
        index.flush()
        if archives:
            self._read(index, bases)
        return aside

    def _unpack(self, jobs: list[tuple[str, str]]) -> list[list[tuple[str, str]] | HounsfieldError]:
        if not jobs:
            return []
        return [result for _, result in each(unpack_file, jobs, workers=self.workers, seconds=_LONG)]

    def _home_of(self, archive: Path) -> Path:
        """Return the folder for an archive's files. It ends in the archive's name, so that its paths can be read."""
        state = archive.stat()
        signature = f"{archive}\0{state.st_size}\0{state.st_mtime_ns}".encode("utf-8", "surrogateescape")
        return _unpacking_home(self.run) / hashlib.sha256(signature).hexdigest()[:16] / archive.name

    def _mark(self, index: Index, bases: dict[str | None, Path]) -> None:
        """Mark the content of images that no UID names; done once, and kept with their headers."""
        ways: tuple[tuple[Marking, Callable[[str], list[str | None]], int], ...]
        ways = (("bytes", byte_marks, _TOGETHER), ("members", member_marks, 1))
        for marking, function, together in ways:
            waiting = index.unmarked(marking, bases)
            results = each(function, waiting, workers=self.workers, chunk=together, seconds=_LONG) if waiting else ()
            for place, result in results:
                # What cannot be read now is found out when it is used, and goes to quarantine then.
                if not isinstance(result, HounsfieldError):
                    index.record_marks(waiting.numbers[place], result)
        index.flush()


def _own(run: Path | None, images: Path) -> list[Path]:
    """Return what is a run's own and no image: the run folder, or its private part where the images lie in it."""
    if run is None:
        return []
    return [run / "private"] if images.is_relative_to(run.resolve()) else [run]


def _unpacking_home(run: Path | None) -> Path:
    return _temporary() if run is None else run.resolve() / "private" / "unpacked"


@cache
def _temporary() -> Path:
    """Return a folder for what is unpacked without a run folder; it is there until the process ends, as cohorts may be."""
    folder = Path(tempfile.mkdtemp(prefix="hounsfield-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@contextmanager
def _growing() -> Iterator[None]:
    """Keep the collector of cycles from looking, again and again, through a list that only grows."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _silent(sentence: str) -> None:
    """Say nothing."""
