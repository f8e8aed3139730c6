"""One label per case: two classes, of which one is positive, or several, each against the rest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hounsfield.core import Predictions
from hounsfield.errors import PredictionsError
from hounsfield.evaluate.judgement import Judgement
from hounsfield.evaluate.points import curves
from hounsfield.evaluate.subgroups import GROUP_RESAMPLES, MEASURES, Grouped, Rows
from hounsfield.measure import area_parts, auc, measures, unpaired

Ints = NDArray[np.int64]


def judge_classes(judged: Predictions, owners: NDArray[np.str_], *, resamples: int, seed: int) -> Judgement:
    """Judge predictions whose truth is known everywhere; `owners` (n,) are the patients."""
    decision, missing = decisions_of(judged)
    truth, probability, labels = judged.truth, judged.probabilities, judged.task.labels
    found = measures(truth, probability, decision, owners, labels=labels, resamples=resamples, seed=seed)

    def group(rows: Rows, others: Rows) -> Grouped:
        part = measures(
            truth[rows], probability[rows], decision[rows], owners[rows], labels=labels,
            resamples=min(resamples, GROUP_RESAMPLES), seed=seed,
        )  # fmt: skip
        estimates = {name: part.overall[name] for name in MEASURES}
        if judged.task.positive is None:
            return Grouped(estimates)
        mine, rest = (area_parts(truth[some] == 1, probability[some, 0], owners[some]) for some in (rows, others))
        return Grouped(estimates, int((truth[rows] == 1).sum()), rest.value, unpaired(mine, rest))

    return Judgement(
        prevalence={
            label: {
                "cases": int((truth == place).sum()),
                "patients": len(np.unique(owners[truth == place])),
                "share": float((truth == place).mean()),
            }
            for place, label in enumerate(labels)
        },
        estimates=found.overall,
        per_class=found.per_class,
        curves=curves(truth, probability, labels, found.band),
        resampled=found.resampled,
        undecided=int(missing.sum()),
        area=lambda rows: auc(truth[rows], probability[rows]),
        group=group,
        confusion=found.confusion.tolist(),
    )


def positive_last(predictions: Predictions) -> Predictions:
    """Another tool may list the positive label first; here it is the second of two.

    Raises
    ------
    PredictionsError
        If there is a positive label, and not one other.
    """
    task = predictions.task
    if task.positive is None or (len(task.labels) == 2 and task.labels[1] == task.positive):
        return predictions
    others = [label for label in task.labels if label != task.positive]
    if len(others) != 1 or len(task.labels) != 2:
        raise PredictionsError(
            f"a binary task has two labels, one of which is the positive one, not {', '.join(task.labels)}",
            fix="Give no positive label for a task of several classes.",
        )
    return Predictions(predictions.table, task.model_copy(update={"labels": [others[0], task.positive]}))


def decisions_of(judged: Predictions) -> tuple[Ints, NDArray[np.bool_]]:
    """The decided class of each case, and where it had to be derived from the probability."""
    task, probability, given = judged.task, judged.probabilities, judged.decisions
    if probability.shape[1] == 1:
        cut = 0.5 if task.threshold is None else task.threshold
        derived = np.where(probability[:, 0] >= cut, 1, 0)
    else:
        derived = probability.argmax(axis=1)
    missing = given < 0
    return np.where(missing, derived, given).astype(np.int64), missing
