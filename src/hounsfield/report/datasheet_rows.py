"""Rows of the data sheet: what its templates print and draw, and its tables as files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from hounsfield.audit.record import Audit, Column, Group, Interval, Pair, Shortcut
from hounsfield.measure import decimals
from hounsfield.report.words import COVARIATES, scrub

# So many are shown; the rest is counted, folded away, or in the files beside the page.
MOST = {
    "items": 12,
    "labels": 20,
    "columns": 12,
    "values": 12,
    "associations": 8,
    "pairs": 30,
    "open_pairs": 10,
    "samples": 12,
    "artefacts": 24,
}
FEW_LABELS = 4  # so many have a column of their own in the table of groups
LOWEST = 0.4  # where the drawings of AUCs begin: a little below guessing, so that an interval that holds it shows

_PAIR = """first second kind how likeness first_label second_label same_label same_patient first_part second_part
    fate"""
_SHORTCUT = "label cases positives patients column family auc low high method alarm detail note"

Row = dict[str, Any]


def labels_of(audit: Audit) -> list[str]:
    """All labels in their order; one that is only counted comes last."""
    return list(dict.fromkeys([*audit.labels, *audit.counts]))


def heading(column: str) -> str:
    """A column's name as people write it."""
    text = COVARIATES.get(column, column.replace("_", " "))
    return text[:1].upper() + text[1:]


def brief(text: str, most: int = 32) -> str:
    """A name that may be very long, for where there is little room."""
    text = scrub(text)  # before the cut, which might leave half of a path that is no longer known as one
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def auc(found: Interval, alarm: bool) -> Row:
    """An AUC in words, and where it lies in its drawing, in percent of the width."""
    whole = found.low is not None and found.high is not None
    return {
        "value": "–" if found.value is None else decimals(found.value),
        "interval": f"{decimals(found.low)}–{decimals(found.high)}" if whole else "",  # type: ignore[arg-type]
        "at": _at(found.value),
        "low": _at(found.low) if whole else None,
        "high": _at(found.high) if whole else None,
        "guess": _at(0.5),
        "alarm": alarm,
        "note": found.note,
    }


def _at(value: float | None) -> float | None:
    return None if value is None else round(min(max((value - LOWEST) / (1 - LOWEST), 0.0), 1.0) * 100, 1)


def shortcut_block(item: Shortcut) -> Row:
    """One label: everything together, then each column; it is opened on the page where something is alarming."""
    ordered = sorted(item.columns, key=lambda column: not column.alarm)
    columns = [_column(column) for column in ordered]
    telling = sum(column.alarm or (column.interval.low or 0.0) > 0.5 for column in ordered)
    return {
        "item": item,
        "joint": auc(item.joint, item.alarm),
        "best": next((column for column in columns if column["family"] != "patient"), None),
        "columns": columns,
        "shown": min(max(telling, 3), MOST["columns"]),
        "alarm": item.alarm or any(column.alarm for column in ordered),
    }


def _column(column: Column) -> Row:
    found = auc(column.interval, column.alarm)
    return {
        "name": heading(column.name),
        "also": column.also,
        "family": column.family,
        "auc": found,
        "detail": column.detail,
    }


def group_blocks(groups: Iterable[Group], order: Sequence[str]) -> list[Row]:
    """One block per column: the values with most cases in the order of the record, and what is left of them."""
    blocks: dict[str, list[Group]] = {}
    for group in groups:
        blocks.setdefault(group.column, []).append(group)
    return [_block(column, rows, order) for column, rows in blocks.items()]


def _block(column: str, rows: list[Group], order: Sequence[str]) -> Row:
    largest = sorted(range(len(rows)), key=lambda place: -rows[place].cases)
    shown = sorted(largest[: MOST["values"]])
    left = [rows[place] for place in largest[MOST["values"] :]]
    return {
        "title": heading(column),
        "rows": [{"group": rows[place], "bars": bars(rows[place], order)} for place in shown],
        "left": len(left),
        "left_cases": sum(group.cases for group in left),
    }


def bars(group: Group, order: Sequence[str]) -> list[Row]:
    """The share of each label, and where its piece of a stacked bar begins, in percent."""
    pieces, start = [], 0.0
    for place, label in enumerate(order):
        count = group.labels.get(label, 0)
        share = 100 * count / group.cases if group.cases else 0.0
        pieces.append({"label": label, "count": count, "start": start, "share": share, "colour": place % 8})
        start += share
    return pieces


def parted(pair: Pair) -> bool:
    """Whether the two stand in different parts of the split."""
    return None not in pair.parts and pair.parts[0] != pair.parts[1]


def pair_kinds(pairs: Iterable[Pair]) -> list[Row]:
    """Pairs by kind and by what makes them the same picture; and how many of them are worse than a mere repeat."""
    kinds: dict[tuple[str, str], Counter[str]] = {}
    for pair in pairs:
        counts = kinds.setdefault((pair.kind, pair.how), Counter())
        counts.update(pairs=1, labels=not pair.same_label, patients=not pair.same_patient, parts=parted(pair))
    return [{"kind": kind, "how": how, "counts": counts} for (kind, how), counts in sorted(kinds.items())]


def tables(audit: Audit) -> dict[str, tuple[list[str], list[list[Any]]]]:
    """File → its columns and rows, complete, where the page shows only the first."""
    order = labels_of(audit)
    pairs = [
        [x.first, x.second, x.kind, x.how, x.likeness, *x.labels, x.same_label, x.same_patient, *x.parts, x.fate]
        for x in audit.pairs
    ]
    groups = [
        [x.column, x.value, x.cases, x.patients, *(x.labels.get(label, 0) for label in order)] for x in audit.groups
    ]
    return {
        "pairs": (
            _PAIR.split(),
            pairs,
        ),
        "shortcuts": (
            _SHORTCUT.split(),
            [row for item in audit.shortcuts for row in _shortcut_rows(item)],
        ),
        "groups": (["column", "value", "cases", "patients", *(f"label:{label}" for label in order)], groups),
        "associations": (
            ["first", "second", "strength", "sentence"],
            [[x.first, x.second, x.strength, x.sentence] for x in audit.associations],
        ),
        "missing": (["column", "missing", "cases"], [[x.column, x.missing, x.cases] for x in audit.missing]),
        "items": (
            ["level", "topic", "sentence", "cases"],
            [[x.level, x.topic, x.sentence, " ".join(x.cases)] for x in audit.items],
        ),
    }


def _shortcut_rows(item: Shortcut) -> list[list[Any]]:
    """The joint value stands first, with no column named; then one row per column."""
    start = [item.label, item.cases, item.positives, item.patients]
    rows = [("", "all together", item.joint, item.alarm, item.note)]
    rows += [("; ".join([x.name, *x.also]), x.family, x.interval, x.alarm, x.detail) for x in item.columns]
    return [
        [*start, name, family, found.value, found.low, found.high, found.method, alarm, detail, found.note]
        for name, family, found, alarm, detail in rows
    ]
