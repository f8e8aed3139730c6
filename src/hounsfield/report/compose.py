"""`write_report`: judge the predictions of a run once, then write one page, one JSON file and the tables behind it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hounsfield.core import files
from hounsfield.evaluate import Drop, Evaluation, Shift, compare, evaluate, shift
from hounsfield.report.card import card
from hounsfield.report.gather import Found, gather
from hounsfield.report.notes import cautions, missing, provenance
from hounsfield.report.page import render
from hounsfield.report.tables import cohort_table, quarantine_rows
from hounsfield.report.words import scrubbed, slug

SCHEMA_VERSION = 1
_MEASURES = ("part", "class", "measure", "value", "low", "high", "method", "n", "skipped", "note")

_CONSEQUENCES = ("found", "missed", "alarms", "cleared")
_CELLS = ("true negative", "false positive", "false negative", "true positive")


def write_report(run: Path, *, resamples: int = 2000, seed: int = 0, prevalences: Sequence[float] = ()) -> Path:
    """Write the page RUN/report/index.html and what stands beside it, and return the page's path.

    Beside it: report.json, model_card.md, measures.csv, operating_points.csv and confusion_<part>.csv.

    A run folder needs a cohort and a plan; whatever else is missing is said in words. The page stands alone: it loads
    nothing, and names no patient, path or date. The private folder is not read.

    Raises
    ------
    HounsfieldError
        If cohort or plan is missing, or a file that is there cannot be understood.
    """
    found = gather(run)
    judged = {
        name: evaluate(predictions, resamples=resamples, seed=seed, prevalences=prevalences)
        for name, predictions in found.judged.items()
        if predictions.known.any()
    }
    main = next((name for name in ("test", "folds") if name in judged), None)
    drops = (
        [compare(judged[main], item) for name, item in judged.items() if name.startswith("external-")] if main else []
    )
    shifts = {drop.away: shift(found.judged[drop.home], found.judged[drop.away]) for drop in drops}
    warnings = cautions(found, judged, drops, main)
    folder = files.make_folder(run / "report")
    files.write_json(folder / "report.json", _record(found, judged, drops, shifts, main, warnings))
    files.write_text(folder / "measures.csv", _measures_csv(judged))
    files.write_text(folder / "operating_points.csv", _points_csv(judged))
    files.write_text(folder / "model_card.md", card(found, judged, drops, shifts, main))
    for stale in folder.glob("confusion_*.csv"):
        stale.unlink()
    for name, evaluation in judged.items():
        files.write_text(folder / f"confusion_{slug(name)}.csv", _confusion_csv(evaluation))
    page = folder / "index.html"
    files.write_text(page, render(found, judged, drops, shifts, main, warnings))
    return page


def _record(
    found: Found, judged: dict[str, Evaluation], drops: list[Drop], shifts: dict[str, Shift], main: str | None,
    warnings: list[str],
) -> dict[str, Any]:  # fmt: skip
    return {
        "schema_version": SCHEMA_VERSION,
        "main": main,
        "warnings": warnings,
        "missing": missing(found, judged),
        "evaluations": {name: evaluation.to_dict() for name, evaluation in judged.items()},
        "drops": [drop.to_dict() for drop in drops],
        "shifts": {name: item.to_dict() for name, item in shifts.items()},
        "cohort": cohort_table(found.cohort) | {"quarantine": quarantine_rows(found.cohort)},
        "audit": scrubbed([item.model_dump(mode="json") for item in found.audit.items]) if found.audit else None,
        "parity": scrubbed(found.parity),
        "cost": scrubbed(found.cost),
        "provenance": provenance(found),
    }


def _measures_csv(judged: dict[str, Evaluation]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _MEASURES, lineterminator="\n")
    writer.writeheader()
    for part, evaluation in judged.items():
        for label, row in {"": evaluation.estimates, **evaluation.per_class}.items():
            for name, estimate in row.items():
                writer.writerow({"part": part, "class": label, "measure": name, **estimate.to_dict()})
    return text.getvalue()


def _points_csv(judged: dict[str, Evaluation]) -> str:
    """One row per part, rule and prevalence; empty but for its header where no task is binary."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    shares = ("sensitivity", "specificity")
    ends = [f"{name}{end}" for name in (*shares, "ppv", "npv") for end in ("", "_low", "_high")]
    writer.writerow(["part", "rule", "threshold", "prevalence", *ends, *(f"{name}_per_1000" for name in _CONSEQUENCES)])
    for part, evaluation in judged.items():
        for point in evaluation.points:
            for at in point.at:
                found = [*(point.estimates[name] for name in shares), at.ppv, at.npv]
                values = [value for one in found for value in (one.value, one.low, one.high)]
                consequences = [getattr(at, name) for name in _CONSEQUENCES]
                writer.writerow([part, point.rule, point.threshold, at.prevalence, *values, *consequences])
    return text.getvalue()


def _confusion_csv(evaluation: Evaluation) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if evaluation.multi_label:
        writer.writerow(["label", *_CELLS])
        writer.writerows([label, *rows[0], *rows[1]] for label, rows in evaluation.confusions.items())
        return text.getvalue()
    writer.writerow(["truth \\ decision", *evaluation.labels])
    writer.writerows([label, *counts] for label, counts in zip(evaluation.labels, evaluation.confusion, strict=True))
    return text.getvalue()
