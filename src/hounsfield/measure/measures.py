"""Measures: every number that judges a classifier, each with its interval over patients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hounsfield.measure import intervals
from hounsfield.measure.bootstrap import Estimate, exact, patient_weights, percentiles
from hounsfield.measure.clustered import clustered_area
from hounsfield.measure.intervals import EXACT, NONE
from hounsfield.measure.ranking import one_column_per_target
from hounsfield.measure.recalibration import recalibration
from hounsfield.measure.statistics import RATIOS, Statistics

Floats = NDArray[np.float64]

# In the order in which they are read; accuracy last, because with rare disease it flatters whoever always says no.
NAMES = (
    "auc",
    "average_precision",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "f1",
    "balanced_accuracy",
    "mcc",
    "lr_positive",
    "lr_negative",
    "brier",
    "log_loss",
    "calibration_slope",
    "calibration_intercept",
    "ece",
    "ece_by_chance",
    "accuracy",
)
# Measures of which 1 is perfect and 0 the worst.
BOUNDED = (
    "average_precision",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "f1",
    "balanced_accuracy",
    "accuracy",
    "auc",
)
PROPORTIONS = ("sensitivity", "specificity", "ppv", "npv", "accuracy")
LOSSES = ("brier", "log_loss")
SCALES = {"mcc": intervals.FISHER}
BY_CHANCE = "simulation of a calibrated model"
NO_RESAMPLES = "no resamples were asked for"
FEW = "undefined in most resamples: too few cases"
NEVER_VARIED = "the bootstrap never varied, so it gives no interval"
PULLED = "few cases in a bin pull it upwards, so it has no interval; compare it with that of chance"
BAND_RATES = np.linspace(0, 1, 51)
_BAND_RESAMPLES = 500
_CHANCE_DRAWS = 500
_EDGE = 1e-12


@dataclass(frozen=True)
class Measures:
    """What `measures` found.

    Attributes
    ----------
    overall:
        Measure → Estimate, in the order of `NAMES`. Of two classes those of the positive one; of more, macro
        (unweighted mean of one class against the rest) for everything but accuracy, Brier and ECE.
    per_class:
        Label → measure → Estimate, one class against the rest; empty with two classes.
    confusion:
        (classes, classes) counts of cases; rows are the truth, columns the decision.
    band:
        Label → (2, 51), the pointwise 95% band of the ROC curve at false positive rates 0, 0.02, … 1.
    resampled:
        Measure → (resamples,), what the bootstrap saw; for intervals of differences. Not meant to be stored.
    """

    overall: dict[str, Estimate]
    per_class: dict[str, dict[str, Estimate]]
    confusion: NDArray[np.int64]
    band: dict[str, Floats] = field(repr=False)
    resampled: dict[str, Floats] = field(repr=False)


def measures(
    truth: ArrayLike,
    probability: ArrayLike,
    decision: ArrayLike,
    patients: ArrayLike,
    *,
    labels: Sequence[str],
    resamples: int = 2000,
    seed: int = 0,
    among: ArrayLike | None = None,
) -> Measures:
    """Judge probabilities and decisions against the truth.

    Parameters
    ----------
    truth, decision:
        (n,), index into `labels`; n > 0.
    probability:
        (n,) or (n, 1) of the second of two labels, or (n, K).
    patients:
        (n,), whose case it is.
    resamples:
        Bootstrap resamples of patients (not of cases, and not stratified); 0 for none.
    among:
        The patients of all the cases that these n are some of; see `patient_weights`.

    Intervals hold 95%; each Estimate names its method. AUC: DeLong, DeLong and Clarke-Pearson (1988), with several cases of
    a patient Obuchowski (1997), on the logit scale. Sensitivity, specificity, PPV, NPV, accuracy and F1: Wilson, with an
    effective number of cases where patients have several (`intervals.proportion`, `intervals.f1`); likelihood ratios from
    the two of them (`intervals.ratio`). Brier score and log loss:
    their variance between patients, on the log scale. Calibration slope and intercept: `recalibration`. All others: the
    standard deviation of resamples of patients, on a scale that fits (`intervals.resampled`).

    Where a measure is perfect (or worst) nothing varies, and any of these would claim a certainty that it does not have; a
    bound takes its place that says how often k of k patients succeed (Clopper-Pearson, the exact form of the rule of three),
    with k the patients that the measure rests on. For sensitivity and its like that is exact for one case per patient. For
    composed measures (F1, balanced accuracy, macro means) the smallest k of their parts is used, which is a guide.

    ECE is pulled upwards by noise, so it has no interval; `ece_by_chance` is what a perfectly calibrated model with the same
    probabilities would show on as many cases: mean, and the range of 95 in 100 such samples.
    """
    index, chosen = np.asarray(truth, dtype=np.int64), np.asarray(decision, dtype=np.int64)
    scores, owner = one_column_per_target(probability), np.asarray(patients)
    if not len(index) == len(chosen) == len(scores) == len(owner) or not len(index):
        raise ValueError("truth, probability, decision and patients have one row per case, and at least one case")
    engine = Statistics(index, scores, chosen)
    values = engine(np.ones((1, len(index))))
    resampled, band = _bootstrap(engine, patient_weights(owner, resamples, seed, among=among))
    support = _Support(engine, owner, labels)
    make = _Estimator(engine, support, resampled)
    estimates = {key: make(key, float(values[key][0])) for key in values}
    estimates["ece_by_chance"] = _by_chance(engine, seed)
    if engine.binary:
        estimates |= recalibration(index == 1, scores[:, 0], owner)
    else:
        for target in engine.targets:
            bent = recalibration(index == target, scores[:, target], owner)
            estimates |= {f"{name}:{target}": found for name, found in bent.items()}
    return Measures(
        {name: estimates[name] for name in NAMES if name in estimates},
        {}
        if engine.binary
        else {
            labels[target]: {name: estimates[f"{name}:{target}"] for name in NAMES if f"{name}:{target}" in estimates}
            for target in engine.targets
        },
        engine.matrix(np.ones((1, len(index))))[0].astype(np.int64),
        {labels[target]: rows for target, rows in band.items()},
        resampled,
    )


def _bootstrap(engine: Statistics, resampling: Iterator[Floats]) -> tuple[dict[str, Floats], dict[int, Floats]]:
    pieces: dict[str, list[Floats]] = {}
    heights: dict[int, list[Floats]] = {target: [] for target in engine.targets}
    for weights in resampling:
        for key, row in engine(weights).items():
            pieces.setdefault(key, []).append(row)
        for target, seen in heights.items():
            left = _BAND_RESAMPLES - sum(map(len, seen))
            if left > 0:
                seen.append(engine.rankings[target].sensitivity_at(weights[:left], BAND_RATES))
    band: dict[int, Floats] = {}
    for target, seen in heights.items():
        drawn = np.concatenate(seen) if seen else np.empty((0, len(BAND_RATES)))
        drawn = drawn[np.isfinite(drawn).all(axis=1)]
        if len(drawn):
            band[target] = np.quantile(drawn, [0.025, 0.975], axis=0)
    return {key: np.concatenate(rows) for key, rows in pieces.items()}, band


class _Support:
    """How many cases and patients a measure rests on, and in words what is missing when there are none."""

    def __init__(self, engine: Statistics, owner: NDArray[np.generic], labels: Sequence[str]) -> None:
        self._engine, self._labels = engine, labels
        names, self.owner = np.unique(owner, return_inverse=True)
        self.patients = len(names)

    def cases(self, name: str, target: int) -> NDArray[np.bool_]:
        """(n,), the cases in the denominator of a measure."""
        truth, decision = self._engine.truth, self._engine.decision
        rows = {
            "sensitivity": truth == target,
            "specificity": truth != target,
            "ppv": decision == target,
            "npv": decision != target,
        }
        return rows.get(name, np.ones(len(truth), dtype=bool))

    def trials(self, name: str, target: int) -> int:
        """Patients whose success or failure makes the measure."""
        if name in ("sensitivity", "specificity", "ppv", "npv"):
            return self._count(self.cases(name, target))
        if name == "accuracy":
            return self.patients
        truth = self._engine.truth == target
        return min(self._count(truth), self._count(~truth), max(1, self.patients // 2))

    def _count(self, rows: NDArray[np.bool_]) -> int:
        return len(np.unique(self.owner[rows]))

    def size(self, key: str) -> int:
        name, _, target = key.partition(":")
        if target or self._engine.binary:
            return int(self.cases(name, int(target or 1)).sum())
        return len(self._engine.truth)

    def smallest(self, key: str) -> int:
        name, _, target = key.partition(":")
        if target or self._engine.binary:
            return self.trials(name, int(target or 1))
        if name == "accuracy":
            return self.patients
        counts = [self.trials(name, each) for each in self._engine.targets]
        return min((count for count in counts if count), default=0)

    def freedom(self, key: str) -> int:
        """Degrees of freedom of a variance between the patients that a measure rests on."""
        return (self.patients if key == "mcc" else self.smallest(key)) - 1

    def reason(self, key: str) -> str:
        name, _, target = key.partition(":")
        if name == "mcc":
            return "all cases here have the same label, or were called the same"
        if not (target or self._engine.binary):
            return "all cases here have the same label"
        label = self._labels[int(target or 1)]
        if name in ("ppv", "npv"):
            return f"no case was called {label}" if name == "ppv" else f"every case was called {label}"
        truth = self._engine.truth == int(target or 1)
        if name in RATIOS and truth.any() and not truth.all():
            return (
                "no other case was called so: the ratio has no end"
                if name == "lr_positive"
                else "every other case was called so"
            )
        return f"no case here is {label}" if not truth.any() else f"every case here is {label}"


class _Estimator:
    """Gives each value its interval, by the method of its measure."""

    def __init__(self, engine: Statistics, support: _Support, resampled: Mapping[str, Floats]) -> None:
        self._engine, self._support, self._resampled = engine, support, resampled

    def __call__(self, key: str, value: float) -> Estimate:
        name, _, target = key.partition(":")
        size, drawn = self._support.size(key), self._resampled.get(key, np.empty(0))
        if not np.isfinite(value):
            return Estimate(None, None, None, NONE, size, note=self._support.reason(key))
        if name == "ece":
            return Estimate(value, None, None, NONE, size, note=PULLED)
        if self._support.patients < 2:
            return Estimate(
                value, None, None, NONE, size, note="one patient only, so there is no interval over patients"
            )
        one = int(target or 1) if target or self._engine.binary else None
        if name == "auc" and one is not None:
            area = clustered_area(self._engine.truth == one, self._engine.scores(one), self._support.owner)
            return replace(area.interval(), n=size)
        if name in BOUNDED and not _EDGE < value < 1 - _EDGE:
            return self._bound(key, value, size)
        found = self._formula(name, one)
        if found is not None:
            return Estimate(value, *found, size)
        skipped = int((~np.isfinite(drawn)).sum())
        if not len(drawn):
            return Estimate(value, None, None, NONE, size, note=NO_RESAMPLES)
        if skipped > len(drawn) / 2:
            return Estimate(value, None, None, NONE, size, skipped, FEW)
        found = intervals.resampled(value, drawn, SCALES.get(name, intervals.LOGIT), self._support.freedom(key))
        if found is None:
            return Estimate(value, None, None, NONE, size, skipped, NEVER_VARIED)
        return Estimate(value, *found, size, skipped)

    def _formula(self, name: str, one: int | None) -> intervals.Interval | None:
        """The interval of a measure of one class, or of all cases; None where there is no formula, or nothing varies."""
        engine, owner = self._engine, self._support.owner
        if name in LOSSES:
            return intervals.average(engine.brier if name == "brier" else engine.log_loss, owner)
        right = engine.truth == engine.decision
        if name == "accuracy":
            return intervals.proportion(right, np.ones(len(right), dtype=bool), owner)
        if one is None:
            return None
        if name == "f1":
            return intervals.f1(engine.truth == one, engine.decision == one, owner)
        if name in RATIOS:
            counted = (engine.decision == one) == (name == "lr_positive")
            ill = engine.truth == one
            return intervals.ratio(intervals.share(counted, ill, owner), intervals.share(counted, ~ill, owner))
        if name in PROPORTIONS:
            right = (engine.truth == one) == (engine.decision == one)
            return intervals.proportion(right, self._support.cases(name, one), owner)
        return None

    def _bound(self, key: str, value: float, size: int) -> Estimate:
        k = self._support.smallest(key)
        if not k:
            return Estimate(value, None, None, NONE, size, note=NEVER_VARIED)
        low, high = exact(k if value > 0.5 else 0, k)
        return Estimate(
            value, low, high, EXACT, size, note=f"nothing varied, so the bound is that of {k} of {k} patients"
        )


def _by_chance(engine: Statistics, seed: int) -> Estimate:
    drawn = engine.ece_by_chance(_CHANCE_DRAWS, seed)
    return Estimate(float(drawn.mean()), *percentiles(drawn), BY_CHANCE, len(engine.truth))
