"""The area under the ROC curve where several cases belong to one patient: its variance by ranks, no resampling."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t

from hounsfield.measure.bootstrap import LEVEL, Estimate, exact

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
DELONG = "DeLong, logit scale"
CLUSTERED = "clustered DeLong (Obuchowski), logit scale"
EXACT = "exact bound"
NONE = "none"
_TINY = 1e-12


@dataclass(frozen=True)
class ClusteredArea:
    """An AUC and its variance; `interval` then costs nothing, at any level.

    Attributes
    ----------
    value, variance:
        None where they cannot be computed; `note` then says why.
    positives, negatives:
        Clusters (patients) that hold a case of the class; one with both counts in both.
    pairs:
        The most pairs of a positive and a negative case that share no cluster with another pair: independent ones.
    patients:
        All clusters.
    n:
        The cases that it rests on.
    """

    value: float | None
    variance: float | None
    positives: int
    negatives: int
    pairs: int
    patients: int
    n: int
    note: str = ""

    def interval(self, level: float = LEVEL) -> Estimate:
        """Return the AUC with an interval at a level.

        On the logit scale, so that it stays within 0 and 1 and is skewed where the AUC is high (Pepe 2003, section 5.2.4),
        with the quantile of Student's t, since a variance of few patients is itself uncertain. Where every positive case
        scored above every negative one (or below) the variance is 0 and means nothing; the bound is then that of as many
        independent pairs, all in the same order (Clopper and Pearson 1934).
        """
        if self.value is None or self.variance is None:
            return Estimate(self.value, None, None, NONE, self.n, note=self.note)
        spread = self.value * (1 - self.value)
        if spread < _TINY:
            low, high = exact(self.pairs if self.value > 0.5 else 0, self.pairs, level)
            note = f"the classes do not overlap, so the bound is that of {self.pairs} pairs of patients"
            return Estimate(self.value, low, high, EXACT, self.n, note=note)
        if self.variance < _TINY**2:
            return Estimate(
                self.value, None, None, NONE, self.n, note="the scores do not vary, so there is no interval"
            )
        quantile = float(t.ppf(0.5 + level / 2, min(self.positives, self.negatives) - 1))
        half = quantile * np.sqrt(self.variance) / spread
        centre = np.log(self.value / (1 - self.value))
        low, high = (float(1 / (1 + np.exp(-min(max(end, -700.0), 700.0)))) for end in (centre - half, centre + half))
        return Estimate(self.value, low, high, DELONG if self.patients == self.n else CLUSTERED, self.n)


def clustered_auc(
    truth: ArrayLike, scores: ArrayLike, clusters: ArrayLike, *, strata: ArrayLike | None = None, level: float = LEVEL
) -> Estimate:
    """Return the AUC with an interval that allows for cases of one patient being alike.

    Parameters
    ----------
    truth:
        (n,), 0 or 1.
    scores:
        (n,), higher meaning more likely positive; or (n, repeats), see `clustered_area`.
    clusters:
        (n,), whom each case belongs to. With one case each this is the method of DeLong, DeLong and Clarke-Pearson 1988.
    strata:
        Shape of `scores`: only cases of one stratum are compared with each other.
    level:
        Of the interval.
    """
    return clustered_area(truth, scores, clusters, strata=strata).interval(level)


def clustered_area(
    truth: ArrayLike, scores: ArrayLike, clusters: ArrayLike, *, strata: ArrayLike | None = None
) -> ClusteredArea:
    """Return the AUC and its variance for clustered cases (Obuchowski 1997).

    Scores of cross-validation come from several models, which need not share a scale, and pooling them makes a bias below
    one half (a fold with more positives was judged by a model that saw fewer). `strata` then names the fold of each case:
    only scores of one model are compared, and every case is placed among those of its fold (LeDell, Petersen and van der
    Laan 2015). For repeated cross-validation give one column of scores and of strata per repeat; the places are averaged.
    """
    return area_parts(truth, scores, clusters, strata=strata).area()


@dataclass(frozen=True)
class AreaParts:
    """What an AUC and its variance are made of; two of the same cases also give the variance of their difference.

    Attributes
    ----------
    positive, owner, place:
        (n,), of the cases that were compared with any: the class, the cluster (a number), and the share of the other class
        that scores lower.
    """

    positive: NDArray[np.bool_]
    owner: Ints
    place: Floats

    @property
    def n(self) -> int:
        return len(self.positive)

    @cached_property
    def patients(self) -> int:
        return len(np.unique(self.owner))

    @cached_property
    def positives(self) -> int:
        return len(np.unique(self.owner[self.positive]))

    @cached_property
    def negatives(self) -> int:
        return len(np.unique(self.owner[~self.positive]))

    @cached_property
    def value(self) -> float | None:
        if not self.positive.any() or self.positive.all():
            return None
        means = float(self.place[self.positive].mean()), 1 - float(self.place[~self.positive].mean())
        return min(max(float(np.mean(means)), 0.0), 1.0)

    @cached_property
    def note(self) -> str:
        """Why there is no value, or no variance."""
        if self.value is None:
            return "there are no two classes to tell apart"
        few = min(self.positives, self.negatives) < 2
        return "fewer than two patients of a class, so there is no interval" if few else ""

    @cached_property
    def variance(self) -> float | None:
        return None if self.note else _variance(self.positive, self.owner, self.place)

    def minus(self, other: AreaParts) -> float | None:
        """The variance of this area minus another of the same cases: places add up, so their differences do as well."""
        return None if self.note else _variance(self.positive, self.owner, self.place - other.place)

    def area(self) -> ClusteredArea:
        pairs = min(self.positives, self.negatives, self.patients // 2)
        counts = (self.positives, self.negatives, pairs, self.patients, self.n)
        return ClusteredArea(self.value, self.variance, *counts, self.note)


def area_parts(
    truth: ArrayLike, scores: ArrayLike, clusters: ArrayLike, *, strata: ArrayLike | None = None
) -> AreaParts:
    """Return the parts of an AUC; parameters as of `clustered_area`."""
    positive = np.asarray(truth, dtype=np.float64) == 1
    values = np.asarray(scores, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values
    parts = np.zeros(values.shape) if strata is None else np.asarray(strata).reshape(values.shape)
    _, owner = np.unique(np.asarray(clusters), return_inverse=True)
    place = _places(positive, values, parts)
    known = np.isfinite(place)
    return AreaParts(positive[known], owner[known].astype(np.int64), place[known])


def _places(positive: NDArray[np.bool_], scores: Floats, strata: NDArray[np.generic]) -> Floats:
    """Return for each case the share of the other class that scores lower, ties half, mean over the repeats.

    It is nan for a case that was compared with none.
    """
    total, times = np.zeros(len(positive)), np.zeros(len(positive))
    for column in range(scores.shape[1]):
        _, part = np.unique(strata[:, column], return_inverse=True)
        sizes = [np.bincount(part, weights=rows).astype(np.float64) for rows in (~positive, positive)]
        lower = [
            _lower(rows, scores[:, column], part, size) for rows, size in zip((~positive, positive), sizes, strict=True)
        ]
        others = np.where(positive, sizes[0][part], sizes[1][part])
        found = others > 0
        total[found] += np.where(positive, *lower)[found] / others[found]
        times += found
    return np.divide(total, times, out=np.full(len(total), np.nan), where=times > 0)


def _lower(counted: NDArray[np.bool_], scores: Floats, part: Ints, sizes: Floats) -> Floats:
    """Return for each case how many of the `counted` ones of its part score lower; ties count one half."""
    order = np.lexsort((scores, part))
    ordered, parts = scores[order], part[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]) | (parts[1:] != parts[:-1])
    tied = np.cumsum(new) - 1
    here = np.bincount(tied, weights=counted[order])
    before = np.cumsum(here) - 0.5 * here
    result = np.empty(len(order))
    result[order] = before[tied] - (np.cumsum(sizes) - sizes)[parts]
    return result


def _variance(positive: NDArray[np.bool_], owner: Ints, place: Floats) -> float:
    """Return Obuchowski's variance (1997, equations 3 to 5).

    Each cluster contributes the sum of its positive cases' deviations from the mean place, and that of its negative
    cases; the third term is how the two go together within clusters that hold both.
    """
    deviation = np.where(positive, place - place[positive].mean(), place - place[~positive].mean())
    # A negative case counts how many positives score *lower*, one minus what the formula has.
    signed = np.where(positive, deviation, -deviation)
    count = int(owner.max()) + 1
    ups = np.bincount(owner[positive], weights=signed[positive], minlength=count)
    downs = np.bincount(owner[~positive], weights=signed[~positive], minlength=count)
    with_up, with_down = len(np.unique(owner[positive])), len(np.unique(owner[~positive]))
    clusters = len(np.unique(owner))
    m, n = int(positive.sum()), int((~positive).sum())
    return float(
        with_up / (with_up - 1) * (ups @ ups) / m**2
        + with_down / (with_down - 1) * (downs @ downs) / n**2
        + 2 * clusters / (clusters - 1) * (ups @ downs) / (m * n)
    )
