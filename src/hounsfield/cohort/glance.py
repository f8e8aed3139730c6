"""What a worker process does with one file when pixels are looked at. It loads no tables."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hounsfield.artefacts import find_in
from hounsfield.cohort.alike.likeness import SIDE, thumbnail
from hounsfield.core.image import Image
from hounsfield.read import Source, read_image
from hounsfield.read.technical import Fact, technical_facts

Seen = list[dict[str, object]]


@dataclass(frozen=True, slots=True)
class Glance:
    """What to look at: some frames of the file of a case; `modality` as the scan knows it."""

    source: Source
    file: int
    frames: tuple[int, ...]
    modality: str | None


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen in some frames of a file.

    Attributes
    ----------
    artefacts:
        Kind, place and score of burned-in text, markers, lines and borders.
    facts:
        What the file says of its making, and simple facts of its pixels.
    digest:
        Of the values of all its pixels, whatever the file format.
    thumbnails:
        Bytes of (frames, SIDE, SIDE) uint8.
    """

    artefacts: Seen
    facts: dict[str, Fact]
    digest: str
    thumbnails: bytes

    @property
    def frames(self) -> int:
        """How many small pictures there are."""
        return len(self.thumbnails) // SIDE**2


def look_at(glance: Glance) -> Look:
    """Look at some frames of a file."""
    image = read_image(glance.source, digest=False)
    frames = [frame for frame in glance.frames if frame < image.frames] or [0]
    pictures = [image.pixels[frame] for frame in frames]
    facts = technical_facts(glance.source.path) if glance.source.member is None else {}
    facts |= _facts_of(image, pictures[len(pictures) // 2])
    if glance.source.member is None and glance.source.path.suffix.lower() not in (".gz", ".npz"):
        facts["bytes per pixel"] = round(glance.source.path.stat().st_size / (image.pixels.size or 1), 4)
    thumbnails = np.stack([thumbnail(picture) for picture in pictures])
    return Look(_artefacts(image, glance, frames), facts, _digest(image), thumbnails.tobytes())


def _artefacts(image: Image, glance: Glance, frames: Sequence[int]) -> Seen:
    facts = image.facts
    modality = "CT" if image.unit == "HU" else facts.modality or glance.modality
    seen: Seen = []
    for frame in frames:
        found = find_in(image.pixels[frame], value_range=facts.value_range, inverted=facts.inverted, modality=modality)
        seen += [_entry(glance.file, frame, one.kind, one.box, one.score) for one in found]
    if facts.burned_in and not any(one["kind"] == "text" for one in seen):
        # BurnedInAnnotation says YES (PS3.3 C.7.6.1.1.2), without saying where.
        seen.append(_entry(glance.file, frames[0], "text", (0.0, 0.0, 1.0, 1.0), 1.0))
    return seen


def _facts_of(image: Image, frame: np.ndarray) -> dict[str, Fact]:
    """Return simple facts of one frame: none of them knows any anatomy."""
    colour = frame.ndim == 3
    grey = frame.mean(axis=-1) if colour else frame
    low, high = (float(value) for value in np.percentile(grey[::2, ::2] if grey.size > 65536 else grey, [0.5, 99.5]))
    bottom, top = image.facts.value_range or (float(grey.min()), float(grey.max()))
    span = (top - bottom) or 1.0
    edge = max(1, min(grey.shape) // 16)
    inner = grey[edge:-edge, edge:-edge]
    outer = (float(grey.sum()) - float(inner.sum())) / max(1, grey.size - inner.size)
    steps = float(np.abs(np.diff(grey, axis=0)).mean()) if grey.shape[0] > 1 else 0.0
    corners = [grey[:edge, :edge], grey[:edge, -edge:], grey[-edge:, :edge], grey[-edge:, -edge:]]
    return {
        "mean brightness": float(grey.mean()),
        "spread of brightness": float(grey.std()),
        "darkest (0.5%)": low,
        "brightest (99.5%)": high,
        "greatest value": float(grey.max()),
        "least value": float(grey.min()),
        "share black": float((grey <= bottom + 0.01 * span).mean()),
        "share white": float((grey >= top - 0.01 * span).mean()),
        "brightness at the edge": outer,
        "brightest corner": max(float(corner.max()) for corner in corners),
        "fine detail": steps / (float(grey.std()) or 1.0),
        "coloured": bool(colour and float(np.ptp(frame, axis=-1).max()) > 0.02 * span),
        "values inverted": image.facts.inverted,
    }


def _digest(image: Image) -> str:
    mark = hashlib.blake2b(repr((image.unit, image.pixels.shape)).encode(), digest_size=16)
    mark.update(np.ascontiguousarray(image.pixels).data)
    return mark.hexdigest()


def _entry(file: int, frame: int, kind: str, box: Sequence[float], score: float) -> dict[str, object]:
    top, left, bottom, right = (round(float(np.clip(value, 0, 1)), 4) for value in box)
    return {
        "kind": kind, "file": file, "frame": frame, "top": top, "left": left, "bottom": bottom, "right": right,
        "score": round(float(score), 3),
    }  # fmt: skip
