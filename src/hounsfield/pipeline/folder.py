"""The run folder: where each stage writes, and what is remembered from one command to the next."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from hounsfield.core import files


@dataclass(frozen=True)
class RunFolder:
    """RUN/{cohort.parquet, quarantine.csv, duplicates.csv, audit/, plan.yaml, store/, train/, bundle/, predictions/, explain/,
    report/, export/, private/}.
    """

    path: Path

    @property
    def audit(self) -> Path:
        return self.path / "audit"

    @property
    def plan(self) -> Path:
        return self.path / "plan.yaml"

    @property
    def bundle(self) -> Path:
        return self.path / "bundle"

    @property
    def explain(self) -> Path:
        return self.path / "explain"

    @property
    def export(self) -> Path:
        return self.path / "export"

    @property
    def report(self) -> Path:
        return self.path / "report" / "index.html"

    def predictions(self, name: str) -> Path:
        return self.path / "predictions" / f"{name}.parquet"

    def external(self, name: str) -> Path:
        return self.path / "external" / name

    def recall(self, what: str) -> str | None:
        """Return the digest that was remembered under a name, if any."""
        return self._state().get(what)

    def remember(self, what: str, mark: str) -> None:
        """Remember a digest of the options that a stage was run with."""
        files.write_json(self.path / "state.json", {**self._state(), what: mark})

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the seconds of a stage, and the peak of memory so far, to train/cost.json."""
        started = time.perf_counter()
        yield
        place = self.path / "train" / "cost.json"
        known: dict[str, Any] = files.read_json(place) if place.exists() else {"seconds": {}, "peak_memory_gib": 0.0}
        known["seconds"][stage] = round(time.perf_counter() - started, 2)
        known["peak_memory_gib"] = round(max(known["peak_memory_gib"], peak_memory()), 3)
        files.write_json(place, known)

    def _state(self) -> dict[str, str]:
        place = self.path / "state.json"
        return files.read_json(place) if place.exists() else {}


def peak_memory() -> float:
    """Return the peak resident memory of this process plus the present one of its children, in GiB."""
    own = psutil.Process()
    info = own.memory_info()
    peak = getattr(info, "peak_wset", 0) or _peak_of_unix() or info.rss
    children = 0
    for child in own.children(recursive=True):
        try:
            children += child.memory_info().rss
        except psutil.Error:
            continue
    return (peak + children) / 2**30


def _peak_of_unix() -> int:
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
