"""The same image twice: one is kept, the others go to quarantine with the pair named."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from hounsfield.cohort.grouping import Draft
from hounsfield.read import Header, Source

# In which part an image is kept when it stands in several: what judges the model is not touched.
KEEP_FIRST = {"test": 0, "calibration": 1, "validation": 2, "train": 3, None: 4}


class Marks:
    """Marks of content: two images with the same mark are the same image.

    A DICOM object has its SOPInstanceUID, which names one object (PS3.5 section 9). Others have a digest of their bytes
    or values, as far as it was needed: a file whose size no other file has is like none of them.
    """

    def __init__(self, digests: Mapping[Source, str | None] | None = None) -> None:
        self._digests = digests or {}

    def of(self, header: Header) -> str | None:
        """Return the mark of an image, None where it is like no other."""
        return header.sop_uid or self._digests.get(header.source)


def drop_repeated_files(headers: Sequence[Header], marks: Marks) -> tuple[list[Header], list[Header]]:
    """Return (headers without repeated DICOM objects, those that repeat one), the first of each kept."""
    seen: set[str] = set()
    kept: list[Header] = []
    repeated: list[Header] = []
    for header in headers:
        mark = marks.of(header) if header.kind == "dicom" else None
        (repeated if mark in seen else kept).append(header)
        if mark is not None:
            seen.add(mark)
    return kept, repeated


def repeated_cases(drafts: Sequence[Draft], marks: Marks) -> dict[int, tuple[int, str]]:
    """Return index → (index of the case it repeats, reason) for cases that are one image with equal content."""
    alike: dict[str, list[int]] = defaultdict(list)
    for index, draft in enumerate(drafts):
        mark = marks.of(draft.headers[0]) if len(draft.headers) == 1 else None
        if mark is not None:
            alike[mark].append(index)
    found: dict[int, tuple[int, str]] = {}
    for group in alike.values():
        if len(group) > 1:
            found |= _repeats(drafts, sorted(group, key=lambda index: (KEEP_FIRST[drafts[index].split], index)))
    return found


def _repeats(drafts: Sequence[Draft], group: list[int]) -> dict[int, tuple[int, str]]:
    """Judge one group of equal images, the best kept first. A given test part is never made smaller."""
    first, keeper = group[0], drafts[group[0]].split
    conflict = len({drafts[index].label for index in group}) > 1
    found = {}
    for index in group:
        split = drafts[index].split
        if split == "test" or (index == first and not (conflict and len(group) > 1)):
            continue
        partner = first if index != first else group[1]
        if conflict:
            found[index] = (partner, "the same image stands here under two labels")
        elif split != keeper:
            found[index] = (partner, f"the same image stands in the {keeper} part (a leak)")
        else:
            found[index] = (partner, "the same image, a second time")
    return found
