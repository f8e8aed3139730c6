"""Several labels per case: each is present, absent or not known, and is judged on the cases where it is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hounsfield.core import Predictions
from hounsfield.evaluate.judgement import Judgement
from hounsfield.evaluate.points import Points, curves
from hounsfield.evaluate.subgroups import GROUP_RESAMPLES, MEASURES, Grouped, Rows
from hounsfield.measure import SeveralMeasures, auc, several_measures

Ints = NDArray[np.int64]


def judge_several(judged: Predictions, owners: NDArray[np.str_], *, resamples: int, seed: int) -> Judgement:
    """Judge predictions of which at least one label is known in each case; `owners` (n,) are the patients."""
    decision, undecided = states_of(judged)
    truth, probability, labels = judged.truth_states, judged.probabilities, judged.task.labels

    def measured(rows: Rows, decided: Ints, draws: int) -> SeveralMeasures:
        return several_measures(
            truth[rows], probability[rows], decided[rows], owners[rows], labels=labels, resamples=draws, seed=seed
        )

    def group(rows: Rows, others: Rows) -> Grouped:
        part = measured(rows, decision, min(resamples, GROUP_RESAMPLES))
        return Grouped({name: part.overall[name] for name in MEASURES})

    def area(rows: Rows) -> float:
        """The mean over the labels that these cases can judge."""
        seen = [auc(here[here >= 0], probability[rows, place][here >= 0]) for place, here in enumerate(truth[rows].T)]
        return float(np.nanmean(seen)) if np.isfinite(seen).any() else float("nan")

    found = measured(np.ones(len(truth), dtype=bool), decision, resamples)
    return Judgement(
        prevalence={label: _counts(truth[:, place], owners) for place, label in enumerate(labels)},
        estimates=found.overall,
        per_class={label: one.overall for label, one in found.per_label.items()},
        curves={label: _curves(judged, found, label) for label in found.per_label},
        resampled=found.resampled,
        undecided=undecided,
        area=area,
        group=group,
        confusions={label: one.confusion.tolist() for label, one in found.per_label.items()},
        not_judged=found.not_judged,
    )


def states_of(judged: Predictions) -> tuple[Ints, int]:
    """The decided states (cases, labels), and in how many cases one that is judged had to be taken from the probability."""
    given, task = judged.decision_states, judged.task
    cuts = np.full(len(task.labels), 0.5) if task.thresholds is None else np.array(task.thresholds)
    missing = given < 0
    needed = missing & (judged.truth_states >= 0)
    return np.where(missing, judged.probabilities >= cuts, given).astype(np.int64), int(needed.any(axis=1).sum())


def _counts(states: Ints, owners: NDArray[np.str_]) -> dict[str, float]:
    present, absent = states == 1, states == 0
    known = int((present | absent).sum())
    return {
        "cases": int(present.sum()),
        "patients": len(np.unique(owners[present])),
        "share": float(present.sum() / known) if known else 0.0,
        "known": known,
        "absent": int(absent.sum()),
        "absent_patients": len(np.unique(owners[absent])),
    }


def _curves(judged: Predictions, found: SeveralMeasures, label: str) -> Points:
    place = judged.task.labels.index(label)
    states = judged.truth_states[:, place]
    known = states >= 0
    scores = judged.probabilities[known, place, None]
    return curves(states[known], scores, (f"not {label}", label), found.per_label[label].band)[label]
