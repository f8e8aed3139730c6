"""The tables of the page as CSV, with full numbers; one file for each kind of table, all parts in it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hounsfield.evaluate import Evaluation
from hounsfield.measure import Estimate
from hounsfield.report.notes import provenance
from hounsfield.report.reporting import Guideline
from hounsfield.report.results import Results
from hounsfield.report.tables import cohort_table, plan_rows, quarantine_rows, training_rows
from hounsfield.report.words import scrub, scrubbed, slug

Rows = Iterable[Sequence[Any]]
_ESTIMATE = ("value", "low", "high", "method", "n", "skipped", "note")
_CONSEQUENCES = ("found", "missed", "alarms", "cleared")
_CELLS = ("true negative", "false positive", "false negative", "true positive")


def sheets(results: Results, filled: Sequence[Guideline]) -> dict[str, str]:
    """Return file name → CSV text. A file without rows has its header alone, so that programs need not ask."""
    judged = results.judged
    return {
        "cohort.csv": _cohort(results),
        "labels.csv": _sheet(
            ("label", "present", "absent", "uncertain", "unknown"),
            [list(row.values()) for row in cohort_table(results.found.cohort)["states"]],
        ),
        "put_aside.csv": _sheet(
            ("stage", "kind", "reason", "count"),
            [
                [row[name] for name in ("stage", "kind", "reason", "count")]
                for row in quarantine_rows(results.found.cohort)
            ],
        ),
        "plan.csv": _sheet(
            ("decision", "value", "reason"), [list(row.values()) for row in plan_rows(results.found.plan)]
        ),
        "training.csv": _training(results),
        "measures.csv": _sheet(("part", "class", "measure", *_ESTIMATE), _measures(judged)),
        "calibration.csv": _sheet(("part", "when", "measure", *_ESTIMATE), _calibrated(judged)),
        "operating_points.csv": _points(judged),
        "sets.csv": _sheet(("part", "label", *_ESTIMATE), _sets(judged)),
        "set_sizes.csv": _sheet(
            ("part", "labels in the set", "share"),
            [
                [part, size, share]
                for part, one in judged.items()
                if one.doubt
                for size, share in one.doubt.sizes.items()
            ],
        ),
        "groups.csv": _groups(judged),
        "centres.csv": _sheet(("centre", "class", "measure", "side", *_ESTIMATE), _changes(results)),
        "shifts.csv": _sheet(
            ("centre", "property", "home", "there", "effect", "p"),
            [
                [name, item.name, item.home, item.away, item.effect, item.p]
                for name, found in results.shifts.items()
                for item in found.shifted
            ],
        ),
        "corrections.csv": _sheet(("centre", "correction", "measure", *_ESTIMATE), _corrections(results)),
        "parity.csv": _sheet(
            ("name", "value"), [[name, _plain(value)] for name, value in (results.found.parity or {}).items()]
        ),
        "making.csv": _sheet(("name", "value"), _flat(provenance(results.found))),
        "reporting.csv": _sheet(
            ("guideline", "section", "number", "asks", "status", "answer", "open"),
            [
                [one.name, item.section, item.number, item.asks, item.status, item.answer, item.open]
                for one in filled
                for item in one.items
            ],
        ),
        "attention.csv": _sheet(
            ("label", "place", "cases", "of", "area", "share", "chance", "elsewhere", "figure", *_ESTIMATE),
            _attention(results.found.attention or {}),
        ),
        "pointing.csv": _sheet(("method", "lesions", "figure", *_ESTIMATE), _pointing(results.found.attention or {})),
        **{f"confusion_{slug(name)}.csv": _confusion(one) for name, one in judged.items()},
    }


def _sheet(header: Sequence[str], rows: Rows) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def _numbers(estimate: Estimate) -> list[Any]:
    content = estimate.to_dict()
    return [content[name] for name in _ESTIMATE]


def _attention(content: Mapping[str, Any]) -> list[list[Any]]:
    known = ("label", "place", "cases", "of", "area", "share", "chance", "elsewhere")
    return [
        [*(_plain(scrubbed(one[name])) for name in known), figure, *(one[figure][name] for name in _ESTIMATE)]
        for one in content.get("zones", [])
        for figure in ("peak", "change", "turned")
        if one[figure] is not None
    ]


def _pointing(content: Mapping[str, Any]) -> list[list[Any]]:
    return [
        [one["title"], one["cases"], figure, *(one[figure][name] for name in _ESTIMATE)]
        for one in content.get("pointing", [])
        for figure in ("peak", "centre", "random", "better", "share")
    ]


def _cohort(results: Results) -> str:
    table = cohort_table(results.found.cohort)
    rows = [[row["split"], row["site"], *row["counts"], row["cases"], row["patients"]] for row in table["rows"]]
    total = table["total"]
    return _sheet(
        ("split", "site", *table["labels"], "cases", "patients"),
        [*rows, ["all", "", *total["counts"], total["cases"], total["patients"]]],
    )


def _training(results: Results) -> str:
    names = ("epoch", "validation_auc", "validation_loss")
    history = results.found.history
    rows = [] if history is None else training_rows(history)
    return _sheet(
        ("member", "epochs", "kept_epoch", *names[1:], "images_per_second"),
        [
            [
                row["member"],
                row["epochs"],
                *((row["kept"] or dict.fromkeys(names))[name] for name in names),
                row["speed"],
            ]
            for row in rows
        ],
    )


def _measures(judged: dict[str, Evaluation]) -> Rows:
    for part, one in judged.items():
        for label, row in {"": one.estimates, **one.per_class}.items():
            for name, estimate in row.items():
                yield [part, label, name, *_numbers(estimate)]


def _calibrated(judged: dict[str, Evaluation]) -> Rows:
    for part, one in judged.items():
        for name, estimate in one.raw.items():
            yield [part, "before", name, *_numbers(estimate)]
            yield [part, "after", name, *_numbers(one.estimates[name])]


def _points(judged: dict[str, Evaluation]) -> str:
    """One row per part, rule and prevalence; none where no task is binary."""
    shares = ("sensitivity", "specificity")
    ends = [f"{name}{end}" for name in (*shares, "ppv", "npv") for end in ("", "_low", "_high")]
    rows = [
        [
            part, point.rule, point.threshold, at.prevalence,
            *(value for one in (*(point.estimates[name] for name in shares), at.ppv, at.npv) for value in (one.value, one.low, one.high)),
            *(getattr(at, name) for name in _CONSEQUENCES),
        ]
        for part, evaluation in judged.items()
        for point in evaluation.points
        for at in point.at
    ]  # fmt: skip
    header = ("part", "rule", "threshold", "prevalence", *ends, *(f"{name}_per_1000" for name in _CONSEQUENCES))
    return _sheet(header, rows)


def _sets(judged: dict[str, Evaluation]) -> Rows:
    for part, one in judged.items():
        for label, estimate in one.doubt.coverage.items() if one.doubt else ():
            yield [part, label, *_numbers(estimate)]


def _groups(judged: dict[str, Evaluation]) -> str:
    header = (
        "part",
        "covariate",
        "group",
        "cases",
        "patients",
        "positives",
        "measure",
        *_ESTIMATE,
        "auc_of_others",
        "p",
        "p_corrected",
    )
    rows = [
        [
            part, item.covariate, scrub(item.value), item.cases, item.patients, item.positives, name, *_numbers(estimate),
            *((item.rest, item.p, item.adjusted) if name == "auc" else (None, None, None)),
        ]
        for part, one in judged.items()
        for item in one.subgroups
        for name, estimate in item.estimates.items()
    ]  # fmt: skip
    return _sheet(header, rows)


def _changes(results: Results) -> Rows:
    for drop in results.drops:
        named = [("", name, change) for name, change in drop.changes.items()]
        for label, name, change in [*named, *((label, "auc", change) for label, change in drop.areas.items())]:
            for side in ("home", "away", "difference"):
                yield [drop.away, label, name, side, *_numbers(getattr(change, side))]


def _corrections(results: Results) -> Rows:
    for centre, found in results.shifts.items():
        if found.recalibrated is None:
            continue
        for measure, each in (("brier", found.recalibrated.brier), ("log_loss", found.recalibrated.log_loss)):
            for name, estimate in each.items():
                yield [centre, name, measure, *_numbers(estimate)]


def _flat(content: dict[str, Any]) -> Rows:
    for name, value in content.items():
        if isinstance(value, dict):
            yield from ([f"{name}: {inner}", _plain(item)] for inner, item in value.items())
        else:
            yield [name, _plain(value)]


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return "; ".join(str(_plain(item)) for item in value)
    return scrub(value) if isinstance(value, str) else value


def _confusion(evaluation: Evaluation) -> str:
    if evaluation.multi_label:
        return _sheet(
            ("label", *_CELLS), ([label, *rows[0], *rows[1]] for label, rows in evaluation.confusions.items())
        )
    rows = ([label, *counts] for label, counts in zip(evaluation.labels, evaluation.confusion, strict=True))
    return _sheet(("truth \\ decision", *evaluation.labels), rows)
