"""Which draft cases are used, their slices in order, and why the others are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hounsfield.cohort.duplicates import Marks, repeated_cases
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
    artefacts:
        Whether pixels are decoded to find burned-in text, markers, lines and borders.
    """

    uneven: Literal["aside", "keep"] = "aside"
    artefacts: bool = True


@dataclass(frozen=True)
class Chosen:
    """The drafts that are used, and why the others are not.

    Attributes
    ----------
    drafts:
        Those that are used, their headers in slice order.
    away:
        Those that are not, with the reason; and the case that a duplicate repeats, if that is the reason.
    aside:
        Single files of cases that are used: scouts, copies, series that are no volume.
    """

    drafts: list[Draft]
    away: list[tuple[Draft, str, Draft | None]]
    aside: list[tuple[Header, str]]
    notes: list[str]


def choose(drafts: Sequence[Draft], marks: Marks, locate: Locate, uneven: Literal["aside", "keep"] = "aside") -> Chosen:
    """Put slices in order and leave out cases that make no volume, or that repeat another one; `marks` tell equal content."""
    ordered = in_slice_order(drafts, locate, keep_uneven=uneven == "keep")
    repeats = repeated_cases(ordered.drafts, marks)
    away: list[tuple[Draft, str, Draft | None]] = [
        (ordered.drafts[index], why, ordered.drafts[first]) for index, (first, why) in repeats.items()
    ]
    away += [(ordered.drafts[index], why, None) for index, why in ordered.refused.items() if index not in repeats]
    gone = {*repeats, *ordered.refused}
    kept = [draft for index, draft in enumerate(ordered.drafts) if index not in gone]
    return Chosen(kept, away, ordered.aside, ordered.notes)
