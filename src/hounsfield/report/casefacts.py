"""What predictions, plan and cohort say of one case, in words for its page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from hounsfield.core import Calibration, Cohort, Predictions
from hounsfield.measure import decimals
from hounsfield.report.notes import listing
from hounsfield.report.words import counted, operating_point, scrub

_SEEN = {
    "train": "Training part: the network was trained on this case, so that its answer here proves nothing",
    "validation": "Validation part: the network was not trained on this case, but it served to choose when training stopped",
    "calibration": "Calibration part: the network was not trained on this case, but probabilities and threshold were fitted on it",
    "test": "Held-out test part: nothing of this case was used in the making of the model",
}
_STATES = {1: "present", 0: "absent", -1: "not known"}


@dataclass(frozen=True)
class Facts:
    """What the page says of a case.

    Attributes
    ----------
    verdict, kind:
        The case in a sentence; and whether the call is "right", "wrong" or "not known".
    outputs:
        One row per label: label, probability, threshold (None where there is none), called, truth, in_set (a word, or None).
    rows:
        (name, sentence) of the rest.
    abstention:
        Why the model should not be asked, or None.
    headline:
        (name, value, remark) of the three figures at the top.
    """

    verdict: str
    kind: str
    outputs: list[dict[str, Any]]
    rows: list[tuple[str, str]]
    abstention: str | None
    headline: list[tuple[str, str, str]]


def facts_of(
    predictions: Predictions, calibration: Calibration | None, cohort: Cohort, case: str, target: str
) -> Facts:
    """Return the facts of a case that has a prediction; where a case may have several labels, `target` is the one in question."""
    found = predictions.table.filter(pl.col("case") == case)
    one = Predictions(found, predictions.task)
    row = found.row(0, named=True)
    outputs = _of_labels(one, row) if predictions.task.multi_label else _of_classes(one, row)
    asked = next(item for item in outputs if item["label"] == target)
    several = predictions.task.multi_label
    called = asked["called"] if several else str(row["decision"])
    truth = asked["truth"] if several else (row["truth"] or "not known")
    kind = "not known" if truth == "not known" else "right" if truth == called else "wrong"
    shown = asked if several or predictions.task.positive is None else outputs[0]
    what = f"{target} is called {called}" if several else f"Called {called}"
    right = {"right": "the call is right", "wrong": "the call is wrong", "not known": "nobody has said what it is"}[
        kind
    ]
    is_so = {"not known": ""}.get(kind, f"the truth is {truth}: ")
    rows = [
        ("Decision", _rule(predictions, calibration, row)),
        *([("By other rules", text)] if (text := _others(predictions, row)) else []),
        *([("What cannot be ruled out", text)] if (text := _set(predictions, row, target)) else []),
        ("Part", _part(predictions, cohort, row)),
    ]
    return Facts(
        verdict=f"{what}, with a calibrated probability of {decimals(shown['probability'])} for {shown['label']}; {is_so}{right}.",
        kind=kind,
        outputs=outputs,
        rows=[(name, scrub(text)) for name, text in rows],
        abstention=None if row["abstention"] is None else scrub(str(row["abstention"])),
        headline=[
            (f"Probability of {shown['label']}", decimals(shown["probability"]), _cut_said(shown)),
            ("Decision" if not several else f"Decision on {target}", called, _surely(shown, called)),
            ("Truth" if not several else f"Truth of {target}", truth, {"right": "right", "wrong": "wrong"}.get(kind, "")),
        ],
    )  # fmt: skip


def labels_said(cohort: Cohort, case: str) -> str:
    """What a case of the cohort is, in a few words; of several labels those that are present."""
    row = cohort.table.filter(pl.col("case") == case).row(0, named=True)
    if not cohort.about.multi_label:
        return row["label"] or "not known"
    states = row["states"] or []
    present = [label for label, state in zip(cohort.about.labels, states, strict=False) if state == 1]
    unknown = sum(state not in (0, 1) for state in states)
    said = listing(present) if present else "none of the labels"
    return f"{said} ({counted(unknown, 'label')} not known)" if unknown else said


def _of_classes(one: Predictions, row: dict[str, Any]) -> list[dict[str, Any]]:
    task = one.task
    values = dict(zip(task.outputs, one.probabilities[0].tolist(), strict=True))
    if task.positive is not None:
        values = {task.positive: values[task.positive]} | {
            label: 1 - values[task.positive] for label in task.labels if label != task.positive
        }
    held = row.get("set") if task.coverage is not None else None
    return [
        {
            "label": label, "probability": value, "threshold": _cut(one) if label == task.positive else None,
            "called": "called" if row["decision"] == label else "", "truth": "true" if row["truth"] == label else "",
            "in_set": None if held is None else "possible" if label in held else "ruled out",
        }
        for label, value in values.items()
    ]  # fmt: skip


def _of_labels(one: Predictions, row: dict[str, Any]) -> list[dict[str, Any]]:
    task = one.task
    thresholds: Sequence[float | None] = task.thresholds or [None] * len(task.labels)
    return [
        {
            "label": label, "probability": float(one.probabilities[0, place]), "threshold": thresholds[place],
            "called": _STATES[int(one.decision_states[0, place])], "truth": _STATES[int(one.truth_states[0, place])],
            "in_set": None if task.coverage is None else _open(row, label),
        }
        for place, label in enumerate(task.labels)
    ]  # fmt: skip


def _open(row: dict[str, Any], label: str) -> str:
    """Which of a label's two states cannot be ruled out."""
    can, need_not = label in (row["set"] or []), label in (row["set_absent"] or [])
    return {(True, True): "either", (True, False): "present", (False, True): "absent", (False, False): "neither"}[
        can, need_not
    ]


