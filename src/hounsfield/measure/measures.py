"""Measures: every number that judges a classifier, each with its interval over patients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hounsfield.measure.bootstrap import Estimate, exact, patient_weights, percentiles
from hounsfield.measure.ranking import one_column_per_target
from hounsfield.measure.statistics import Statistics

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
    "brier",
    "ece",
    "accuracy",
)
BOOTSTRAP = "patient bootstrap, percentile"
REFLECTED = "patient bootstrap, reflected"
EXACT = "exact bound"
NONE = "none"
NO_RESAMPLES = "no resamples were asked for"
FEW = "undefined in most resamples: too few cases"
NEVER_VARIED = "the bootstrap never varied, so it gives no interval"
BAND_RATES = np.linspace(0, 1, 51)
_BAND_RESAMPLES = 500


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

    Intervals hold 95%. Where every resample gives the same perfect (or worst) value, the bootstrap would claim a
    certainty that it does not have; a bound takes its place that says how often k of k patients succeed
    (Clopper-Pearson, the exact form of the rule of three), with k the patients that the measure rests on. For
    sensitivity and its like that is exact for one case per patient. For AUC k counts disjoint pairs of a positive and
    a negative patient, each of which is an independent trial of "the positive ranks higher". For composed measures
    (F1, balanced accuracy, macro means) the smallest k of their parts is used, which is a guide.

    Percentile intervals are too narrow in small samples. Simulated (normal scores, one case per patient, 400 samples):
    the 95% interval of the AUC held the truth in 95% (AUC 0.86) and 91% (AUC 0.96) of samples with 50 positive and 100
    negative patients, and in 87 to 93% with 20 + 60 or 30 + 30.

    ECE is pulled upwards by noise, in the sample and again in its resamples; its interval is therefore reflected
    (2·value − percentile; Davison and Hinkley 1997, "basic"), cut at 0.
    """
    index, chosen = np.asarray(truth, dtype=np.int64), np.asarray(decision, dtype=np.int64)
    scores, owner = one_column_per_target(probability), np.asarray(patients)
    if not len(index) == len(chosen) == len(scores) == len(owner) or not len(index):
        raise ValueError("truth, probability, decision and patients have one row per case, and at least one case")
    engine = Statistics(index, scores, chosen)
    values = engine(np.ones((1, len(index))))
    resampled, band = _bootstrap(engine, patient_weights(owner, resamples, seed, among=among))
    support = _Support(engine, owner, labels)
    estimates = {key: _estimate(key, float(values[key][0]), resampled.get(key, np.empty(0)), support) for key in values}
    return Measures(
        {name: estimates[name] for name in NAMES},
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
        _, self._owner = np.unique(owner, return_inverse=True)
        self.patients = len(np.unique(self._owner))

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
        return len(np.unique(self._owner[rows]))

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

    def reason(self, key: str) -> str:
        name, _, target = key.partition(":")
        if not (target or self._engine.binary):
            return "all cases here have the same label"
        label = self._labels[int(target or 1)]
        if name in ("ppv", "npv"):
            return f"no case was called {label}" if name == "ppv" else f"every case was called {label}"
        truth = self._engine.truth == int(target or 1)
        return f"no case here is {label}" if not truth.any() else f"every case here is {label}"


def _estimate(key: str, value: float, drawn: Floats, support: _Support) -> Estimate:
    name = key.partition(":")[0]
    size = support.size(key)
    if not np.isfinite(value):
        return Estimate(None, None, None, NONE, size, note=support.reason(key))
    kept = drawn[np.isfinite(drawn)]
    skipped = len(drawn) - len(kept)
    if not len(drawn):
        return Estimate(value, None, None, NONE, size, note=NO_RESAMPLES)
    if support.patients < 2:
        return Estimate(value, None, None, NONE, size, note="one patient only, so there is no interval over patients")
    spread = interval(name, value, drawn)
    if spread is None:
        return Estimate(value, None, None, NONE, size, skipped, FEW)
    low, high, method = spread
    if high - low > 1e-12 or name in ("brier", "ece"):
        return Estimate(value, low, high, method, size, skipped)
    k = support.smallest(key)
    if k and (value > 1 - 1e-12 or value < 1e-12):
        low, high = exact(k if value > 0.5 else 0, k)
        note = f"no resample differed, so the bound is that of {k} of {k} patients"
        return Estimate(value, low, high, EXACT, size, skipped, note)
    return Estimate(value, None, None, NONE, size, skipped, NEVER_VARIED)


def interval(name: str, value: float, drawn: Floats) -> tuple[float, float, str] | None:
    """Return low, high and method of a measure from what its resamples gave; None where most gave nothing."""
    kept = drawn[np.isfinite(drawn)]
    if not len(kept) or len(kept) < len(drawn) / 2:
        return None
    low, high = percentiles(kept)
    if name == "ece":
        return max(0.0, 2 * value - high), max(0.0, 2 * value - low), REFLECTED
    return low, high, BOOTSTRAP
