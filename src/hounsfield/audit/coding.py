"""Facts of cases as small whole numbers; which cases of a label are known; samples and folds by patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Rows = NDArray[np.bool_]

# A value is learned from, and told, only if so many patients share it; else it would point at a person.
FEWEST_SHARING = 5
MOST_CASES = 5000
# The family of facts that may be causes of a disease, and are no shortcut by themselves.
PATIENT = "patient"
SITE = "site"
# Grey values: they may be the disease itself, such as an opacity, or the way that one class was photographed.
BRIGHTNESS = "brightness"
_FOLDS = 5
_MOST_BINS = 8


@dataclass(frozen=True)
class Coded:
    """Facts as small whole numbers: which value, or which bin of a number; missing is a value too.

    Attributes
    ----------
    names:
        Columns that vary and have a value that enough patients share.
    places:
        (n, columns): the place of a case's value in one long list of all values of all columns.
    column:
        The column of each value in that list.
    twins:
        Column → others that part the cases in just the same way, and are left out for that.
    """

    names: list[str]
    places: Ints
    column: Ints
    twins: dict[str, list[str]]


@dataclass(frozen=True)
class Known:
    """The cases of which one label is known; see `Coded` for `places`.

    Each patient weighs one in what is learned, however many cases there are of them.
    """

    places: Ints
    positive: Rows
    owner: Ints

    @property
    def patients(self) -> tuple[int, int]:
        """Patients with a positive case, and with a negative one."""
        return len(np.unique(self.owner[self.positive])), len(np.unique(self.owner[~self.positive]))

    @property
    def weights(self) -> Floats:
        return 1 / np.bincount(self.owner)[self.owner]

    def take(self, rows: NDArray[np.generic]) -> Known:
        return Known(self.places[rows], self.positive[rows], np.unique(self.owner[rows], return_inverse=True)[1])


def code_of(facts: pl.DataFrame, families: Mapping[str, str], owner: Ints) -> Coded:
    """Turn columns into codes. No label is looked at, so this may be done before there are folds."""
    bins = int(np.clip((owner.max(initial=0) + 1) // 12, 4, _MOST_BINS))
    names: list[str] = []
    places: list[Ints] = []
    column: list[int] = []
    first: dict[bytes, str] = {}
    twins: dict[str, list[str]] = {}
    for name in facts.columns:
        code = _shared(_values(facts[name], bins), owner)
        if code.max(initial=0) > 0:
            twin = first.setdefault(_parting(code), name)
            if twin != name and (families[twin] == PATIENT) == (families[name] == PATIENT):
                twins.setdefault(twin, []).append(name)
                continue
            names.append(name)
            places.append(code + len(column))
            column += [len(places) - 1] * (int(code.max()) + 1)
    stacked = np.stack(places, axis=1) if places else np.zeros((len(owner), 0), dtype=np.int64)
    return Coded(names, stacked, np.array(column, dtype=np.int64), twins)


def _parting(code: Ints) -> bytes:
    """Return how a column parts the cases, whatever its values are called."""
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int32).tobytes()


def _values(column: pl.Series, bins: int) -> Ints:
    """Return 0 where missing, else a number from 1 for each value, or for each bin of a number with many values."""
    if not column.dtype.is_numeric():
        return column.cast(pl.String).rank("dense").fill_null(0).to_numpy().astype(np.int64)
    numbers = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    known = ~np.isnan(numbers)
    distinct = np.unique(numbers[known])
    if len(distinct) > bins:
        distinct = np.unique(np.quantile(numbers[known], np.arange(1, bins) / bins, method="lower"))
    return np.where(known, np.searchsorted(distinct, numbers, side="left") + 1, 0)


def _shared(values: Ints, owner: Ints) -> Ints:
    """Number the values anew, putting those together that fewer than five patients share."""
    pairs = np.unique(np.stack([values, owner], axis=1), axis=0)
    patients = np.bincount(pairs[:, 0], minlength=int(values.max(initial=0)) + 1)
    return np.unique(np.where(patients[values] < FEWEST_SHARING, -1, values), return_inverse=True)[1].astype(np.int64)


def in_order(known: Known) -> Known:
    """Put cases and patients into an order that follows from what they hold, not from rows or names.

    Patients (and cases) that hold the same are alike to all that follows, so that their order does not matter.
    """
    case = known.positive.astype(np.uint64)
    for column in range(known.places.shape[1]):
        case = _mixed(case ^ known.places[:, column].astype(np.uint64))
    patient = np.zeros(int(known.owner.max()) + 1, dtype=np.uint64)
    np.add.at(patient, known.owner, _mixed(case))
    place = np.argsort(np.argsort(patient, kind="stable"), kind="stable")[known.owner]
    order = np.lexsort((case, place))
    return Known(known.places[order], known.positive[order], place[order])


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble bits (the finaliser of SplitMix64: Steele, Lea and Flood 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def sampled(known: Known, generator: np.random.Generator) -> tuple[Known, str]:
    """Draw whole patients with at most 5,000 cases; those with a positive case fill half of them, if there are so many."""
    total = len(known.owner)
    if total <= MOST_CASES:
        return known, ""
    sizes = np.bincount(known.owner)
    has = np.bincount(known.owner, weights=known.positive) > 0
    order = generator.permutation(len(sizes))
    chosen = np.zeros(len(sizes), dtype=bool)
    for kind in (has, ~has):
        mine = order[kind[order]]
        room = max(MOST_CASES // 2, MOST_CASES - int(sizes[~kind].sum()))
        chosen[mine[np.cumsum(sizes[mine]) <= room]] = True
    sample = known.take(chosen[known.owner])
    return sample, f"tested on a random sample of {len(sample.owner):,} of {total:,} cases, drawn by patient"


def folds_of(known: Known, repeats: int, generator: np.random.Generator) -> Ints:
    """Return the fold (n, repeats) of each case: patients whole, of each kind about as many in every fold."""
    count = min(_FOLDS, *known.patients)
    share = np.bincount(known.owner, weights=known.positive) / np.bincount(known.owner)
    folds = np.empty((len(known.owner), repeats), dtype=np.int64)
    for repeat in range(repeats):
        order = generator.permutation(len(share))
        order = order[np.argsort(share[order], kind="stable")]
        dealt = generator.permuted(np.tile(np.arange(count), (len(order) // count + 1, 1)), axis=1).ravel()
        fold = np.empty(len(order), dtype=np.int64)
        fold[order] = dealt[: len(order)]
        folds[:, repeat] = fold[known.owner]
    return folds
