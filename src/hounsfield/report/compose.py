"""`write_report`: judge the predictions of a run once, then write one page, one JSON file, a model card and the tables as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hounsfield.core import files
from hounsfield.report.card import card
from hounsfield.report.gather import gather
from hounsfield.report.notes import cautions, missing, provenance
from hounsfield.report.page import render
from hounsfield.report.reporting import as_markdown, guidelines
from hounsfield.report.results import Results, judge
from hounsfield.report.sheets import sheets
from hounsfield.report.tables import cohort_table, quarantine_rows
from hounsfield.report.words import scrubbed

SCHEMA_VERSION = 1


def write_report(run: Path, *, resamples: int = 2000, seed: int = 0, prevalences: Sequence[float] = ()) -> Path:
    """Write the page RUN/report/index.html and what stands beside it, and return the page's path.

    Beside it: report.json, model_card.md, reporting.md (items of CLAIM and TRIPOD+AI), and each table of the page as CSV.

    A run folder needs a cohort and a plan; whatever else is missing is said in words. The page stands alone: it loads
    nothing, and names no patient, path or date. The private folder is not read.

    Raises
    ------
    HounsfieldError
        If cohort or plan is missing, or a file that is there cannot be understood.
    """
    results = judge(gather(run), resamples=resamples, seed=seed, prevalences=prevalences)
    folder = files.make_folder(run / "report")
    files.write_json(folder / "report.json", _record(results))
    files.write_text(folder / "model_card.md", card(results))
    filled = guidelines(results)
    files.write_text(folder / "reporting.md", as_markdown(filled))
    for stale in folder.glob("confusion_*.csv"):
        stale.unlink()
    for name, text in sheets(results, filled).items():
        files.write_text(folder / name, text)
    page = folder / "index.html"
    files.write_text(page, render(results, filled))
    return page


def _record(results: Results) -> dict[str, Any]:
    found = results.found
    return {
        "schema_version": SCHEMA_VERSION,
        "main": results.main,
        "warnings": cautions(results),
        "missing": missing(results),
        "evaluations": {name: evaluation.to_dict() for name, evaluation in results.judged.items()},
        "drops": [drop.to_dict() for drop in results.drops],
        "shifts": {name: item.to_dict() for name, item in results.shifts.items()},
        "cohort": cohort_table(found.cohort) | {"quarantine": quarantine_rows(found.cohort)},
        "audit": scrubbed([item.model_dump(mode="json") for item in found.audit.items]) if found.audit else None,
        "attention": scrubbed(found.attention),
        "parity": scrubbed(found.parity),
        "cost": scrubbed(found.cost),
        "provenance": provenance(found),
    }
