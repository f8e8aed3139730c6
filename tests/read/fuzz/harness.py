"""Damaged files through `each`: nothing may leave it but an image that fits its header, or a reason in plain words."""

from __future__ import annotations

import os
import resource
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hounsfield.errors import HounsfieldError, ReadError
from hounsfield.read import each, read_headers, read_image
from tests.read.fuzz.corpus import corpus, private_strings
from tests.read.fuzz.mutate import mutate

SECONDS = 5.0
MEMORY_MB = 1024


@dataclass(frozen=True)
class Seen:
    """What one worker saw of one file."""

    said: str  # the reason, "" where it was read
    fix: str
    defect: str
    seconds: float
    peak_mb: float
    worker: int


def read_both(path: Path) -> Seen:
    """Read a file's headers and pixels, and return the reason where one is refused, and what it cost."""
    started, said, fix, defect = time.monotonic(), "", "", ""
    try:
        headers = read_headers(path)
    except ReadError as error:
        headers, said, fix = [], error.what, error.fix or ""
        defect = "" if error.where == str(path) and error.what else "the reason is empty, or names another file"
    try:
        image = read_image(path)
    except ReadError as error:
        said, fix = said or error.what, fix or error.fix or ""
        defect = defect or (
            "" if error.where == str(path) and error.what else "the reason is empty, or names another file"
        )
    else:
        if not headers:
            defect = "read_headers refuses what read_image reads"
        elif [(header.frames, header.rows, header.columns) for header in headers] != [image.pixels.shape[:3]]:
            defect = "the header says another shape"
        elif not np.isfinite(image.pixels).all():
            defect = "values that are not finite"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Seen(said, fix, defect, time.monotonic() - started, peak, os.getpid())


class Mutations(Sequence[Path]):
    """`count` damaged files, each written when it is asked for: file i depends on the seed and i alone."""

    def __init__(self, folder: Path, count: int, seed: int, data: Path | None) -> None:
        self._folder, self._count, self._seed = folder, count, seed
        self._names, self._raw = zip(*sorted(corpus(data).items()), strict=True)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Path:  # type: ignore[override]
        path = self._folder / f"{index:06d}.dcm"
        if not path.exists():
            path.write_bytes(self.bytes_of(index))
        return path

    def origin(self, index: int) -> str:
        return self._names[index % len(self._names)]

    def bytes_of(self, index: int) -> bytes:
        rng = np.random.default_rng([self._seed, index])
        return mutate(self._raw[index % len(self._raw)], self._raw, rng)


@dataclass
class Report:
    """What became of all files."""

    reasons: Counter[str] = field(default_factory=Counter)
    defects: list[tuple[int, str, str]] = field(default_factory=list)
    deaths: list[tuple[int, str]] = field(default_factory=list)
    given_up: list[tuple[int, str]] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, -1)
    peak: tuple[float, int] = (0.0, -1)
    leaks: list[tuple[int, str]] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{count:6d}  {reason}" for reason, count in self.reasons.most_common()]
        lines += [
            f"slowest: {self.slowest[0]:.2f} s (number {self.slowest[1]})",
            f"peak memory of a worker: {self.peak[0]:.0f} MB (number {self.peak[1]})",
            f"worker deaths: {self.deaths}",
            f"given up after {SECONDS:g} s: {self.given_up}",
            f"leaks of private text: {self.leaks}",
            f"defects: {self.defects}",
        ]
        return "\n".join(lines)


def fuzz(folder: Path, count: int, seed: int, data: Path | None, *, workers: int = 2) -> Report:
    """Run `count` damaged files through two workers, and delete each afterwards unless something was wrong with it."""
    mutations, report = Mutations(folder, count, seed, data), Report()
    secrets = set().union(*(private_strings(raw) for raw in corpus(data).values()))
    for index, result in each(read_both, mutations, workers=workers, seconds=SECONDS):
        before = len(report.defects) + len(report.deaths) + len(report.given_up) + len(report.leaks)
        _note(report, index, mutations.origin(index), result, secrets)
        if before == len(report.defects) + len(report.deaths) + len(report.given_up) + len(report.leaks):
            mutations[index].unlink()
    return report


def _note(report: Report, index: int, origin: str, result: Seen | HounsfieldError, secrets: set[str]) -> None:
    if isinstance(result, HounsfieldError):  # not of the reader, but of `each`
        text = f"{result.what} {result.fix}"
        report.reasons[f"[each] {general(result.what)}"] += 1
        if "crashed" in result.what:
            report.deaths.append((index, origin))
        elif "took longer" in result.what:
            report.given_up.append((index, origin))
        else:
            report.defects.append((index, origin, result.what))
    else:
        text = f"{result.said} {result.fix}"
        report.reasons[general(result.said) or "read"] += 1
        if result.defect:
            report.defects.append((index, origin, result.defect))
        if "unexpected" in result.said:
            report.defects.append((index, origin, result.said))
        report.slowest = max(report.slowest, (result.seconds, index))
        report.peak = max(report.peak, (result.peak_mb, -index)) if report.peak[1] != -1 else (result.peak_mb, -index)
    found = [secret for secret in secrets if secret in text]
    if found:
        report.leaks.append((index, origin))


def general(reason: str) -> str:
    """Return a reason with its numbers taken out, so that reasons of one kind are counted together."""
    return "".join("#" if letter.isdigit() else letter for letter in reason).replace("##", "#").replace("##", "#")
