"""Which draft cases are used, their slices in order, and why the others are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hounsfield.cohort.grouping import Draft
from hounsfield.cohort.slices import Locate, in_slice_order
from hounsfield.read import Header


@dataclass(frozen=True)
class Stated:
    """What the user knows of all images and their files do not say. Pictures (PNG, JPEG) say neither."""

    site: str | None = None
    modality: str | None = None
    body_part: str | None = None


@dataclass(frozen=True)
class Looking:
    """How images are looked at.

    Attributes
    ----------
    uneven:
        What becomes of slices that make no volume: "aside", or "keep" as pictures that belong together.
    pixels:
        Whether pixels are decoded: to find near duplicates, burned-in text, markers, lines and borders, and what an audit
        needs to know.
    """

    uneven: Literal["aside", "keep"] = "aside"
    pixels: bool = True


@dataclass(frozen=True)
class Chosen:
    """The drafts that are used, and why the others are not.

    Attributes
    ----------
    drafts:
        Those that are used, their headers in slice order.
    away:
        Those that are not, with the reason.
    aside:
        Single files of cases that are used: scouts, copies, series that are no volume.
    """

    drafts: list[Draft]
    away: list[tuple[Draft, str]]
    aside: list[tuple[Header, str]]
    notes: list[str]


def choose(drafts: Sequence[Draft], locate: Locate, uneven: Literal["aside", "keep"] = "aside") -> Chosen:
    """Put slices in order, and leave out cases that make no volume."""
    ordered = in_slice_order(drafts, locate, keep_uneven=uneven == "keep")
    away = [(ordered.drafts[index], why) for index, why in ordered.refused.items()]
    kept = [draft for index, draft in enumerate(ordered.drafts) if index not in ordered.refused]
    return Chosen(kept, away, ordered.aside, ordered.notes)
