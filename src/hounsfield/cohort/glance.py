"""What a worker process does with one file when pixels are looked at. It loads no tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hounsfield.artefacts import find_in
from hounsfield.read import Source, read_image

Seen = list[dict[str, object]]


@dataclass(frozen=True, slots=True)
class Glance:
    """What to look at: some frames of the file of a case; `modality` as the scan knows it."""

    source: Source
    file: int
    frames: tuple[int, ...]
    modality: str | None


def look_at(glance: Glance) -> Seen:
    """Look at some frames of a file."""
    image = read_image(glance.source, digest=False)
    facts = image.facts
    modality = "CT" if image.unit == "HU" else facts.modality or glance.modality
    seen: Seen = []
    for frame in glance.frames:
        if frame >= image.frames:
            continue
        found = find_in(image.pixels[frame], value_range=facts.value_range, inverted=facts.inverted, modality=modality)
        seen += [_entry(glance.file, frame, one.kind, one.box, one.score) for one in found]
    if facts.burned_in and not any(one["kind"] == "text" for one in seen):
        # BurnedInAnnotation says YES (PS3.3 C.7.6.1.1.2), without saying where.
        seen.append(_entry(glance.file, glance.frames[0], "text", (0.0, 0.0, 1.0, 1.0), 1.0))
    return seen


def _entry(file: int, frame: int, kind: str, box: Sequence[float], score: float) -> dict[str, object]:
    top, left, bottom, right = (round(float(np.clip(value, 0, 1)), 4) for value in box)
    return {
        "kind": kind, "file": file, "frame": frame, "top": top, "left": left, "bottom": bottom, "right": right,
        "score": round(float(score), 3),
    }  # fmt: skip
