"""Which cases show the same picture: by their marks, by their pixels, and nearly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hounsfield.read import Header, Source


@dataclass(frozen=True)
class Same:
    """Two rows of a table whose pictures are the same (`first` < `second`); `how` the second differs, in words."""

    first: int
    second: int
    kind: Literal["exact", "near"]
    how: str
    likeness: float = 1.0


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

    def of_case(self, headers: Sequence[Header]) -> str | None:
        """Return the mark of a case of one file, None where it has more."""
        return self.of(headers[0]) if len(headers) == 1 else None


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


def exactly_the_same(files: Sequence[Hashable | None], pixels: Sequence[Hashable | None]) -> list[Same]:
    """Pair every row with the first one that has the same mark of its file, or of its pixels; None is like nothing.

    Rows of one picture are paired with its first row alone, so that a thousand copies make 999 pairs.
    """
    found = [Same(first, row, "exact", "the same file or object") for first, row in _with_the_first(files)]
    leader = {same.second: same.first for same in found}
    joined: list[Same] = []
    for first, row in _with_the_first(pixels):
        one, other = sorted((leader.get(first, first), leader.get(row, row)))
        if one != other:
            joined.append(Same(one, other, "exact", "the same pixels in another file"))
            leader[other] = one
    return found + joined


def _with_the_first(marks: Iterable[Hashable | None]) -> list[tuple[int, int]]:
    rows: dict[Hashable, list[int]] = defaultdict(list)
    for row, mark in enumerate(marks):
        if mark is not None:
            rows[mark].append(row)
    return [(alike[0], row) for alike in rows.values() for row in alike[1:]]
