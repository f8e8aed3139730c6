"""Values that occur under one label alone: rare, so that they weigh little in an AUC, and a sure sign where they stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from hounsfield.audit.coding import FEWEST_SHARING, PATIENT, Floats, Rows
from hounsfield.audit.record import Item

# A value counts if chance would put it under one label alone in less than one of a hundred cohorts; it is a warning if that
# holds for all values that were tried together (Bonferroni), else a note.
ERROR, ERROR_OF_ALL = 0.01, 0.05
_MOST_VALUES = 30  # of one column; more are no categories
_TOLD = 8


@dataclass(frozen=True)
class _Single:
    what: str
    state: str
    cases: int
    patients: int
    chance: float


def single_items(
    facts: pl.DataFrame, families: Mapping[str, str], truth: Floats, labels: Sequence[str], groups: Sequence[str]
) -> list[Item]:
    """Return items on values (and on whether a fact is given at all) that occur under one label alone.

    Parameters
    ----------
    facts, families, truth, labels, groups:
        As `shortcuts.shortcut_test` takes them. Values that fewer than five patients share are not looked at.
    """
    _, owner = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    items: list[Item] = []
    for place, label in enumerate(labels):
        known = np.isfinite(truth[:, place])
        found, tried = _found(facts.filter(known), families, truth[known, place] == 1, owner[known], label)
        for level, sure in (("warning", True), ("note", False)):
            mine = [one for one in found if (one.chance * tried < ERROR_OF_ALL) == sure]
            if mine:
                told = "; ".join(
                    f"{one.what} in {one.cases} case(s) of {one.patients} patients, all {one.state}"
                    for one in mine[:_TOLD]
                )
                more = f"; and {len(mine) - _TOLD} more" if len(mine) > _TOLD else ""
                how = "" if sure else " (among so many facts some do by chance)"
                sentence = f"Under one label alone{how}: {told}{more}"
                items.append(Item(level=level, topic="shortcut", sentence=sentence))
    return items


def _found(
    facts: pl.DataFrame, families: Mapping[str, str], positive: Rows, owner: np.ndarray, label: str
) -> tuple[list[_Single], int]:
    # Of patients: those with a positive case, and those with another one.
    shares = {
        state: len(np.unique(owner[positive == state])) / max(1, len(np.unique(owner))) for state in (True, False)
    }
    found: dict[bytes, _Single] = {}
    tried = 0
    for name in facts.columns:
        if families.get(name, PATIENT) == PATIENT:
            continue
        for what, where in _values(name, facts[name]):
            patients = len(np.unique(owner[where]))
            if patients < FEWEST_SHARING or where.all():
                continue
            tried += 1
            states = np.unique(positive[where])
            if len(states) > 1:
                continue
            chance = 2 * shares[bool(states[0])] ** patients
            if chance < ERROR:
                state = f"{label!r}" if states[0] else f"without {label!r}"
                one = _Single(what, state, int(where.sum()), patients, chance)
                found.setdefault(where.tobytes(), one)  # another fact of the very same cases says nothing new
    return sorted(found.values(), key=lambda one: one.chance), tried


def _values(name: str, column: pl.Series) -> Iterator[tuple[str, Rows]]:
    """Yield what is told and where it holds: whether the fact is given, and each value of a category."""
    missing = column.is_null().to_numpy()
    if missing.any():
        yield f"{name} given", ~missing
        yield f"{name} missing", missing
    if column.dtype == pl.String and column.n_unique() <= _MOST_VALUES:
        for value in column.drop_nulls().unique(maintain_order=True):
            yield f"{name} {value!r}", (column == value).fill_null(False).to_numpy()
    elif column.dtype == pl.Boolean:
        for state, word in ((True, ""), (False, "no ")):
            yield f"{word}{name}", (column == state).fill_null(False).to_numpy()
