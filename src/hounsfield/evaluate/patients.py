"""From cases to patients: several images of a patient become one prediction."""

from __future__ import annotations

from typing import Literal

import polars as pl

from hounsfield.core import Predictions
from hounsfield.core.predictions import FIXED
from hounsfield.errors import PredictionsError
from hounsfield.evaluate.subgroups import EXTRA
from hounsfield.measure import NEAREST

How = Literal["mean", "max"]


def by_patient(predictions: Predictions, how: How = "mean") -> Predictions:
    """Return predictions of one row per patient.

    A patient's probability is the mean, or the largest, of those of the cases, and its logit is the log odds of
    that. Of two classes a patient is positive if a case is, and not known where no case is positive and one is not
    known; of several labels per case likewise, each by itself. With more than two classes all cases of a patient
    must have one label; "max" is not defined there. Decisions are taken anew, at the threshold that the predictions
    carry (0.5 where they carry none), or by the most probable class.

    So are the calls of other rules; a rule whose threshold differs from fold to fold is dropped, and
    so are sets, whose certainty is that of cases.

    A case without a patient stays a row of its own.

    Raises
    ------
    PredictionsError
        If cases of a patient have different labels in a task of several classes, or "max" is asked for there.
    """
    task = predictions.task
    exclusive = task.positive is None and not task.multi_label
    if exclusive and how == "max":
        raise PredictionsError(
            "the largest probability of each class is no distribution over classes",
            fix="Take the mean of a patient's cases.",
        )
    owner = pl.coalesce("patient", pl.concat_str([pl.lit("case "), pl.col("case")])).alias("owner")
    grouped = predictions.table.with_columns(owner).group_by("owner", maintain_order=True)
    if exclusive:
        _one_label_each(predictions.table.with_columns(owner))
    numbers = [f"probability:{name}" for name in task.outputs]
    groups = [name for name in predictions.table.columns if name.startswith(EXTRA)]
    shared = [*(name for name in FIXED if name not in ("case", "truth", "decision")), *groups]
    pooled = [pl.col(name).mean() if how == "mean" else pl.col(name).max() for name in numbers]
    # What differs between the cases of a patient is true of none of them as a whole.
    kept = [pl.when(pl.col(name).n_unique() == 1).then(pl.col(name).first()).alias(name) for name in shared]
    table = grouped.agg(*kept, *pooled, *_truths(predictions)).with_columns(case=pl.col("owner")).drop("owner")
    decisions = (
        [pl.lit(None, dtype=pl.Int64).alias(f"decision:{name}") for name in task.labels] if task.multi_label else []
    )
    table = table.with_columns(pl.lit(None, dtype=pl.String).alias("decision"), *decisions)
    table = table.with_columns(_logit(name, exclusive=exclusive) for name in task.outputs)
    points = {rule: cut for rule, cut in task.points.items() if cut is not None}
    called = [(pl.col(f"probability:{task.positive}") >= cut).alias(f"called:{rule}") for rule, cut in points.items()]
    table = table.with_columns(called).select(*FIXED, pl.exclude(list(FIXED)))
    return Predictions(table, task.model_copy(update={"points": points, "coverage": None}))


def _logit(name: str, *, exclusive: bool) -> pl.Expr:
    """The log odds of a patient's probability; of exclusive classes its logarithm, whose softmax it is."""
    value = pl.col(f"probability:{name}").clip(NEAREST, 1 - NEAREST)
    return (value.log() if exclusive else (value / (1 - value)).log()).alias(f"logit:{name}")


def _truths(predictions: Predictions) -> list[pl.Expr]:
    task = predictions.task
    if task.multi_label:
        none = [pl.lit(None, dtype=pl.String).alias("truth")]
        return none + [_any(pl.col(f"truth:{name}")).alias(f"truth:{name}") for name in task.labels]
    if task.positive is None:
        return [pl.col("truth").drop_nulls().first()]
    present = pl.when(pl.col("truth").is_not_null()).then((pl.col("truth") == task.positive).cast(pl.Int64))
    absent = next(name for name in task.labels if name != task.positive)
    found = _any(present)
    return [
        pl.when(found == 1)
        .then(pl.lit(task.positive))
        .when(found == 0)
        .then(pl.lit(absent))
        .otherwise(None)
        .alias("truth")
    ]


def _any(states: pl.Expr) -> pl.Expr:
    """1 where one is; else not known where one is not; else 0."""
    return pl.when(states.max() == 1).then(1).when(states.null_count() > 0).then(None).otherwise(states.max())


def _one_label_each(table: pl.DataFrame) -> None:
    differing = table.group_by("owner").agg(kinds=pl.col("truth").drop_nulls().n_unique()).filter(pl.col("kinds") > 1)
    if differing.height:
        raise PredictionsError(
            f"{differing.height} patient(s) have cases of different classes, so a patient has no one label",
            fix="Judge the cases.",
        )
