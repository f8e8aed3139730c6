"""`compare_models`: two models on the same cases, or one model before and after a change."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hounsfield.core import Predictions
from hounsfield.errors import PredictionsError
from hounsfield.evaluate.classes import decisions_of, positive_last
from hounsfield.evaluate.drop import Change, signed
from hounsfield.evaluate.evaluation import TITLES, Evaluation
from hounsfield.evaluate.judge import evaluate, owners_of
from hounsfield.evaluate.several import states_of
from hounsfield.measure import McNemar, holm, mcnemar, p_value, paired_areas, paired_measures

CERTAIN = 0.05


@dataclass(frozen=True)
class Ranked:
    """The AUC of one label in both models; `p` is two-sided, and `adjusted` is Holm's over the labels."""

    change: Change
    p: float | None
    adjusted: float | None


@dataclass(frozen=True)
class ModelComparison:
    """What a second model does differently from a first, on the cases that both have predicted.

    Attributes
    ----------
    cases, patients:
        Those that both have, with a known truth.
    left_out:
        Cases that only one of them has.
    areas:
        Label → its AUC: of the positive one of two, else of each.
    measures:
        Measure → first, second and second - first; of one label per case.
    decided:
        Label → McNemar's test of being right; under "" where a case has one label.
    """

    first: str
    second: str
    cases: int
    patients: int
    left_out: int
    areas: dict[str, Ranked]
    measures: dict[str, Change]
    decided: dict[str, McNemar]
    warnings: list[str] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        """What the AUCs say."""
        parts = []
        for label, one in self.areas.items():
            gap = one.change.difference
            of = f" of {label}" if len(self.areas) > 1 else ""
            if gap.value is None or gap.low is None or gap.high is None:
                parts.append(f"The AUC{of} cannot be compared: {gap.note}.")
                continue
            p = one.adjusted if one.adjusted is not None else 1.0
            ends = "no clear difference" if p >= CERTAIN else f"the {'second' if gap.value > 0 else 'first'} is better"
            corrected = ", corrected for so many labels" if len(self.areas) > 1 else ""
            parts.append(
                f"AUC{of}: {one.change.home} and {one.change.away}, difference {signed(gap.value)} "
                f"({signed(gap.low)} to {signed(gap.high)}, {p_value(p)}{corrected}): {ends}."
            )
        return " ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values only, ready for JSON."""
        return {
            "first": self.first, "second": self.second, "cases": self.cases, "patients": self.patients,
            "left_out": self.left_out, "sentence": self.sentence, "warnings": self.warnings,
            "areas": {
                label: _told(one.change) | {"p": one.p, "adjusted_p": one.adjusted} for label, one in self.areas.items()
            },
            "measures": {name: _told(one) for name, one in self.measures.items()},
            "decided": {label: asdict(one) for label, one in self.decided.items()},
        }  # fmt: skip

    def __str__(self) -> str:
        lines = [f"{self.first} and {self.second}: {self.cases} cases of {self.patients} patients", self.sentence]
        width = max(map(len, TITLES.values()))
        for name, one in self.measures.items():
            gap = one.difference
            reach = "" if gap.low is None or gap.high is None else f" ({signed(gap.low)} to {signed(gap.high)})"
            told = "not computed" if gap.value is None else f"{signed(gap.value)}{reach}"
            lines.append(f"  {TITLES[name]:<{width}}  {one.home}  {one.away}  {told}")
        for label, test in self.decided.items():
            lines.append(
                f"  Right decisions{' on ' + label if label else ''}: {test.first_only} by the first alone, {test.second_only} by "
                f"the second alone; {p_value(test.p)} ({test.method})"
            )
        return "\n".join(lines + [f"  ! {text}" for text in self.warnings])


