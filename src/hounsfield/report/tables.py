"""Rows of the report's tables, as plain values that a template can print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from hounsfield.core import Cohort, Plan
from hounsfield.core.cohort import ABSENT, PRESENT, SPLITS, UNCERTAIN
from hounsfield.evaluate import TITLES, Change, Evaluation, Shift, signed
from hounsfield.evaluate.caution import CERTAIN
from hounsfield.measure import BOUNDED, Estimate, decimals, p_value, span
from hounsfield.report.words import COVARIATES, anonymous, decision_title, decision_value, meaning, scrub

UNKNOWN = "not known"
# What lies between 0 and 1 and can be drawn there.
SHARES = (*BOUNDED, "ece_by_chance")
# What is shown of each label where a case may have several; calibration last.
LABEL_TITLES = {
    **{name: TITLES[name] for name in ("auc", "sensitivity", "specificity", "ppv", "npv", "f1")},
    "average_precision": "AP",
    "ece": "ECE",
}


@dataclass(frozen=True)
class MeasureRow:
    """A measure, its estimate in words, and where its interval lies between 0 and 1 (for the small drawing)."""

    name: str
    title: str
    meaning: str
    value: str
    interval: str
    estimate: Estimate

    @property
    def marks(self) -> tuple[float, float, float] | None:
        found = self.estimate
        if self.name not in SHARES or found.value is None or found.low is None or found.high is None:
            return None
        return found.low * 100, found.value * 100, found.high * 100


def measure_rows(evaluation: Evaluation) -> list[MeasureRow]:
    """Rows of an evaluation as a whole."""
    positive, several = evaluation.positive, evaluation.multi_label
    share = evaluation.prevalence[positive]["share"] if positive is not None else None
    return [
        MeasureRow(name, TITLES[name], meaning(name, positive, share, several), _value(item), interval(item), item)
        for name, item in evaluation.estimates.items()
    ]


def interval(estimate: Estimate) -> str:
    """ "0.81–0.92", or nothing."""
    if estimate.low is None or estimate.high is None:
        return ""
    return span(estimate.low, estimate.high)


def calibration_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One row per measure of probabilities: before the calibration, and after it."""
    return [
        {"name": name, "title": TITLES[name], "before": item, "after": evaluation.estimates[name]}
        for name, item in evaluation.raw.items()
    ]


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


def label_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One row per label where a case may have several: what is known of it, its threshold, and its main measures in words."""
    return [
        {
            "label": label,
            "present": int(row["cases"]),
            "absent": int(row["absent"]),
            "unknown": evaluation.cases - int(row["known"]),
            "threshold": evaluation.thresholds.get(label),
            "estimates": [evaluation.per_class[label][name] for name in LABEL_TITLES]
            if label in evaluation.per_class
            else [],
            "reason": evaluation.not_judged.get(label, ""),
            "cells": [count for counts in evaluation.confusions.get(label, []) for count in counts],
        }
        for label, row in evaluation.prevalence.items()
    ]


def confusion_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One row per true label: counts, and the share of the row, which sets the shade of a cell."""
    rows = []
    for label, counts in zip(evaluation.labels, evaluation.confusion, strict=True):
        total = sum(counts)
        cells = [{"count": count, "share": count / total if total else 0.0} for count in counts]
        rows.append({"label": label, "total": total, "cells": cells})
    return rows


def drop_rows(changes: Mapping[str, Change]) -> list[dict[str, str]]:
    """One row per measure, or per label."""
    rows = []
    for name, item in changes.items():
        gap = item.difference
        limits = "" if gap.low is None or gap.high is None else f"{signed(gap.low)} to {signed(gap.high)}"
        rows.append(
            {
                "title": TITLES.get(name, name),
                "home": str(item.home),
                "away": str(item.away),
                "difference": "–" if gap.value is None else signed(gap.value),
                "interval": limits or gap.note,
            }
        )
    return rows


