"""The same image twice: one is kept, the others go to quarantine with the pair named."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from hounsfield.cohort.grouping import Draft
from hounsfield.read import Header

# In which part an image is kept when it stands in several: what judges the model is not touched.
KEEP_FIRST = {"test": 0, "calibration": 1, "validation": 2, "train": 3, None: 4}


def drop_repeated_files(
    headers: Sequence[Header], marks: Mapping[int, str]
) -> tuple[list[Header], list[tuple[int, int]]]:
    """Return (headers without repeated DICOM objects, pairs of (repeated, kept) indices).

    One SOPInstanceUID names one object (PS3.5 section 9), so a second file with it adds nothing.
    """
    kept: dict[str, int] = {}
    repeated: list[tuple[int, int]] = []
    for index, header in enumerate(headers):
        if header.kind != "dicom" or index not in marks:
            continue
        if marks[index] in kept:
            repeated.append((index, kept[marks[index]]))
        else:
            kept[marks[index]] = index
    gone = {index for index, _ in repeated}
    return [header for index, header in enumerate(headers) if index not in gone], repeated


def repeated_cases(drafts: Sequence[Draft], marks: Mapping[tuple[str, str | None], str]) -> dict[int, tuple[int, str]]:
    """Return index → (index of the case it repeats, reason) for cases that are one image with equal content.

    Parameters
    ----------
    marks:
        (path, member) → mark of the content.
    """
    alike: dict[str, list[int]] = defaultdict(list)
    for index, draft in enumerate(drafts):
        source = draft.headers[0].source
        mark = marks.get((str(source.path), source.member))
        if len(draft.headers) == 1 and mark is not None:
            alike[mark].append(index)
    found: dict[int, tuple[int, str]] = {}
    for group in alike.values():
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