def compare_models(first: Predictions, second: Predictions, *, resamples: int = 2000, seed: int = 0) -> ModelComparison:
    """Compare two models on the cases that both have predicted.

    AUCs by the paired test of DeLong, or of Obuchowski where patients have several cases; right decisions by McNemar's, or its
    clustered form; every other measure by resampling patients, with both models measured in each resample.

    Raises
    ------
    PredictionsError
        If the labels differ, no case is common to both, or a case has another truth in the other table.
    """
    first, second = positive_last(first), positive_last(second)
    one, other, left_out = _common(first, second)
    judged = [evaluate(each, resamples=resamples, seed=seed) for each in (one, other)]
    owner, _ = owners_of(one)
    warnings = [f"{left_out} case(s) that only one of the two has predicted are left out."] if left_out else []
    shared: dict[str, Any] = {
        "first": first.task.name, "second": second.task.name, "cases": judged[0].cases, "patients": judged[0].patients,
        "left_out": left_out, "warnings": warnings,
    }  # fmt: skip
    if one.task.multi_label:
        ranked, right = _labels(one, other, judged, owner)
        return ModelComparison(**shared, areas=ranked, measures={}, decided=right)
    decided = [decisions_of(each)[0] for each in (one, other)]
    truth, probabilities = one.truth, [one.probabilities, other.probabilities]
    gaps = paired_measures(
        truth, (probabilities[0], decided[0]), (probabilities[1], decided[1]), owner, resamples=resamples, seed=seed
    )
    whole = one.task.positive is not None
    labels = [one.task.positive] if one.task.positive is not None else one.task.labels
    areas = {}
    for place, label in enumerate(labels):
        estimates = [each.estimates["auc"] if whole else each.per_class[label]["auc"] for each in judged]
        gap, p = paired_areas(
            truth == (1 if whole else place), probabilities[0][:, place], probabilities[1][:, place], owner
        )
        areas[label] = (Change(estimates[0], estimates[1], gap), p)
    measures = {
        name: Change(judged[0].estimates[name], judged[1].estimates[name], gaps[name])
        for name in judged[0].estimates
        if name in gaps and name != "auc"
    }
    return ModelComparison(
        **shared, areas=_ranked(areas), measures=measures,
        decided={"": mcnemar(decided[0] == truth, decided[1] == truth, owner)},
    )  # fmt: skip


def _common(first: Predictions, second: Predictions) -> tuple[Predictions, Predictions, int]:
    """The cases of both, in one order, with a known truth; and how many only one of them has."""
    if (first.task.labels, first.task.positive, first.task.multi_label) != (
        second.task.labels, second.task.positive, second.task.multi_label
    ):  # fmt: skip
        raise PredictionsError(
            f"the two models have different labels: {', '.join(first.task.labels)} and {', '.join(second.task.labels)}",
            fix="Compare models that answer the same question.",
        )
    cases = set(first.table["case"]) & set(second.table["case"])
    if not cases:
        raise PredictionsError(
            "the two tables have no case in common",
            fix="Compare predictions of the same cases; for another centre use --external with run or predict.",
        )
    left_out = first.table.height + second.table.height - 2 * len(cases)
    one, other = (
        Predictions(each.table.filter(pl.col("case").is_in(list(cases))).sort("case"), each.task)
        for each in (first, second)
    )
    states = [each.truth_states if each.task.multi_label else each.truth for each in (one, other)]
    differing = (states[0] != states[1]).reshape(one.table.height, -1).any(axis=1)
    if differing.any():
        raise PredictionsError(
            f"{int(differing.sum())} case(s) have another truth in the other table, {one.table['case'][int(differing.argmax())]!r} first",
            fix="Use one table of labels for both.",
        )
    known = pl.Series(one.known)
    return Predictions(one.table.filter(known), one.task), Predictions(other.table.filter(known), other.task), left_out


def _labels(
    one: Predictions, other: Predictions, judged: list[Evaluation], owner: NDArray[np.str_]
) -> tuple[dict[str, Ranked], dict[str, McNemar]]:
    """Each label on the cases where it is known."""
    areas, decided = {}, {}
    states = [states_of(each)[0] for each in (one, other)]
    for place, label in enumerate(one.task.labels):
        if label in judged[0].not_judged:
            continue
        truth = one.truth_states[:, place]
        known = truth >= 0
        gap, p = paired_areas(
            truth[known], one.probabilities[known, place], other.probabilities[known, place], owner[known]
        )
        estimates = [each.per_class[label]["auc"] for each in judged]
        areas[label] = (Change(estimates[0], estimates[1], gap), p)
        right = [each[known, place] == truth[known] for each in states]
        decided[label] = mcnemar(right[0], right[1], owner[known])
    return _ranked(areas), decided


def _ranked(areas: dict[str, tuple[Change, float | None]]) -> dict[str, Ranked]:
    adjusted = holm([np.nan if p is None else p for _, p in areas.values()])
    return {
        label: Ranked(change, p, None if p is None else float(adjusted[place]))
        for place, (label, (change, p)) in enumerate(areas.items())
    }


def _told(change: Change) -> dict[str, Any]:
    return {"first": change.home.to_dict(), "second": change.away.to_dict(), "difference": change.difference.to_dict()}
