"""The page itself: everything that the templates need, gathered into one mapping and rendered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hounsfield.evaluate import TITLES, Drop, Evaluation, Shift
from hounsfield.report import figures, notes, operating, tables
from hounsfield.report.attention import POINTING_COLUMNS, ZONE_COLUMNS, attention
from hounsfield.report.executive import executive
from hounsfield.report.gather import Found
from hounsfield.report.panels import MOST_PANELS, panels
from hounsfield.report.reporting import Guideline
from hounsfield.report.results import Results
from hounsfield.report.templates import environment, source
from hounsfield.report.words import part_title, scrub, slug

_BENEFIT = (
    "Decision curve: found cases minus false alarms, weighed by what a threshold says they are worth (Vickers and Elkin 2006). "
    "The model helps where its line is above both others."
)
_REJECTION = "Accuracy of the cases that are kept, when those nearest to the other decision are left to a person."
_HEADLINE = ("auc", "sensitivity", "specificity")


def render(results: Results, filled: Sequence[Guideline]) -> str:
    """Return the report as one HTML page that loads nothing."""
    pages = environment()
    pages.globals |= {"titles": TITLES, "interval": tables.interval, "label_titles": list(tables.LABEL_TITLES.values())}
    moves = any(item.counts for item in results.judged.values())
    return pages.get_template("page.html").render(
        style=source(pages, "style.css"),
        script=source(pages, "slider.js") if moves else None,
        **_content(results),
        guidelines=filled,
        executive=executive(results, filled),
    )


def _content(results: Results) -> dict[str, Any]:
    found, judged, best = results.found, results.judged, results.best
    cohort = tables.cohort_table(found.cohort)
    return {
        "title": _title(found),
        "verdict": notes.verdict(found, best, cohort["modalities"]),
        "main": best,
        "headline": [(TITLES[name], best.estimates[name]) for name in _HEADLINE] if best else [],
        "summary_figures": []
        if best is None
        else [
            (figures.roc("summary", best), "ROC curve; the dot is the operating point."),
            (figures.reliability("summary", best), "Calibration: on the dashed line probabilities are right."),
        ],
        "operating": notes.operating_sentence(found, best) if best else "",
        "warnings": notes.cautions(results),
        "missing": notes.missing(results),
        "cohort": cohort,
        "about": found.cohort.about,
        "audit": found.audit,
        "cohort_notes": [scrub(note) for note in found.cohort.about.notes],
        "split_sentence": scrub(found.cohort.about.split_sentence),
        "quarantine": tables.quarantine_rows(found.cohort),
        "plan": tables.plan_rows(found.plan),
        "training": _training(found),
        "cost": found.cost,
        "parts": [_part(name, item) for name, item in judged.items() if not name.startswith("external-")],
        "centres": [_part(name, item) for name, item in judged.items() if name.startswith("external-")],
        "centres_figure": figures.centres(
            {name: item for name, item in judged.items() if name == results.main or item.name.startswith("external-")}
        ),
        "drops": {
            slug(drop.away): _drop(
                drop, results.shifts.get(drop.away), notes.shortcut(found) if drop.conclusion == "worse" else ""
            )
            for drop in results.drops
        },
        "panels": panels(found.panels, found.explain) if found.panels else [],
        "panels_left": max(0, len(found.panels or []) - MOST_PANELS),
        "attention": attention(found.attention, found.explain),
        "zone_columns": ZONE_COLUMNS,
        "pointing_columns": POINTING_COLUMNS,
        "parity": found.parity,
        "calibration": found.calibration,
        "made": notes.provenance(found),
        "resamples": best.resamples if best else None,
    }


def _title(found: Found) -> str:
    """ "Malignant or benign", "Pneumonia: yes or no", "Effusion, mass and nodule"."""
    labels = list(found.plan.labels.value)
    if found.plan.task.value == "multilabel":
        text = notes.listing(labels)  # the column, where there is one, only lists them again
        return text[:1].upper() + text[1:]
    choice = notes.listing(labels[::-1] if found.plan.positive.value else labels, "or")
    about = found.cohort.about
    column = about.label_column if about.key_column else None  # folders and archives have no column
    text = f"{column}: {choice}" if column else choice
    return text[:1].upper() + text[1:]


def _training(found: Found) -> dict[str, Any] | None:
    if found.history is None:
        return None
    return {
        "rows": tables.training_rows(found.history),
        "figures": [
            (figures.validation_auc(found.history), "Validation AUC. The dot is the epoch that was kept."),
            (figures.losses(found.history), "Loss: training dashed, validation solid."),
        ],
    }


def _drop(drop: Drop, found: Shift | None, shortcut: str) -> dict[str, Any]:
    return {
        "drop": drop, "rows": tables.drop_rows(drop.changes), "areas": tables.drop_rows(drop.areas),
        "shift": None if found is None else tables.shift_rows(found), "shortcut": shortcut,
    }  # fmt: skip


def _part(name: str, evaluation: Evaluation) -> dict[str, Any]:
    key = slug(name)
    return {
        "key": key,
        "title": part_title(name),
        "evaluation": evaluation,
        "measures": tables.measure_rows(evaluation),
        "classes": [] if evaluation.multi_label else tables.class_rows(evaluation),
        "labels": tables.label_rows(evaluation) if evaluation.multi_label else [],
        "confusion": [] if evaluation.multi_label else tables.confusion_rows(evaluation),
        "calibrated": tables.calibration_rows(evaluation),
        "subgroups": tables.subgroup_rows(evaluation),
        "hidden_groups": tables.hidden_groups(evaluation),
        "forest": figures.forest(key, evaluation),
        **operating.content(evaluation),
        "doubt": tables.doubt_rows(evaluation),
        "figures": [
            (figures.roc(key, evaluation), _roc_caption(evaluation)),
            (figures.precision_recall(key, evaluation), "Precision and recall."),
            (figures.reliability(key, evaluation), _calibration_caption(evaluation)),
            (figures.net_benefit(key, evaluation), _BENEFIT),
            (figures.rejection(key, evaluation), _REJECTION),
        ],
    }


def _roc_caption(evaluation: Evaluation) -> str:
    if evaluation.multi_label:
        return f"ROC curves, one per label{_first(evaluation)}; a dot is the operating point."
    if evaluation.positive is None:
        return f"ROC curves, one class against the rest{_first(evaluation)}."
    return "ROC curve with its pointwise 95% band; the dot is the operating point."


def _first(evaluation: Evaluation) -> str:
    drawn = len(evaluation.curves)
    return f", of the first {figures.MOST_LINES} of {drawn}" if drawn > figures.MOST_LINES else ""


def _calibration_caption(evaluation: Evaluation) -> str:
    counts = [int(count) for points in evaluation.curves.values() for count in points["reliability"]["count"]]
    size = f"{min(counts)} to {max(counts)}" if len(set(counts)) > 1 else "".join(map(str, counts[:1]))
    return (
        f"Calibration: on the dashed line probabilities are as often right as they say. Each point holds {size} cases."
    )
