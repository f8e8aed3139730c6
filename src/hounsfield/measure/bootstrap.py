"""Intervals: a bootstrap over patients, and exact bounds where it has nothing to say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta, norm

LEVEL = 0.95
_CHUNK = 1_000_000  # weights held at once; about 8 MB, so that memory does not grow with the number of resamples


@dataclass(frozen=True)
class Estimate:
    """A measure with its interval.

    Attributes
    ----------
    value, low, high:
        None where it cannot be computed; `note` then says why.
    method:
        How the interval was made.
    n:
        The cases that the measure rests on: for sensitivity the positive ones, for AUC all of them.
    skipped:
        Resamples in which the measure was undefined; they are left out of the interval.
    """

    value: float | None
    low: float | None
    high: float | None
    method: str
    n: int
    skipped: int = 0
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Estimate:
        return cls(**content)

    def __str__(self) -> str:
        if self.value is None:
            return f"not computed: {self.note}" if self.note else "not computed"
        if self.low is None or self.high is None:
            return decimals(self.value)
        return f"{decimals(self.value)} ({span(self.low, self.high)})"


def decimals(value: float) -> str:
    """Two decimals, and a third where two would claim perfection that is not there."""
    if 0.995 <= value < 1:
        return f"{min(value, 0.999):.3f}"
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", "−")


def span(low: float, high: float) -> str:
    """ "0.81–0.92"; "−0.10 to 0.20", where a dash would be taken for a sign."""
    return f"{decimals(low)}{' to ' if low < 0 else '–'}{decimals(high)}"


def patient_weights(
    patients: ArrayLike, resamples: int, seed: int, *, among: ArrayLike | None = None
) -> Iterator[NDArray[np.float64]]:
    """Yield case weights (b, n) of bootstrap resamples, in pieces that together have `resamples` rows.

    Patients are drawn with replacement, as many as there are, without stratification by class; a case weighs as often
    as its patient was drawn (cluster bootstrap: Davison and Hinkley 1997, chapter 3.8). Patients are numbered in the
    order of their names, so the weights do not depend on the order of the rows.

    `among` gives the patients of all the cases that these n are some of; all of them are drawn then, so that several such
    choices of cases, with the same seed, see the same resamples in the same order.
    """
    everyone = np.asarray(patients if among is None else among)
    names = np.unique(everyone)
    owner = np.searchsorted(names, np.asarray(patients))
    generator = np.random.default_rng(seed)
    step = max(1, _CHUNK // max(1, len(everyone)))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = generator.integers(0, len(names), size=(rows, len(names)))
        drawn += np.arange(rows)[:, None] * len(names)
        times = np.bincount(drawn.ravel(), minlength=rows * len(names)).reshape(rows, len(names))
        yield times[:, owner].astype(np.float64)


def percentiles(values: NDArray[np.float64], level: float = LEVEL) -> tuple[float, float]:
    """Return the percentile interval of resampled values; nan are left out."""
    tail = (1 - level) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return float(low), float(high)


def exact(hits: int, trials: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the exact interval of a proportion (Clopper and Pearson 1934)."""
    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else float(beta.ppf(tail, hits, trials - hits + 1))
    high = 1.0 if hits == trials else float(beta.ppf(1 - tail, hits + 1, trials - hits))
    return low, high


def wilson(hits: ArrayLike, trials: ArrayLike, level: float = LEVEL) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the score interval (Wilson 1927) of proportions: low and high, each the shape of `hits`; trials > 0."""
    successes, count = np.asarray(hits, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    low, high = score_interval(successes / count, count, float(norm.ppf(0.5 + level / 2)))
    return np.asarray(low), np.asarray(high)


def score_interval(share: Any, count: Any, quantile: float) -> tuple[Any, Any]:
    """Return the shares that a score test at a quantile would not refuse; `count` need not be whole. Numbers or arrays."""
    stretch = 1 + quantile**2 / count
    centre = (share + quantile**2 / (2 * count)) / stretch
    half = quantile / stretch * np.sqrt(share * (1 - share) / count + quantile**2 / (4 * count**2))
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def difference(first: Estimate, second: Estimate) -> tuple[float, float]:
    """Return the interval of second - first from their own intervals, for independent samples.

    Square-and-add (MOVER: Zou and Donner 2008). It keeps the asymmetry of the two intervals, so it also serves where
    a bootstrap has collapsed and a bound had to be used.
    """
    ends = (first.value, first.low, first.high, second.value, second.low, second.high)
    if any(end is None for end in ends):
        raise ValueError("both estimates need a value and an interval")
    value1, low1, high1, value2, low2, high2 = (float(end) for end in ends if end is not None)
    gap = value2 - value1
    return gap - float(np.hypot(value2 - low2, high1 - value1)), gap + float(np.hypot(high2 - value2, value1 - low1))
