"""Small pictures for the data sheet: some cases of every label, burned-in things, and pairs of duplicates."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from hounsfield.audit.record import Picture
from hounsfield.core import files
from hounsfield.core.cohort import PRESENT, Cohort
from hounsfield.core.image import Image
from hounsfield.errors import HounsfieldError
from hounsfield.read import Source, each, read_image

SIDE = 208
PER_LABEL, PER_KIND, PAIRS = 6, 4, 16
_KINDS = ("text", "marker", "line", "border")
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class _Job:
    source: Source
    frame: int
    box: Box | None


class Pictures:
    """Collects pictures that are wanted, then decodes each once, in worker processes, and writes them as PNG."""

    def __init__(self, cohort: Cohort) -> None:
        self._cohort = cohort
        self._rows = {row["case"]: row for row in cohort.table.select("case", "files", "frames").iter_rows(named=True)}
        self._wanted: dict[tuple[str, Box | None], tuple[int, int]] = {}

    def want(self, case: str, file: int | None = None, frame: int = 0, box: Box | None = None) -> None:
        """Ask for a frame of a case, the middle one if none is named, perhaps with a box drawn on it."""
        counts = self._rows[case]["frames"]
        if file is None:
            middle = (sum(counts) - 1) // 2
            file = 0
            while middle >= counts[file]:
                middle -= counts[file]
                file += 1
            frame = middle
        self._wanted[case, box] = (file, frame)

    def write(self, folder: Path, workers: int | None) -> dict[tuple[str, Box | None], str]:
        """Write what is wanted; return (case, box) → path relative to `folder`. What cannot be read has none."""
        keys = [self._rows[case]["files"][file] for (case, _), (file, _) in self._wanted.items()]
        places = self._cohort.locate(keys)
        jobs = [
            _Job(Source(path, member), frame, box)
            for (path, member), ((_, box), (_, frame)) in zip(places, self._wanted.items(), strict=True)
        ]
        written: dict[tuple[str, Box | None], str] = {}
        target = files.make_folder(folder / "pictures")
        for old in target.glob("*.png"):
            old.unlink()
        for (number, result), (case, box) in zip(each(_drawn, jobs, workers=workers), self._wanted, strict=True):
            if isinstance(result, HounsfieldError):
                continue
            name = f"pictures/{number:03d}-{case}.png"
            with files.replacing(folder / name) as partial:
                partial.write_bytes(result)
            written[case, box] = name
        return written


def samples(cohort: Cohort, seed: int) -> list[tuple[str, str]]:
    """Return (case, label) of some usable cases of each label, drawn at random."""
    generator = np.random.default_rng(seed)
    chosen = []
    for number, label in enumerate(cohort.about.labels):
        if cohort.about.multi_label:
            of_label = cohort.usable.filter(pl.col("states").list.get(number) == PRESENT)
        else:
            of_label = cohort.usable.filter(pl.col("label") == label)
        cases = of_label["case"].to_list()
        picked = generator.permutation(len(cases))[:PER_LABEL]
        chosen += [(cases[place], label) for place in sorted(picked.tolist())]
    return chosen


def burned_in(cohort: Cohort, seed: int) -> list[tuple[str, str, int, int, Box]]:
    """Return (case, kind, file, frame, box) of some artefacts of each kind, drawn at random."""
    generator = np.random.default_rng(seed)
    found: dict[str, list[tuple[str, str, int, int, Box]]] = {kind: [] for kind in _KINDS}
    for case, seen in cohort.usable.select("case", "artefacts").iter_rows():
        for one in seen or []:
            box = (one["top"], one["left"], one["bottom"], one["right"])
            found[one["kind"]].append((case, one["kind"], one["file"], one["frame"], box))
    return [
        places[number]
        for places in found.values()
        for number in sorted(generator.permutation(len(places))[:PER_KIND].tolist())
    ]


def picture(
    written: dict[tuple[str, Box | None], str], case: str, label: str, caption: str, box: Box | None = None
) -> Picture | None:
    """Return the record of a picture, None where it could not be drawn."""
    path = written.get((case, box))
    return None if path is None else Picture(path=path, case=case, label=label, caption=caption)


def _drawn(job: _Job) -> bytes:
    from PIL import Image as Pillow
    from PIL import ImageDraw

    image = read_image(job.source, digest=False)
    shown = Pillow.fromarray(_eight_bits(image, min(job.frame, image.frames - 1)))
    shown.thumbnail((SIDE, SIDE), Pillow.Resampling.BOX)
    if job.box is not None:
        shown = shown.convert("RGB")
        top, left, bottom, right = job.box
        width, height = shown.size
        corners = (left * width - 1, top * height - 1, right * width, bottom * height)
        ImageDraw.Draw(shown).rectangle(corners, outline=(255, 140, 0), width=2)
    buffer = io.BytesIO()
    shown.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _eight_bits(image: Image, frame: int) -> np.ndarray:
    """Show a frame as its file asks for (the first window), else from its 1st to its 99th percentile."""
    values = image.pixels[frame]
    windows = image.facts.windows
    if image.unit != "RGB" and windows:
        low, high = windows[0].centre - windows[0].width / 2, windows[0].centre + windows[0].width / 2
    else:
        sample: Sequence[float] = values[::4, ::4].ravel() if values.size > 65536 else values.ravel()
        low, high = np.percentile(sample, [1, 99])
    if image.unit == "RGB":
        low, high = 0.0, float(image.facts.value_range[1]) if image.facts.value_range else max(1.0, float(high))
    shown = np.clip((values - low) / max(1e-6, float(high) - float(low)), 0, 1)
    return ((1 - shown if image.facts.inverted else shown) * 255).astype(np.uint8)
