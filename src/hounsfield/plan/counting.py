"""How many training cases have each label, of how many it is known, and how many patients that is."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from hounsfield.core.cohort import ABSENT, PRESENT


@dataclass(frozen=True)
class Counts:
    """Label → cases that have it, cases of which it is known whether they do, patients who have it."""

    present: dict[str, int]
    known: dict[str, int]
    patients: dict[str, int]


def count_labels(table: pl.DataFrame, labels: list[str], *, multi_label: bool) -> Counts:
    """Count the rows of a cohort's table; an uncertain state is not known."""
    has = {name: _has(place, name, multi_label) for place, name in enumerate(labels)}
    knows = {
        name: pl.col("states").list.get(place).is_in([PRESENT, ABSENT])
        if multi_label
        else pl.col("label").is_not_null()
        for place, name in enumerate(labels)
    }
    return Counts(
        present={name: table.filter(found).height for name, found in has.items()},
        known={name: table.filter(found).height for name, found in knows.items()},
        patients={name: table.filter(found)["patient"].n_unique() for name, found in has.items()},
    )


def _has(place: int, name: str, multi_label: bool) -> pl.Expr:
    return pl.col("states").list.get(place) == PRESENT if multi_label else pl.col("label") == name