def subgroup_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One row per group: what it is, how large, its measures in words, and whether it differs by more than chance."""
    rows = []
    for item in evaluation.subgroups:
        area = item.estimates["auc"]
        rows.append(
            {
                "name": f"{COVARIATES.get(item.covariate, item.covariate)} {item.value}",
                "cases": item.cases,
                "patients": item.patients,
                "positives": item.positives,
                "estimates": [str(one) for one in item.estimates.values()],
                # With several labels a group may lack some, and its mean is then another mean: the note says so.
                "note": "" if area.value is None else area.note,
                "p": _p(item.adjusted),
                "differs": item.adjusted is not None and item.adjusted < CERTAIN,
            }
        )
    return rows


def shift_rows(found: Shift) -> dict[str, Any]:
    """What differs at another centre: likely causes, properties, and what corrections would do to the probabilities."""
    bent = found.recalibrated
    return {
        "causes": [scrub(text) for text in found.causes],
        "properties": [
            {"name": item.name, "home": item.home, "away": item.away, "p": _p(item.p)}
            for item in found.shifted
        ],
        "corrections": [] if bent is None else [
            (name, str(bent.brier[name]), str(bent.log_loss[name])) for name in bent.brier
        ],
    }  # fmt: skip


def doubt_rows(evaluation: Evaluation) -> dict[str, Any] | None:
    """Coverage of the sets of labels, and how many labels they hold; None where the predictions carry none."""
    found = evaluation.doubt
    if found is None or found.target is None:
        return None
    words = {"0": "none: like no case it was calibrated on", "1": "one: an answer"}
    more = {str(size): f"{size}: cannot tell them apart" for size in range(2, len(evaluation.labels) + 1)}
    both = {"2": "both: cannot tell"} if evaluation.multi_label or len(evaluation.labels) == 2 else {}
    return {
        "target": f"{found.target:.0%}",
        "coverage": [
            (label or ("all" if evaluation.multi_label else "all cases"), item)
            for label, item in found.coverage.items()
        ],
        "sizes": [((words | more | both)[size], f"{part:.0%}") for size, part in found.sizes.items()],
    }


def _p(value: float | None) -> str:
    """ "0.02" or "< 0.001", under a heading that says p."""
    return "" if value is None else p_value(value).removeprefix("p ").removeprefix("= ")


def hidden_groups(evaluation: Evaluation) -> str:
    """Which groups were too small, in words; nothing where none was."""
    told = [f"{COVARIATES.get(name, name).lower()} ({count})" for name, count in evaluation.hidden_groups.items()]
    return f"Groups of fewer than ten patients, not shown: {', '.join(told)}." if told else ""


def cohort_table(cohort: Cohort) -> dict[str, Any]:
    """Counts of cases by split and site (where there are several) against label, with patients and totals.

    Where a case may have several labels the counts are of those in which a label is present; `states` then has present,
    absent, uncertain and not known for each.
    """
    usable = cohort.usable.with_columns(pl.col("site").fill_null(UNKNOWN), pl.col("label").fill_null(UNKNOWN))
    several = cohort.about.multi_label
    seen = set() if several else set(usable["label"].to_list())
    labels = list(cohort.about.labels) + sorted(seen - set(cohort.about.labels))
    sites = sorted(usable["site"].unique().to_list())
    rows = []
    for split in SPLITS:
        part = usable.filter(pl.col("split") == split)
        for site in sites:
            here = part.filter(pl.col("site") == site)
            if here.height:
                rows.append(_counts(here, labels, several) | {"split": split, "site": site})
    return {
        "labels": labels,
        "sites": sites,
        "rows": rows,
        "total": _counts(usable, labels, several),
        "states": _states(usable, labels) if several else [],
        "modalities": sorted(usable["modality"].drop_nulls().unique().to_list()),
    }


def _counts(rows: pl.DataFrame, labels: list[str], several: bool) -> dict[str, Any]:
    if several:
        counts = [row["present"] for row in _states(rows, labels)]
    else:
        by_label = dict(rows.group_by("label").len().iter_rows())
        counts = [int(by_label.get(label, 0)) for label in labels]
    return {"counts": counts, "cases": rows.height, "patients": rows["patient"].n_unique()}


def _states(rows: pl.DataFrame, labels: list[str]) -> list[dict[str, Any]]:
    """Per label: in how many cases it is present, absent, uncertain, not known."""
    kinds = {"present": PRESENT, "absent": ABSENT, "uncertain": UNCERTAIN}
    found = []
    for place, label in enumerate(labels):
        state = rows["states"].list.get(place, null_on_oob=True)
        counts = {kind: int((state == value).sum()) for kind, value in kinds.items()}
        found.append({"label": label, **counts, "unknown": rows.height - sum(counts.values())})
    return found


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
