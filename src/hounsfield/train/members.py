"""Which cases train and which validate each member of a run."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import polars as pl

from hounsfield.cohort.split import split_patients
from hounsfield.core.cohort import ABSENT, PRESENT
from hounsfield.core.plan import Plan
from hounsfield.errors import PlanError


@dataclass(frozen=True)
class Parts:
    """Which cases train and which validate a member; the division and the fold in it that judge it, or -1."""

    train: list[str]
    validation: list[str]
    fold: int
    repeat: int = 0


def parts_of_members(table: pl.DataFrame, plan: Plan, folds: int, repeats: int) -> list[Parts]:
    """Give every member its cases: all members the same ones, or each those of the folds that it is not judged by.

    Raises
    ------
    PlanError
        If the plan's members do not fit the folds of the cohort.
    """
    cases = {name: table.filter(pl.col("split") == name)["case"].to_list() for name in ("train", "validation")}
    if not folds:
        return [Parts(cases["train"], cases["validation"], -1)] * plan.members.value
    if plan.members.value != folds * repeats:
        raise PlanError(
            f"members: {plan.members.value} do not fit {folds} folds, {repeats} time(s)",
            fix=f"Set members to {folds * repeats}.",
        )
    parts = []
    for repeat, fold in itertools.product(range(repeats), range(folds)):
        rest = table.filter(pl.col("folds").list.get(repeat) != fold)
        seed = plan.seed.value + repeat * folds + fold
        labels = targets_of(rest, plan) if plan.task.value == "multilabel" else rest["label"].to_list()
        made = split_patients(rest["group"].to_list(), labels, {"train": 5, "validation": 1}, seed)
        given = dict(zip(rest["case"].to_list(), made, strict=True))
        chosen = {
            wanted: [case for case, name in given.items() if name == wanted] for wanted in ("train", "validation")
        }
        parts.append(Parts(chosen["train"], chosen["validation"], fold, repeat))
    return parts


def targets_of(table: pl.DataFrame, plan: Plan) -> np.ndarray:
    """Return what the loss is held against.

    Returns
    -------
    (cases,) int64, the class index; or (cases, findings) float32, 1 present, 0 absent, NaN where that is not known or
    uncertain.
    """
    if plan.task.value != "multilabel":
        index = {name: place for place, name in enumerate(plan.labels.value)}
        return np.array([index[name] for name in table["label"]], dtype=np.int64)
    known = (PRESENT, ABSENT)
    rows = [[float(state) if state in known else np.nan for state in row] for row in table["states"]]
    return np.array(rows, dtype=np.float32).reshape(table.height, len(plan.labels.value))
