"""Which cases show the same picture: by their marks, by their pixels, and nearly."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
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

    Rows that are the same by a chain of marks have one first row, so that a thousand copies make 999 pairs.
    """
    leader = list(range(len(files)))
    for marks in (files, pixels):
        first: dict[Hashable, int] = {}
        for row, mark in enumerate(marks):
            if mark is not None:
                one, other = _root(leader, first.setdefault(mark, row)), _root(leader, row)
                leader[max(one, other)] = min(one, other)
    found = []
    for row in range(len(files)):
        root = _root(leader, row)
        if root != row:
            same_file = files[row] is not None and files[row] == files[root]
            how = "the same file or object" if same_file else "the same pixels in another file"
            found.append(Same(root, row, "exact", how))
    return found


def _root(leader: list[int], row: int) -> int:
    while leader[row] != row:
        leader[row] = leader[leader[row]]
        row = leader[row]
    return row
