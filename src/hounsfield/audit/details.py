"""What a fact looks like where a label is present, and where it is not, in words."""

from __future__ import annotations

import numpy as np
import polars as pl

from hounsfield.audit.coding import FEWEST_SHARING, Floats, Known

_TOLD = 3


def detail_of(values: pl.Series, known: Known, label: str) -> str:
    """Say what a fact looks like in both classes, and nothing that fewer than five patients share."""
    if values.dtype.is_numeric():
        numbers = values.cast(pl.Float64).fill_nan(None)
        if numbers.drop_nulls().n_unique() > _TOLD + 1:
            return _numeric_detail(numbers.to_numpy(), known, label)
        values = pl.Series([None if number is None else _number(number) for number in numbers], dtype=pl.String)
    return _value_detail(values.cast(pl.String), known, label)


def _value_detail(values: pl.Series, known: Known, label: str) -> str:
    table = pl.DataFrame({"value": values, "owner": known.owner, "positive": known.positive})
    usual = float(known.positive.mean())
    found = (
        table.group_by("value")
        .agg(pl.len().alias("cases"), pl.col("positive").sum().alias("hits"), pl.col("owner").n_unique())
        .filter(pl.col("owner") >= FEWEST_SHARING)
        .sort((pl.col("hits") - usual * pl.col("cases")).abs().round(9), "value", descending=[True, False])
        .head(_TOLD)
    )
    told = [(_short(value), hits, cases) for value, cases, hits, _ in found.iter_rows()]
    others = table.filter(~pl.col("value").is_in(found["value"], nulls_equal=True))
    if others["owner"].n_unique() >= FEWEST_SHARING:
        told.append(("other values", int(others["positive"].sum()), others.height))
    parts = [f"{value}: {hits:,} of {cases:,}" for value, hits, cases in told]
    return "; ".join([f"{parts[0]} are {label}", *parts[1:]]) if parts else ""


def _numeric_detail(numbers: Floats, known: Known, label: str) -> str:
    missing, told = np.isnan(numbers), []
    for rows, where in ((known.positive, f"where {label}"), (~known.positive, "elsewhere")):
        if len(np.unique(known.owner[rows & ~missing])) < FEWEST_SHARING:
            told.append(f"known of too few patients {where}")
            continue
        low, middle, high = (_number(number) for number in np.quantile(numbers[rows & ~missing], [0.25, 0.5, 0.75]))
        told.append(f"median {middle} (middle half {low} to {high}) {where}")
    if len(np.unique(known.owner[missing])) >= FEWEST_SHARING:
        counts = (
            f"{int((missing & rows).sum()):,} of {int(rows.sum()):,}" for rows in (known.positive, ~known.positive)
        )
        told.append(f"missing in {next(counts)} and {next(counts)}")
    return "; ".join(told)


def _number(value: float) -> str:
    return (f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}").replace("-", "−")


def _short(value: str | None) -> str:
    if value is None:
        return "missing"
    return value if len(value) <= 40 else value[:39] + "…"
