"""Two models on the same cases: what differs between them, which is surer than two intervals side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit
from scipy.stats import binomtest, norm, t

from hounsfield.measure.bootstrap import LEVEL, Estimate, patient_weights
from hounsfield.measure.clustered import AreaParts, area_parts
from hounsfield.measure.intervals import NONE
from hounsfield.measure.measures import FEW
from hounsfield.measure.ranking import one_column_per_target
from hounsfield.measure.statistics import Statistics

Floats = NDArray[np.float64]
DELONG = "paired DeLong"
CLUSTERED = "paired clustered DeLong (Obuchowski)"
BOOTSTRAP = "paired patient bootstrap"
EXACT = "McNemar, exact"
CLUSTERED_MCNEMAR = "McNemar, clustered (Durkalski)"


@dataclass(frozen=True)
class McNemar:
    """A test of no difference.

    Attributes
    ----------
    first_only, second_only:
        Cases that only the first, or only the second model decided rightly.
    p:
        Two-sided; 1 where the models never differ.
    """

    first_only: int
    second_only: int
    p: float
    method: str


def paired_areas(
    truth: ArrayLike, first: ArrayLike, second: ArrayLike, patients: ArrayLike, level: float = LEVEL
) -> tuple[Estimate, float | None]:
    """Return AUC of second - first with its interval, and the two-sided p of no difference.

    DeLong, DeLong and Clarke-Pearson (1988); where patients have several cases Obuchowski (1997). The variance of the
    difference is that of the differences of each case's place among the other class.

    Parameters
    ----------
    truth:
        (n,), 0 or 1.
    first, second:
        (n,), the scores of the two models, each on its own scale.
    patients:
        (n,), whose case it is.
    """
    one, other = (area_parts(truth, scores, patients) for scores in (first, second))
    count = one.n
    if one.value is None or other.value is None:
        return Estimate(None, None, None, NONE, count, note=one.note), None
    value = other.value - one.value
    variance = other.minus(one)
    if variance is None:
        return Estimate(value, None, None, NONE, count, note=one.note), None
    method = DELONG if one.patients == count else CLUSTERED
    error = float(np.sqrt(max(0.0, variance)))
    if error < 1e-12:
        return Estimate(value, value, value, method, count, note="the two rank every pair alike"), 1.0
    freedom = min(one.positives, one.negatives) - 1
    half = float(t.ppf(0.5 + level / 2, freedom)) * error
    p = float(2 * t.sf(abs(value) / error, freedom))
    return Estimate(value, max(-1.0, value - half), min(1.0, value + half), method, count), p


def unpaired(first: AreaParts, second: AreaParts) -> float | None:
    """Return the two-sided p of equal AUCs in two sets of different patients; None where one has no variance.

    On the logit scale, as the intervals are, with the degrees of freedom of Welch and Satterthwaite (1946).
    """
    odds, errors, freedoms = [], [], []
    for one in (first, second):
        value, variance = one.value, one.variance
        if value is None or variance is None or not 0 < value < 1 or variance <= 0:
            return None
        odds.append(float(logit(value)))
        errors.append(variance / (value * (1 - value)) ** 2)
        freedoms.append(min(one.positives, one.negatives) - 1)
    total = sum(errors)
    freedom = total**2 / sum(error**2 / count for error, count in zip(errors, freedoms, strict=True))
    return float(2 * t.sf(abs(odds[1] - odds[0]) / np.sqrt(total), freedom))


def mcnemar(first: ArrayLike, second: ArrayLike, patients: ArrayLike) -> McNemar:
    """Test whether two models are right equally often.

    Exact (binomial in the cases in which they differ) where each patient gives one case; else the statistic of Durkalski et al.
    (Statistics in Medicine 22, 2003), in which each patient counts once.

    Parameters
    ----------
    first, second:
        (n,) bool: the model decided this case rightly.
    """
    one, other = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    _, owner = np.unique(np.asarray(patients), return_inverse=True)
    left, right = one & ~other, other & ~one
    counts = int(left.sum()), int(right.sum())
    clustered = int(owner.max()) + 1 < len(owner)
    if not clustered:
        p = float(binomtest(counts[0], sum(counts)).pvalue) if sum(counts) else 1.0
        return McNemar(*counts, p, EXACT)
    gaps = np.bincount(owner, weights=right.astype(float) - left) / np.bincount(owner)
    spread = float(gaps @ gaps)
    p = float(2 * norm.sf(abs(gaps.sum()) / np.sqrt(spread))) if spread > 0 else 1.0
    return McNemar(*counts, p, CLUSTERED_MCNEMAR)


def paired_measures(
    truth: ArrayLike,
    first: tuple[ArrayLike, ArrayLike],
    second: tuple[ArrayLike, ArrayLike],
    patients: ArrayLike,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = LEVEL,
) -> dict[str, Estimate]:
    """Return measure → second - first, with intervals from resamples of patients in which both models are measured.

    Parameters
    ----------
    truth:
        (n,), class index.
    first, second:
        Probability (n,) or (n, K), and decision (n,), of each model.

    Names are those of `measures`; the calibration error is left out, since its pull differs between models.
    """
    index, owner = np.asarray(truth, dtype=np.int64), np.asarray(patients)
    engines = [
        Statistics(index, one_column_per_target(probability), np.asarray(decision, dtype=np.int64))
        for probability, decision in (first, second)
    ]
    whole = [engine(np.ones((1, len(index)))) for engine in engines]
    names = [name for name in whole[0] if not name.startswith("ece")]
    pieces: dict[str, list[Floats]] = {name: [] for name in names}
    for weights in patient_weights(owner, resamples, seed):
        one, other = (engine(weights) for engine in engines)
        for name in names:
            with np.errstate(invalid="ignore"):
                pieces[name].append(other[name] - one[name])
    freedom = len(np.unique(owner)) - 1
    found = {}
    for name in names:
        with np.errstate(invalid="ignore"):
            value = float(whole[1][name][0] - whole[0][name][0])
        drawn = np.concatenate(pieces[name]) if pieces[name] else np.empty(0)
        found[name] = _estimate(value, drawn, freedom, len(index), level)
    return found


def _estimate(value: float, drawn: Floats, freedom: int, count: int, level: float) -> Estimate:
    if not np.isfinite(value):
        return Estimate(None, None, None, NONE, count, note="not defined for one of the two")
    kept = drawn[np.isfinite(drawn)]
    skipped = len(drawn) - len(kept)
    if len(kept) < max(2, len(drawn) / 2) or freedom < 1:
        return Estimate(value, None, None, NONE, count, skipped, FEW)
    half = float(t.ppf(0.5 + level / 2, freedom)) * float(kept.std(ddof=1))
    return Estimate(value, value - half, value + half, BOOTSTRAP, count, skipped)
