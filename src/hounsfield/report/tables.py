"""Rows of the report's tables, as plain values that a template can print."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from hounsfield.core import Cohort, Plan
from hounsfield.core.cohort import SPLITS
from hounsfield.evaluate import TITLES, Drop, Evaluation, signed
from hounsfield.measure import Estimate, decimals
from hounsfield.report.words import COVARIATES, anonymous, decision_title, decision_value, meaning, scrub

UNKNOWN = "not known"


@dataclass(frozen=True)
class MeasureRow:
    """A measure, its estimate in words, and where its interval lies between 0 and 1 (for the small drawing)."""

    title: str
    meaning: str
    value: str
    interval: str
    estimate: Estimate

    @property
    def marks(self) -> tuple[float, float, float] | None:
        found = self.estimate
        if found.value is None or found.low is None or found.high is None or found.high > 1:
            return None
        return found.low * 100, found.value * 100, found.high * 100


def measure_rows(evaluation: Evaluation, label: str | None = None) -> list[MeasureRow]:
    """Rows of an evaluation as a whole, or of one class of it."""
    found = evaluation.estimates if label is None else evaluation.per_class[label]
    positive = evaluation.positive if label is None else label
    share = evaluation.prevalence[positive]["share"] if positive is not None else None
    return [
        MeasureRow(TITLES[name], meaning(name, positive, share), _value(item), interval(item), item)
        for name, item in found.items()
    ]


def interval(estimate: Estimate) -> str:
    """ "0.81–0.92", or nothing."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{decimals(estimate.low)}–{decimals(estimate.high)}"


def class_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One row per class of a task with several: how often, and its main measures in words."""
    shown = ("auc", "sensitivity", "specificity", "ppv", "f1")
    return [
        {
            "label": label,
            "cases": int(evaluation.prevalence[label]["cases"]),
            "values": [str(row[name]) for name in shown],
        }
        for label, row in evaluation.per_class.items()
    ]


def confusion_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One row per true label: counts, and the share of the row, which sets the shade of a cell."""
    rows = []
    for label, counts in zip(evaluation.labels, evaluation.confusion, strict=True):
        total = sum(counts)
        cells = [{"count": count, "share": count / total if total else 0.0} for count in counts]
        rows.append({"label": label, "total": total, "cells": cells})
    return rows


def drop_rows(drop: Drop) -> list[dict[str, str]]:
    rows = []
    for name, item in drop.changes.items():
        gap = item.difference
        limits = "" if gap.low is None or gap.high is None else f"{signed(gap.low)} to {signed(gap.high)}"
        rows.append(
            {
                "title": TITLES[name],
                "home": str(item.home),
                "away": str(item.away),
                "difference": "–" if gap.value is None else signed(gap.value),
                "interval": limits or gap.note,
            }
        )
    return rows


def subgroup_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    return [row | {"covariate": COVARIATES[row["covariate"]], "auc": str(row["auc"])} for row in evaluation.subgroups]


def cohort_table(cohort: Cohort) -> dict[str, Any]:
    """Counts of cases by split and site (where there are several) against label, with patients and totals."""
    usable = cohort.usable.with_columns(pl.col("site").fill_null(UNKNOWN), pl.col("label").fill_null(UNKNOWN))
    seen = set(usable["label"].to_list())
    labels = list(cohort.about.labels) + sorted(seen - set(cohort.about.labels))
    sites = sorted(usable["site"].unique().to_list())
    rows = []
    for split in SPLITS:
        part = usable.filter(pl.col("split") == split)
        for site in sites:
            here = part.filter(pl.col("site") == site)
            if here.height:
                rows.append(_counts(here, labels) | {"split": split, "site": site})
    return {
        "labels": labels,
        "sites": sites,
        "rows": rows,
        "total": _counts(usable, labels),
        "modalities": sorted(usable["modality"].drop_nulls().unique().to_list()),
    }


def _counts(rows: pl.DataFrame, labels: list[str]) -> dict[str, Any]:
    by_label = dict(rows.group_by("label").len().iter_rows())
    return {
        "counts": [int(by_label.get(label, 0)) for label in labels],
        "cases": rows.height,
        "patients": rows["patient"].n_unique(),
    }


def quarantine_rows(cohort: Cohort) -> list[dict[str, Any]]:
    """What was put aside, by stage, kind and reason, the most frequent first; the items themselves are not named."""
    if not cohort.quarantine.height:
        return []
    reasons = [anonymous(reason or UNKNOWN) for reason in cohort.quarantine["reason"].to_list()]
    counted = (
        cohort.quarantine.with_columns(pl.Series("reason", reasons))
        .group_by("stage", "kind", "reason")
        .len("count")
        .sort("count", "stage", "kind", "reason", descending=[True, False, False, False])
    )
    return list(counted.iter_rows(named=True))


def plan_rows(plan: Plan) -> list[dict[str, str]]:
    return [
        {"title": decision_title(name), "value": decision_value(plan, name), "reason": scrub(item.reason)}
        for name, item in plan.decisions.items()
    ]


def training_rows(history: pl.DataFrame) -> list[dict[str, Any]]:
    """Per member: epochs run, the kept one, its AUC and loss."""
    rows = []
    for member in history["member"].unique(maintain_order=True):
        mine = history.filter(pl.col("member") == member)
        kept = mine.filter("best").tail(1).to_dicts()
        rows.append(
            {
                "member": member,
                "epochs": mine["epoch"].n_unique(),
                "kept": kept[0] if kept else None,
                "speed": mine["images_per_second"].mean(),
            }
        )
    return rows


def _value(estimate: Estimate) -> str:
    return "–" if estimate.value is None else decimals(estimate.value)
