"""The slices of each case put in order, volume by volume, and what makes no volume put aside with the reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from hounsfield.cohort.grouping import Draft
from hounsfield.read import Header, Source, runs_of, same_pictures

Locate = Callable[[Header], Source]


@dataclass(frozen=True)
class Ordered:
    """Drafts whose headers stand in slice order; the index → reason of those that are no volume; and single files left out."""

    drafts: list[Draft]
    refused: dict[int, str] = field(default_factory=dict)
    aside: list[tuple[Header, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def in_slice_order(drafts: Sequence[Draft], locate: Locate, *, keep_uneven: bool = False) -> Ordered:
    """Order the slices of every case, series by series and volume by volume (`hounsfield.read.stacks`).

    A series whose slices are no volume (slices missing, uneven steps, unexplained repeats) is put aside; a case that loses
    all of its series is refused. A case of one file with one frame is what it is.

    Parameters
    ----------
    locate:
        Where the file of a header lies.
    keep_uneven:
        Keep such slices, in the order of their positions, as pictures that belong together and are no volume.
    """
    ordered: list[Draft] = []
    refused: dict[int, str] = {}
    aside: list[tuple[Header, str]] = []
    said: dict[str, int] = defaultdict(int)
    for index, draft in enumerate(drafts):
        if len(draft.headers) == 1 and draft.headers[0].frames == 1:
            ordered.append(replace(draft, stacks=(1,)))
            continue
        kept, stacks, lost, troubles, notes = _judged(draft.headers, locate, keep_uneven)
        for note in notes:
            said[note] += 1
        if kept:
            ordered.append(replace(draft, headers=kept, stacks=tuple(stacks)))
            aside += lost
        else:  # listed as a case, and not file by file
            ordered.append(replace(draft, headers=draft.headers, stacks=(sum(one.frames for one in draft.headers),)))
            refused[index] = "; ".join(dict.fromkeys(troubles))
    return Ordered(ordered, refused, aside, [f"{count} case(s): {note}" for note, count in sorted(said.items())])


def _judged(
    headers: Sequence[Header], locate: Locate, keep_uneven: bool
) -> tuple[list[Header], list[int], list[tuple[Header, str]], list[str], list[str]]:
    """Return headers in order, frames per volume, files left out, the troubles met, and notes."""
    kept: list[Header] = []
    stacks: list[int] = []
    aside: list[tuple[Header, str]] = []
    troubles: list[str] = []
    notes: list[str] = []
    for members in _series(headers):
        found = runs_of(members, same_pictures([locate(header) for header in members]))
        aside += found.aside
        for run in found.runs:
            if run.trouble and not keep_uneven:
                troubles.append(run.trouble)
                aside += [(header, run.trouble) for header in run.headers]
                continue
            notes += [*run.notes, *([f"{run.trouble}; kept as pictures"] if run.trouble else [])]
            kept += run.headers
            stacks += (
                [run.frames]
                if len(run.headers) > 1
                else [block.frames for block in run.headers[0].blocks] or [run.frames]
            )
    return kept, stacks, aside, troubles, notes


def _series(headers: Iterable[Header]) -> list[list[Header]]:
    """Group the headers of a case by series, the oldest study first."""
    groups: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        groups[header.series_uid or ""].append(header)
    ordered = sorted(groups.items(), key=lambda item: (item[1][0].study_date or "", item[0]))
    return [
        sorted(members, key=lambda header: (header.instance_number or 0, str(header.source))) for _, members in ordered
    ]
