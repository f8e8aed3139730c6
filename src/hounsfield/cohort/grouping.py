"""Headers + labels → draft cases: which files belong together, what their label is, who the patient is."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath

from hounsfield.cohort.classes import known_archive
from hounsfield.cohort.findings import States
from hounsfield.cohort.labels import KEY_KINDS, LabelTable, normalised
from hounsfield.cohort.regions import Interest, sentence
from hounsfield.errors import UsageError
from hounsfield.read import Header

GIVEN_SPLITS = {
    "train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation",
    "dev": "validation", "calibration": "calibration", "test": "test", "testing": "test",
}  # fmt: skip


NO_LABEL = "no label"


@dataclass
class Draft:
    """A case before it gets a pseudonym: its headers, and what is known of it.

    `stacks`: frames of each volume, in order, once `slices.in_slice_order` has put the headers in theirs. `given`: the part
    that came with the data, or the number of a fold. `interest`: the region of interest that the label table gives.
    """

    identity: str
    headers: list[Header]
    patient: str
    label: str | None = None
    states: States | None = None
    given: str | None = None
    facts: dict[str, str] = field(default_factory=dict)
    stacks: tuple[int, ...] = ()
    interest: Interest = field(default_factory=Interest)


@dataclass(frozen=True)
class Grouping:
    """Draft cases, where their labels came from, and what was left over.

    Attributes
    ----------
    findings:
        The labels of which a case may have several; empty where it has one of some classes.
    unlabelled:
        Cases without a label, with the reason: none is given, or two that contradict each other.
    unmatched_rows:
        (row, key) of the label table that no image has.
    left_over:
        (row, reason) of rows that were not used, or whose region was not, although an image may have their key.
    """

    drafts: list[Draft]
    unit: str
    label_column: str | None
    key_column: str | None
    patients_from: str
    unlabelled: list[tuple[Draft, str]]
    unmatched_rows: list[tuple[int, str]] = field(default_factory=list)
    left_over: list[tuple[int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    findings: tuple[str, ...] = ()


def key_index(headers: Sequence[Header], root: Path, table_folder: Path | None) -> dict[str, dict[str, list[int]]]:
    """Return key kind → key → the headers that have it. A stem that two files share is no key."""
    index: dict[str, dict[str, list[int]]] = {kind: defaultdict(list) for kind in KEY_KINDS}
    names, stems = Counter(_name(header) for header in headers), Counter(_stem(header) for header in headers)
    bases = {root, table_folder} - {None}
    for number, header in enumerate(headers):
        for base in bases:
            relative = _relative(header, base)
            if relative is not None:
                index["path"][relative].append(number)
                folder = relative.rpartition("/")[0]
                if folder:
                    index["folder"][folder].append(number)
        if names[_name(header)] == 1:
            index["path"].setdefault(_name(header), [number])
        if stems[_stem(header)] == 1:
            index["stem"][_stem(header)].append(number)
        uids = {
            "SeriesInstanceUID": header.series_uid, "StudyInstanceUID": header.study_uid, "PatientID": header.patient_id,
        }  # fmt: skip
        for kind, value in uids.items():
            if value:
                index[kind][normalised(value, kind)].append(number)
    return index


def by_table(
    headers: Sequence[Header],
    index: Mapping[str, Mapping[str, list[int]]],
    table: LabelTable,
    root: Path,
    pattern: str | None,
) -> Grouping:
    """Make cases from a label table: the kind of its key says what a case is."""
    groups = index[table.key_kind]
    owner, doubts, contested, notes = _owners(groups, table)
    grouped: dict[str, list[Header]] = defaultdict(list)
    unlabelled: list[Header] = []
    for number, header in enumerate(headers):
        if number in owner:
            grouped[owner[number]].append(header)
        else:
            unlabelled.append(header)
    drafts: list[Draft] = []
    without: list[tuple[Draft, str]] = []
    patients = _Patients(root, pattern)
    for key, members in grouped.items():
        facts = dict(table.covariates.get(key, {}))
        draft = Draft(key, members, patients.of(members[0], facts.get("patient")), table.labels[key], facts=facts)
        draft.states = table.states.get(key)
        if table.interests is not None and key not in contested:
            draft.interest = table.interests.get(key, Interest())
        draft.given = _given_split(facts.get("split") or members[0].split)
        if key in doubts:
            without.append((draft, doubts[key]))
        elif draft.label is None and not _any_known(draft.states):
            without.append((draft, NO_LABEL))
        else:
            drafts.append(draft)
    without += [
        (Draft(identity, members, patients.of(members[0], None)), NO_LABEL)
        for identity, members in _by_series(unlabelled, root).items()
    ]
    if table.interests is not None:
        notes.append(sentence([draft.interest for draft in drafts]))
    # Rows of a key that contradicts itself are listed for that, whether it has an image or not.
    unmatched = [(row, key) for key, row in table.rows.items() if key not in groups and key not in table.conflicts]
    return Grouping(
        drafts, table.unit, ", ".join(table.label_columns), f"{table.key_column} ({table.key_kind})", patients.sentence,
        without, unmatched, [*table.left_over, *contested.values()], [*table.notes, *notes], table.names,
    )  # fmt: skip


def _any_known(states: States | None) -> bool:
    return states is not None and any(state is not None for state in states)


def _owners(
    groups: Mapping[str, list[int]], table: LabelTable
) -> tuple[dict[int, str], dict[str, str], dict[str, tuple[int, str]], list[str]]:
    """Return header → key; key → why its label is not known; key → (row, why) its region is not; notes.

    One image may be named by two keys.
    """
    owner: dict[int, str] = {}
    contested: dict[str, tuple[int, str]] = {}
    interests = table.interests or {}
    doubts = dict(table.conflicts)
    repeats = 0
    for key, numbers in groups.items():
        for number in numbers if key in table.labels else []:
            other = owner.setdefault(number, key)
            if (table.labels[other], table.states.get(other)) != (table.labels[key], table.states.get(key)):
                one, two = sorted((table.rows[other], table.rows[key]))
                doubts[other] = f"two labels for one case: rows {one} and {two} of the label table name the same image"
            if interests.get(other) != interests.get(key):
                why = f"row {table.rows[other]} names the same image with another region of interest: none is used"
                contested[other] = (table.rows[key], why)
            repeats += other != key
    notes = [f"{repeats} rows name an image that another row names too"] if repeats else []
    return owner, doubts, contested, notes


def by_folder(headers: Sequence[Header], root: Path, pattern: str | None, *, labelled: bool = True) -> Grouping:
    """Make cases from class-named folders (below train/val/test folders, where there are such), or from archives.

    DICOM files of one series form one case; every other file is a case.
    """
    patients = _Patients(root, pattern)
    grouped = _by_series(headers, root)
    # Folders say labels only where there is more than one class; a plain folder says nothing.
    drafts: list[Draft] = []
    without: list[tuple[Draft, str]] = []
    for identity, members in grouped.items():
        draft = Draft(identity, members, patients.of(members[0], None))
        places = {_folder_label(header, root) for header in members} if labelled else {(None, None)}
        if members[0].kind == "npz":
            draft.label, draft.given = _archive_label(members[0]), members[0].split
        elif len(places) == 1:
            draft.given, draft.label = places.pop()
        if len(places) > 1:
            without.append((draft, f"two labels for one case: its files lie in {len(places)} class folders"))
        elif draft.label is None and labelled:
            without.append((draft, NO_LABEL))
        else:
            drafts.append(draft)
    volumes = any(len(draft.headers) > 1 for draft in drafts)
    archive = any(header.kind == "npz" for header in headers)
    source = "labels in the archive" if archive else "folder names" if labelled else None
    return Grouping(drafts, "series" if volumes else "image", source, None, patients.sentence, without)


def _by_series(headers: Sequence[Header], root: Path) -> dict[str, list[Header]]:
    grouped: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        grouped[header.series_uid or _identity(header, root)].append(header)
    return grouped


class _Patients:
    """Finds who the patient of an image is, and remembers by which rule."""

    def __init__(self, root: Path, pattern: str | None) -> None:
        self.root = root
        self.rules: Counter[str] = Counter()
        try:
            self.pattern = None if pattern is None else re.compile(pattern)
        except re.error as error:
            raise UsageError(f"--patient-pattern is no regular expression: {error}") from error

    def of(self, header: Header, named: str | None) -> str:
        if named:
            return self._by("the label table", named)
        if self.pattern is not None:
            found = self.pattern.search(_relative(header, self.root) or header.source.path.name)
            if found is None:
                raise UsageError(
                    "--patient-pattern matches nothing in the path of an image", fix="Make it match every path."
                )
            return self._by("the path", found.group(1) if found.groups() else found.group(0))
        if header.patient_id:
            return self._by("PatientID", header.patient_id)
        return self._by("the file: no patient is named, so each image counts as one", _identity(header, self.root))

    def _by(self, rule: str, identity: str) -> str:
        self.rules[rule] += 1
        return identity

    @property
    def sentence(self) -> str:
        return " and ".join(rule for rule, _ in self.rules.most_common()) or "nothing"


def _folder_label(header: Header, root: Path) -> tuple[str | None, str | None]:
    parts = PurePosixPath(_relative(header, root) or "").parts[:-1]
    if parts and parts[0].lower() in GIVEN_SPLITS and len(parts) > 1:
        return GIVEN_SPLITS[parts[0].lower()], parts[1]
    return None, parts[0] if parts else None


def _archive_label(header: Header) -> str | None:
    known = known_archive(header.source.path.stem)
    return known.names[int(header.label)] if known and header.label in ("0", "1") else header.label


def _given_split(name: str | None) -> str | None:
    """Return a part by our name, or the number of a fold; another word as it is, since nobody may ask for the column."""
    text = (name or "").strip().lower()
    return str(int(text)) if text.isdigit() else GIVEN_SPLITS.get(text, name)


def _relative(header: Header, base: Path | None) -> str | None:
    assert base is not None
    # Both are without links already (see `walk`), so text is enough; resolving each path would ask the disk.
    before, place = _before(base), header.source.path.as_posix()
    return place[len(before) :] if place.startswith(before) else None


@lru_cache(maxsize=8)
def _before(base: Path) -> str:
    return os.path.join(base.as_posix(), "")


def _identity(header: Header, root: Path) -> str:
    place = _relative(header, root) or header.source.path.name
    return f"{place}#{header.source.member}" if header.source.member else place


def _name(header: Header) -> str:
    return header.source.path.name


def _stem(header: Header) -> str:
    return stem_of(header.source.path.name)


def stem_of(place: str) -> str:
    """Return a file's name without folders and extension (.nii.gz is one extension)."""
    return re.sub(r"(\.nii)?\.[^.]*$", "", place.rpartition("/")[2])
