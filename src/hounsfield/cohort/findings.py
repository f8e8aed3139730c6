"""What the cells of a label table say: one class, or the states of several labels (present, absent, uncertain, not known)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from hounsfield.core.cohort import ABSENT, PRESENT, UNCERTAIN
from hounsfield.errors import LabelError

States = tuple[int | None, ...]
Blank = Literal["unknown", "absent"]
Uncertain = Literal["unknown", "present", "absent", "class"]

BLANKS = {"", "na", "n/a", "nan", "null", "unknown", "?"}
_PRESENT = {"1", "1.0", "yes", "y", "true", "t", "present", "positive", "pos"}
_ABSENT = {"0", "0.0", "no", "n", "false", "f", "absent", "negative", "neg"}
# -1 as in CheXpert (Irvin et al., AAAI 2019) and MIMIC-CXR-JPG.
_UNCERTAIN = {"-1", "-1.0"}
_UNCERTAIN_WORDS = {"uncertain", "equivocal", "indeterminate"}
_NOTHING = re.compile(r"no[ _-]?finding(s)?|normal|none|healthy|negative", re.IGNORECASE)
_BAR = "|"  # parts the labels of one cell, as in ChestX-ray14 (Wang et al., CVPR 2017)


@dataclass(frozen=True)
class Findings:
    """What each row says: a class (text), None where that is not known, or a tuple of states, one for each of `names`."""

    values: list[str | None] | list[States]
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def findings_of(
    table: pl.DataFrame, columns: Sequence[str], blank: Blank, path: Path, known: Sequence[str] = ()
) -> Findings:
    """Read the label column(s) of a table.

    Several columns hold one state each. One column whose cells part several labels by a bar lists those that are present.
    `known` are the labels of a model of which a case may have several: one column alone is then never of classes, but of
    the states of the label that it is named after, or such a list.

    Raises
    ------
    LabelError
        If a cell of several columns holds no state, with its row; or `blank` is "absent" where there is one class per case.
    """
    if len(columns) > 1 or columns[0] in known:
        return _from_columns(table, columns, blank, path)
    values = [_known(value) for value in table[columns[0]].to_list()]
    if known or any(_BAR in value for value in values if value is not None):
        return _from_lists(values)
    if blank == "absent":
        raise LabelError(
            "an empty cell can mean absent only where a case may have several labels",
            where=path,
            fix="Leave --blank out.",
        )
    return Findings(values)


def is_uncertain(value: str | None, others: set[str]) -> bool:
    """Say whether a class means that nobody is sure; `others` are all the classes of the column.

    -1 does only beside 0 and 1: where the classes are -1 and 1 it is the negative one.
    """
    if value is None:
        return False
    return value.lower() in _UNCERTAIN_WORDS or (value in _UNCERTAIN and bool(others & {"0", "0.0"}))


def settled(states: States, uncertain: Uncertain) -> States:
    """Return states in which uncertain ones count as the policy says; "class" is not for several labels."""
    instead = {"present": PRESENT, "absent": ABSENT}.get(uncertain, UNCERTAIN)
    return tuple(instead if state == UNCERTAIN else state for state in states)


def _from_columns(table: pl.DataFrame, columns: Sequence[str], blank: Blank, path: Path) -> Findings:
    read = [_states_of(table[name], name, blank, path) for name in columns]
    counts = [Counter(column) for column in read]
    told = "; ".join(
        f"{name} {count[PRESENT]} present, {count[ABSENT]} absent, {count[UNCERTAIN]} uncertain, {count[None]} not known"
        for name, count in zip(columns, counts, strict=True)
    )
    notes = [f"{len(columns)} labels per case, by rows of the table: {told}"]
    if blank == "absent":
        empty = sum(_known(value) is None for name in columns for value in table[name].to_list())
        notes.append(f"{empty} empty cells count as absent, as asked for")
    return Findings(list(zip(*read, strict=True)), tuple(columns), tuple(notes))


def _states_of(column: pl.Series, name: str, blank: Blank, path: Path) -> list[int | None]:
    meaning: dict[str, int | None] = {
        **dict.fromkeys(_PRESENT, PRESENT), **dict.fromkeys(_ABSENT, ABSENT),
        **dict.fromkeys(_UNCERTAIN | _UNCERTAIN_WORDS, UNCERTAIN),
        **dict.fromkeys(BLANKS, ABSENT if blank == "absent" else None),
    }  # fmt: skip
    states: list[int | None] = []
    for row, value in enumerate(column.to_list(), start=2):
        text = (value or "").strip().lower()
        if text not in meaning:
            raise LabelError(
                f"row {row} of column {name!r} holds neither present nor absent (1, 0, yes, no), uncertain (-1) nor nothing",
                where=path, fix="With several --label columns each must hold such states.",
            )  # fmt: skip
        states.append(meaning[text])
    return states


def _from_lists(values: Sequence[str | None]) -> Findings:
    lists = [
        None if value is None else [part.strip() for part in value.split(_BAR) if part.strip()] for value in values
    ]
    names = tuple(sorted({name for listed in lists if listed for name in listed if not _NOTHING.fullmatch(name)}))
    states: list[States] = [
        (None,) * len(names) if listed is None else tuple(PRESENT if name in listed else ABSENT for name in names)
        for listed in lists
    ]
    note = f"a cell lists the labels that are present, parted by {_BAR}; those it does not list count as absent"
    return Findings(states, names, (note,))


def _known(value: str | None) -> str | None:
    text = (value or "").strip()
    return None if text.lower() in BLANKS else text
