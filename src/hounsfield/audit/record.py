"""Audit: what is wrong, or might be, with a cohort, found before anything is trained on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from hounsfield.core import files
from hounsfield.errors import UsageError

SCHEMA_VERSION = 1
# An alarm stands on top of every report; a warning wants a look before training; a note is good to know.
Level = Literal["alarm", "warning", "note"]
Topic = Literal["shortcut", "duplicates", "labels", "leaks", "patients", "balance", "missing", "split", "images"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(_Record):
    """An AUC with its 95% interval, and how that was made; numbers are None where `note` says why."""

    value: float | None
    low: float | None
    high: float | None
    method: str
    note: str = ""


class Item(_Record):
    """Something found, in one sentence; `cases` (or patients) are pseudonyms, at most some of them."""

    level: Level
    topic: Topic
    sentence: str
    cases: list[str] = []


class Column(_Record):
    """How well one fact of the files predicts a label, alone.

    Attributes
    ----------
    also:
        Facts that part the cases in just the same way, such as the model beside the manufacturer.
    family:
        What kind of fact it is: "site", "scanner and protocol", "file", "picture" (size, frames…), "brightness", "burned in" (text,
        markers, lines, borders), or "patient" (sex, age), which may be a cause of the disease and is no shortcut by itself.
    interval:
        95%, for this column alone.
    alarm:
        Whether its interval lies above chance also when all columns that were tried are allowed for, and the AUC is high.
    detail:
        What it looks like, in words: "GE: 31 of 40 are yes; SIEMENS: 19 of 60" or "median 12 where yes, 40 elsewhere".
    """

    name: str
    also: list[str] = []
    family: str
    interval: Interval
    alarm: bool
    detail: str


class Shortcut(_Record):
    """How well facts beside the anatomy predict one label (against all others), cross-validated by patient.

    `joint` takes all columns that are no patient's facts together; `columns` stand best first.
    """

    label: str
    cases: int
    positives: int
    patients: int
    joint: Interval
    alarm: bool
    columns: list[Column]
    note: str = ""


class Group(_Record):
    """Cases and patients with one value of a column, by label."""

    column: str
    value: str
    cases: int
    patients: int
    labels: dict[str, int]


class Missing(_Record):
    """In how many cases a column has no value."""

    column: str
    missing: int
    cases: int


class Association(_Record):
    """How strongly two columns go together: Cramér's V (0 to 1, bias-corrected), and a sentence."""

    first: str
    second: str
    strength: float
    sentence: str


class Pair(_Record):
    """Two cases that show the same picture.

    Attributes
    ----------
    kind:
        "exact": every value is the same. "near": the same picture after what `how` says.
    likeness:
        Correlation of the two pictures, 1 where they are equal.
    parts:
        The parts that the two were given, where the split came with the data.
    fate:
        What was done, in words: "kept, never parted", "the second was put aside"…
    """

    first: str
    second: str
    kind: Literal["exact", "near"]
    how: str
    likeness: float
    labels: tuple[str, str]
    same_label: bool
    same_patient: bool
    parts: tuple[str | None, str | None]
    fate: str


class Picture(_Record):
    """A small picture beside the record: `path` relative to the audit's folder."""

    path: str
    case: str
    label: str
    caption: str


class Audit(_Record):
    """What an audit found. It names cases by pseudonym, and no path, name or date.

    Attributes
    ----------
    items:
        Everything worth a sentence, alarms first.
    several:
        Whether a case may have several labels.
    counts:
        Cases by label, as in the cohort.
    samples, artefacts:
        Pictures of cases drawn at random for each label; and of burned-in text, markers, lines and borders.
    pair_pictures:
        Pictures of the first and the second of some pairs, in the order of `pairs`.
    not_done:
        What was left out, and why.
    """

    schema_version: int = SCHEMA_VERSION
    cohort: str
    unit: str
    cases: int
    patients: int
    labels: list[str]
    several: bool
    counts: dict[str, int]
    split_sentence: str
    parts: dict[str, int]
    items: list[Item]
    shortcuts: list[Shortcut]
    groups: list[Group]
    missing: list[Missing]
    associations: list[Association]
    pairs: list[Pair]
    quarantine: list[tuple[int, str, str]]
    samples: list[Picture] = []
    artefacts: list[Picture] = []
    pair_pictures: list[tuple[Picture, Picture]] = []
    not_done: list[str] = []
    seconds: dict[str, float] = {}

    def of(self, level: Level) -> list[Item]:
        """Return what was found at one level."""
        return [item for item in self.items if item.level == level]

    def save(self, folder: Path) -> None:
        """Write audit.json into a folder."""
        files.write_json(folder / "audit.json", self.model_dump(mode="json"))

    @classmethod
    def load(cls, folder: Path) -> Audit:
        """Read what `save` wrote.

        Raises
        ------
        UsageError
            If there is none, or it is damaged or of another version.
        """
        content: Any = files.read_json(folder / "audit.json")
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise UsageError(
                "this is no audit of this version", where=folder / "audit.json", fix="Audit again: hounsfield audit RUN"
            ) from error

    def __str__(self) -> str:
        told = ", ".join(f"{len(self.of(level))} {level}(s)" for level in ("alarm", "warning", "note"))
        return f"Audit of {self.cases} cases of {self.patients} patients: {told} ({self.cohort[:8]})"
