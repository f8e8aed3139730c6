"""The operating points of a binary task, as plain values that a template can print."""

from __future__ import annotations

from typing import Any

from hounsfield.evaluate import Evaluation
from hounsfield.evaluate.operating import AtPoint, AtPrevalence
from hounsfield.measure import Estimate, decimals
from hounsfield.report.tables import interval
from hounsfield.report.words import operating_point

_SHOWN = ("sensitivity", "specificity", "ppv", "npv")


def content(evaluation: Evaluation) -> dict[str, Any]:
    """What `operating.html` needs: a row per rule, rows for other prevalences, and where the slider starts."""
    share = evaluation.prevalence[evaluation.positive]["share"] if evaluation.positive is not None else 0.0
    start = 0.5 if evaluation.threshold is None else evaluation.threshold
    return {
        "points": [_row(point) for point in evaluation.points if point.at],
        "elsewhere": [_elsewhere(point, at) for point in evaluation.points for at in point.at[1:]],
        "share": f"{share:.0%}" if share >= 0.1 else f"{share:.1%}",
        "percent": f"{100 * share:.1f}",
        "start": round(100 * min(1.0, start)),
    }


def _row(point: AtPoint) -> dict[str, Any]:
    return {
        "rule": _rule(point),
        "threshold": "by fold" if point.threshold is None else f"{point.threshold:.3f}",
        "estimates": [_cell(point.estimates[name]) for name in _SHOWN],
        "counts": _counts(point.at[0]),
    }


def _elsewhere(point: AtPoint, at: AtPrevalence) -> dict[str, Any]:
    return {
        "rule": _rule(point),
        "prevalence": f"{at.prevalence:.1%}",
        "estimates": [_cell(at.ppv), _cell(at.npv)],
        "counts": _counts(at),
    }


def _rule(point: AtPoint) -> str:
    text = operating_point(point.rule)
    return text[:1].upper() + text[1:]


def _cell(estimate: Estimate) -> dict[str, str]:
    return {"value": "–" if estimate.value is None else decimals(estimate.value), "interval": interval(estimate)}


def _counts(at: AtPrevalence) -> list[str]:
    return ["–" if count != count else f"{count:.0f}" for count in (at.found, at.missed, at.alarms, at.cleared)]
