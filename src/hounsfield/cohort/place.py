"""Where each case goes: respect splits that are given, fill in the parts that are missing, or make folds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from hounsfield.cohort.duplicates import KEEP_FIRST
from hounsfield.cohort.grouping import Draft
from hounsfield.cohort.split import SHARES, fold_patients, split_patients
from hounsfield.errors import SplitError

# A part taken from given training cases: an eighth keeps most of them for training.
CARVED = {"train": 7, "carved": 1}


@dataclass(frozen=True)
class Placement:
    """One split (or None) and one fold (or None) per case; index → reason for those put aside; a sentence for reports."""

    splits: list[str | None]
    folds: list[int | None]
    quarantine: dict[int, str]
    sentence: str


def place(drafts: Sequence[Draft], *, folds: int, seed: int) -> Placement:
    """Split cases by patient.

    Raises
    ------
    SplitError
        If there are too few patients, or only some of the cases have a given split.
    """
    given = [draft.split for draft in drafts]
    if any(given) and not all(given):
        raise SplitError("some cases have a given split and others have none", fix="Give every case a split, or none.")
    splits: list[str | None] = list(given)
    quarantine = _patients_in_two_parts(drafts, splits) if all(given) else {}
    for index in quarantine:
        splits[index] = None
    if folds:
        return _with_folds(drafts, splits, quarantine, folds, seed)
    if not all(given):
        made = split_patients(*_columns(drafts, range(len(drafts))), SHARES, seed)
        shares = ", ".join(f"{share * 5}% {name}" for name, share in SHARES.items())
        return Placement(
            list(made), [None] * len(drafts), {}, f"Split by patient, stratified by label, seed {seed}: {shares}."
        )
    sentences = ["The split is the one given with the data."]
    for missing in ("test", "validation", "calibration"):
        if missing not in splits:
            _carve(drafts, splits, missing, seed)
            sentences.append(
                f"It has no {missing} part: an eighth of the training patients, stratified, seed {seed}, became that."
            )
    if quarantine:
        sentences.append(f"{len(quarantine)} cases of patients in two parts were put aside.")
    return Placement(splits, [None] * len(drafts), quarantine, " ".join(sentences))


def _with_folds(
    drafts: Sequence[Draft], splits: list[str | None], quarantine: dict[int, str], folds: int, seed: int
) -> Placement:
    inside = [index for index in range(len(drafts)) if index not in quarantine and splits[index] != "test"]
    made = fold_patients(*_columns(drafts, inside), folds, seed)
    result: list[int | None] = [None] * len(drafts)
    for index, fold in zip(inside, made, strict=True):
        result[index], splits[index] = fold, "train"
    kept = " The given test part is kept." if "test" in splits else ""
    sentence = f"{folds} folds by patient, stratified by label, seed {seed}.{kept}"
    return Placement(splits, result, quarantine, sentence)


def _carve(drafts: Sequence[Draft], splits: list[str | None], missing: str, seed: int) -> None:
    inside = [index for index, name in enumerate(splits) if name == "train"]
    made = split_patients(*_columns(drafts, inside), CARVED, seed)
    for index, name in zip(inside, made, strict=True):
        splits[index] = missing if name == "carved" else "train"


def _patients_in_two_parts(drafts: Sequence[Draft], splits: Sequence[str | None]) -> dict[int, str]:
    """Put aside the cases of a patient that would leak from what judges the model into what trains it."""
    parts: dict[str, set[str | None]] = defaultdict(set)
    for draft, split in zip(drafts, splits, strict=True):
        parts[draft.patient].add(split)
    quarantine = {}
    for index, draft in enumerate(drafts):
        kept = min(parts[draft.patient], key=lambda name: KEEP_FIRST[name])
        if splits[index] != kept:
            quarantine[index] = f"the patient also stands in the {kept} part (a leak)"
    return quarantine


def _columns(drafts: Sequence[Draft], inside: Sequence[int] | range) -> tuple[list[str], list[str]]:
    return [drafts[index].patient for index in inside], [str(drafts[index].label) for index in inside]
