"""Cross-validation inside the training part: a small model on fixed features, patients never parted."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hounsfield.core.cohort import ABSENT, PRESENT
from hounsfield.core.plan import Plan
from hounsfield.measure import auc

FOLDS = 5
HIDDEN, MLP_ALPHA, MLP_ITERATIONS = 32, 1.0, 100
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Inner:
    """Who is tried on, and in which folds.

    Attributes
    ----------
    targets:
        (cases, columns) of 0, 1 and NaN (not known), one column per output; or (cases, 1) class index.
    folds:
        (cases,) fold of each.
    """

    targets: Floats
    folds: NDArray[np.int64]
    several: bool

    @property
    def count(self) -> int:
        return int(self.folds.max()) + 1

    def areas(self, features: Floats, make: Callable[[], Any]) -> Floats:
        """Return the AUC of each fold, of models that were fitted on the other folds; of several labels their mean."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a fit that is stopped early is still a fit
            found = [self._area(features, self.folds == fold, make) for fold in range(self.count)]
        return np.array([area for area in found if np.isfinite(area)])

    def _area(self, features: Floats, held: NDArray[np.bool_], make: Callable[[], Any]) -> float:
        areas = []
        for column in self.targets.T:
            known = np.isfinite(column)
            fit, judge = known & ~held, known & held
            if len(np.unique(column[fit])) < 2 or len(np.unique(column[judge])) < 2:
                continue
            model = make().fit(features[fit], column[fit].astype(np.int64))
            scores = model.predict_proba(features[judge])
            # One column where there are two classes; a class that no other fold holds has no score.
            if scores.shape[1] > 2 and scores.shape[1] <= int(column.max()):
                continue
            areas.append(auc(column[judge].astype(np.int64), scores[:, 1] if scores.shape[1] == 2 else scores))
        return float(np.mean(areas)) if areas else float("nan")


def targets_of(table: pl.DataFrame, plan: Plan) -> Floats:
    """Return what is to be told: (cases, 1) class index, or (cases, findings) with NaN where a finding is not known."""
    labels = plan.labels.value
    if plan.task.value != "multilabel":
        return np.array([[float(labels.index(name))] for name in table["label"]])
    known = (PRESENT, ABSENT)
    return np.array([[float(state) if state in known else np.nan for state in row] for row in table["states"]])


def strata(targets: Floats, *, several: bool) -> NDArray[np.int64]:
    """One class per case to stratify by: its own, or the rarest of the findings it has."""
    if not several:
        return np.asarray(targets[:, 0].astype(np.int64))
    present = targets == 1
    rare = np.argsort(np.argsort(-present.sum(axis=0))) + 1
    return np.asarray((present * rare).max(axis=1).astype(np.int64))


def sample(classes: NDArray[np.int64], groups: list[str], limit: int, seed: int) -> NDArray[np.int64]:
    """Return rows of at most `limit` cases, whole groups, with about the same share of every class."""
    if len(groups) <= limit:
        return np.arange(len(groups))
    rows: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(group, []).append(row)
    order = np.random.default_rng(seed).permutation(sorted(rows))
    quota = {int(kind): limit * float((classes == kind).mean()) for kind in np.unique(classes)}
    chosen: list[int] = []
    for group in order:
        kind = int(classes[rows[group]].max())
        if quota[kind] >= len(rows[group]):
            quota[kind] -= len(rows[group])
            chosen += rows[group]
    return np.array(sorted(chosen))


def folds_of(classes: NDArray[np.int64], groups: list[str], seed: int) -> NDArray[np.int64] | None:
    """Return a fold for every case; None where the rarest class has groups for less than two folds."""
    places = np.array(groups)
    rarest = min(len(set(places[classes == kind])) for kind in np.unique(classes))
    count = min(FOLDS, rarest)
    if count < 2 or len(np.unique(classes)) < 2:
        return None
    folds = np.zeros(len(groups), dtype=np.int64)
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    for fold, (_, held) in enumerate(splitter.split(classes, classes, places)):
        folds[held] = fold
    return folds


def compact(features: Floats) -> Floats:
    """(cases, features) → standardised, and turned into as few columns as there are cases: (cases, at most cases).

    A logistic regression with a quadratic penalty does not see the turn, and is fitted many times as fast. It knows
    nothing of labels.
    """
    scale = features.std(axis=0)
    standardised = (features - features.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
    left, values, _ = np.linalg.svd(standardised, full_matrices=False)
    return np.asarray(left * values)


def linear(strength: float) -> Callable[[], Any]:
    """Logistic regression on `compact` features; `strength` is scikit-learn's C, smaller for more regularisation."""
    return lambda: LogisticRegression(C=strength, class_weight="balanced", max_iter=1000)


def small_mlp(seed: int) -> Callable[[], Any]:
    """One hidden layer, on features as they are."""
    return lambda: make_pipeline(
        StandardScaler(),
        MLPClassifier((HIDDEN,), alpha=MLP_ALPHA, max_iter=MLP_ITERATIONS, early_stopping=False, random_state=seed),
    )
