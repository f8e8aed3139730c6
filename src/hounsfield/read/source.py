"""Source: where one image lies, a file or a member of an archive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A file, or one member of it.

    Attributes
    ----------
    path:
        The file.
    member:
        Which image inside the file, such as "train/12" in a MedMNIST .npz; None where the file is one image.
    """

    path: Path
    member: str | None = None

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f"{self.path}:{self.member}"


def as_source(value: Source | Path | str) -> Source:
    """Return `value` as a Source."""
    return value if isinstance(value, Source) else Source(Path(value))