def _cut(predictions: Predictions) -> float | None:
    """The threshold of a binary task; None where each fold has its own."""
    task = predictions.task
    return task.points.get(task.operating_point, task.threshold)


def _cut_said(output: dict[str, Any]) -> str:
    return "" if output["threshold"] is None else f"called so from {output['threshold']:.3f} on"


def _surely(output: dict[str, Any], called: str) -> str:
    if output["threshold"] is None:
        return ""
    return "above the threshold" if output["probability"] >= output["threshold"] else "below the threshold"


def _rule(predictions: Predictions, calibration: Calibration | None, row: dict[str, Any]) -> str:
    task = predictions.task
    if task.positive is None and not task.multi_label:
        return f"{row['decision']}: a case is given the class with the highest probability"
    rule = f", chosen for {operating_point(task.operating_point)}" if task.operating_point else ""
    where = (
        f" on {calibration.fitted_on}, {counted(calibration.cases, 'case')}"
        if rule and calibration is not None and predictions.task.name != "folds"
        else ""
    )
    if task.multi_label:
        return f"A label is called present from its own threshold on{rule}{where}"
    cut = _cut(predictions)
    threshold = "the threshold of its fold" if cut is None else f"{cut:.3f}"
    return f"{row['decision']}: a case is called {task.positive} from a probability of {threshold} on{rule}{where}"


def _others(predictions: Predictions, row: dict[str, Any]) -> str:
    task = predictions.task
    said = []
    for rule, cut in task.points.items():
        called = row.get(f"called:{rule}")
        if rule != task.operating_point and called is not None:
            word = f"called {task.positive}" if called else f"not called {task.positive}"
            at = "" if cut is None else f" (from {cut:.3f} on)"
            said.append(f"for {operating_point(rule)}{at} it is {word}")
    text = "; ".join(said)
    return text[:1].upper() + text[1:]


def _set(predictions: Predictions, row: dict[str, Any], target: str) -> str:
    task = predictions.task
    if task.coverage is None:
        return ""
    meant = f"such sets are meant to hold the truth in {task.coverage:.0%} of cases (conformal prediction)"
    if task.multi_label:
        return f"Of {target}: {_open(row, target)}; {meant}, label by label"
    held = row["set"] or []
    if not held:
        return f"Nothing is left: the case fits none of the labels well; {meant}"
    return f"{listing(held)}{' alone' if len(held) == 1 else ''}; {meant}"


def _part(predictions: Predictions, cohort: Cohort, row: dict[str, Any]) -> str:
    if predictions.task.name == "folds":
        fold = "" if row["fold"] is None else f", fold {row['fold'] + 1}"
        return (
            f"Cross-validation{fold}: the probability comes from members that were not trained on this case; the maps are "
            "the mean of all members, most of which were"
        )
    return _SEEN.get(row["split"] or "", f"{row['split'] or 'not known'}")
