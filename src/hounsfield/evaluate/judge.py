"""`evaluate`: predictions in, Evaluation out."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hounsfield.core import Predictions
from hounsfield.errors import PredictionsError
from hounsfield.evaluate.caution import cautions
from hounsfield.evaluate.evaluation import Evaluation
from hounsfield.evaluate.points import curves
from hounsfield.evaluate.subgroups import subgroups
from hounsfield.measure import auc, measures

Ints = NDArray[np.int64]


def evaluate(predictions: Predictions, *, resamples: int = 2000, seed: int = 0) -> Evaluation:
    """Hold predictions against the truth, with 95% intervals from a bootstrap over patients.

    Cases without a known truth are counted and left out. A case without a patient counts as a patient of its own,
    with a warning. Decisions are those of the table; where one is missing it is taken from the probability, at the
    threshold that the predictions carry.

    Raises
    ------
    PredictionsError
        If no case has a known truth.
    """
    predictions = _positive_last(predictions)
    known = predictions.truth >= 0
    without_truth = int((~known).sum())
    if not known.any():
        raise PredictionsError(
            f"none of the {len(known)} cases of {predictions.task.name!r} has a known truth, so there is nothing to judge",
            fix="Give a table of labels whose keys match these cases.",
        )
    decisions, missing = _decisions(predictions)
    judged = Predictions(predictions.table.filter(pl.Series(known)), predictions.task)
    truth, probability, decision = judged.truth, judged.probabilities, decisions[known]
    owners, orphans = _owners(judged)
    labels, positive = judged.task.labels, judged.task.positive
    found = measures(truth, probability, decision, owners, labels=labels, resamples=resamples, seed=seed)
    prevalence = {
        label: {
            "cases": int((truth == place).sum()),
            "patients": len(np.unique(owners[truth == place])),
            "share": float((truth == place).mean()),
        }
        for place, label in enumerate(labels)
    }
    abstentions = judged.table["abstention"].is_not_null().sum()
    evaluation = Evaluation(
        name=judged.task.name,
        labels=list(labels),
        positive=positive,
        cases=len(truth),
        patients=len(np.unique(owners)),
        without_truth=without_truth,
        abstentions=int(abstentions),
        prevalence=prevalence,
        estimates=found.overall,
        per_class=found.per_class,
        confusion=found.confusion.tolist(),
        curves=curves(truth, probability, judged.task.labels, found.band),
        folds=_folds(judged, truth, probability),
        subgroups=subgroups(judged, truth, probability, owners, resamples=resamples, seed=seed),
        threshold=judged.task.threshold,
        operating_point=judged.task.operating_point,
        warnings=[],
        bundle=judged.task.bundle,
        predictions=predictions.digest,
        resamples=resamples,
        seed=seed,
        resampled=found.resampled,
        patient_keys=frozenset(owners.tolist()),
    )
    evaluation.warnings.extend(cautions(evaluation, orphans=orphans, undecided=int(missing[known].sum())))
    return evaluation


def _positive_last(predictions: Predictions) -> Predictions:
    """Another tool may list the positive label first; here it is the second of two."""
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


def _decisions(predictions: Predictions) -> tuple[Ints, NDArray[np.bool_]]:
    """The decided class of each case, and where it had to be derived from the probability."""
    task, probability = predictions.task, predictions.probabilities
    place = {label: index for index, label in enumerate(task.labels)}
    given = predictions.table["decision"].to_list()
    strange = sorted({str(name) for name in given if name is not None and name not in place})
    if strange:
        raise PredictionsError(f"decision holds labels that the model does not know: {', '.join(strange)}")
    missing = np.array([name is None for name in given], dtype=bool)
    if probability.shape[1] == 1:
        cut = 0.5 if task.threshold is None else task.threshold
        derived = np.where(probability[:, 0] >= cut, 1, 0)
    else:
        derived = probability.argmax(axis=1)
    known = np.array([0 if name is None else place[name] for name in given], dtype=np.int64)
    return np.where(missing, derived, known).astype(np.int64), missing


def _owners(predictions: Predictions) -> tuple[NDArray[np.str_], int]:
    """Patient per case; a case without one is given its own name, and counted."""
    table = predictions.table
    orphans = table["patient"].null_count()
    alone = pl.concat_str([pl.lit("case "), pl.col("case")])
    return table.select(pl.coalesce("patient", alone))["patient"].to_numpy().astype(np.str_), orphans


def _folds(predictions: Predictions, truth: Ints, probability: NDArray[np.float64]) -> dict[str, float | None]:
    """AUC within each fold. Predictions that carry no fold are not out of fold and get nothing."""
    column = predictions.table["fold"]
    if column.null_count() == len(column):
        return {}
    found: dict[str, float | None] = {}
    for fold in sorted(column.drop_nulls().unique().to_list()):
        rows = (column == fold).fill_null(False).to_numpy()
        value = auc(truth[rows], probability[rows])
        found[str(fold)] = value if np.isfinite(value) else None
    return found
