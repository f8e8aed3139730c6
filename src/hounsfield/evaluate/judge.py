"""`evaluate`: predictions in, Evaluation out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hounsfield.core import Predictions
from hounsfield.errors import PredictionsError, UsageError
from hounsfield.evaluate.caution import cautions
from hounsfield.evaluate.classes import decisions_of, judge_classes, positive_last
from hounsfield.evaluate.doubt import Doubt, doubt, doubt_of_findings
from hounsfield.evaluate.evaluation import Evaluation
from hounsfield.evaluate.judgement import Judgement
from hounsfield.evaluate.operating import operating_points
from hounsfield.evaluate.raw import before_calibration
from hounsfield.evaluate.several import judge_several, states_of
from hounsfield.evaluate.subgroups import subgroups

STEPS = 100


def evaluate(
    predictions: Predictions, *, resamples: int = 2000, seed: int = 0, prevalences: Sequence[float] = ()
) -> Evaluation:
    """Hold predictions against the truth, with 95% intervals from a bootstrap over patients.

    Cases without a known truth are counted and left out. A case without a patient counts as a patient of its own,
    with a warning. Decisions are those of the table; where one is missing it is taken from the probability, at the
    threshold that the predictions carry.

    Where a case may have several labels, each label is judged on the cases in which it is known, against its own
    absence; the measures of the whole are means over the labels that can be judged.

    `prevalences` are shares of patients with the disease, beside that of these cases, for which a binary task's operating
    points tell what they mean.

    Raises
    ------
    PredictionsError
        If no case has a known truth.
    UsageError
        If a prevalence is not between 0 and 1.
    """
    if not all(0 < share < 1 for share in prevalences):
        raise UsageError("a prevalence is a share between 0 and 1", fix="Write 0.02 for 2 of 100 patients.")
    predictions = positive_last(predictions)
    known = predictions.known
    if not known.any():
        raise PredictionsError(
            f"none of the {len(known)} cases of {predictions.task.name!r} has a known truth, so there is nothing to judge",
            fix="Give a table of labels whose keys match these cases.",
        )
    judged = Predictions(predictions.table.filter(pl.Series(known)), predictions.task)
    owners, orphans = owners_of(judged)
    task = judged.task
    judge = judge_several if task.multi_label else judge_classes
    found = judge(judged, owners, resamples=resamples, seed=seed)
    binary = task.positive is not None
    groups, hidden = subgroups(judged, owners, found.group)
    evaluation = Evaluation(
        name=task.name,
        labels=list(task.labels),
        positive=task.positive,
        cases=len(owners),
        patients=len(np.unique(owners)),
        without_truth=int((~known).sum()),
        abstentions=int(judged.table["abstention"].is_not_null().sum()),
        prevalence=found.prevalence,
        estimates=found.estimates,
        per_class=found.per_class,
        confusion=found.confusion,
        curves=found.curves,
        folds=_folds(judged, found),
        subgroups=groups,
        hidden_groups=hidden,
        threshold=task.threshold,
        operating_point=task.operating_point,
        warnings=[],
        bundle=task.bundle,
        predictions=predictions.digest,
        resamples=resamples,
        seed=seed,
        multi_label=task.multi_label,
        thresholds=dict(zip(task.labels, task.thresholds or [], strict=False)),
        confusions=found.confusions,
        not_judged=found.not_judged,
        points=operating_points(judged, owners, prevalences=prevalences) if binary else [],
        counts=_counts(judged) if binary else [],
        raw=before_calibration(judged, owners),
        doubt=_doubt(judged, owners),
        resampled=found.resampled,
        patient_keys=frozenset(owners.tolist()),
    )
    evaluation.warnings.extend(cautions(evaluation, orphans=orphans, undecided=found.undecided))
    return evaluation


def _doubt(judged: Predictions, owners: NDArray[np.str_]) -> Doubt:
    if judged.task.multi_label:
        return doubt_of_findings(judged, states_of(judged)[0], owners)
    return doubt(judged, decisions_of(judged)[0], owners)


def _counts(judged: Predictions) -> list[list[int]]:
    """Cases found, missed, falsely called and cleared at the thresholds 0, 0.01, … 1."""
    truth, values = judged.truth == 1, judged.probabilities[:, 0]
    rows = []
    for threshold in np.arange(STEPS + 1) / STEPS:
        called = values >= threshold
        rows.append(
            [
                int((truth & called).sum()),
                int((truth & ~called).sum()),
                int((~truth & called).sum()),
                int((~truth & ~called).sum()),
            ]
        )
    return rows


def owners_of(predictions: Predictions) -> tuple[NDArray[np.str_], int]:
    """Patient per case; a case without one is given its own name, and counted."""
    table = predictions.table
    orphans = table["patient"].null_count()
    alone = pl.concat_str([pl.lit("case "), pl.col("case")])
    return table.select(pl.coalesce("patient", alone))["patient"].to_numpy().astype(np.str_), orphans


def _folds(judged: Predictions, found: Judgement) -> dict[str, float | None]:
    """AUC within each fold. Predictions that carry no fold are not out of fold and get nothing."""
    column = judged.table["fold"]
    if column.null_count() == len(column):
        return {}
    each: dict[str, float | None] = {}
    for fold in sorted(column.drop_nulls().unique().to_list()):
        value = found.area((column == fold).fill_null(False).to_numpy())
        each[str(fold)] = value if np.isfinite(value) else None
    return each
