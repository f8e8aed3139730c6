"""Shortcuts: can a label be told from the facts of the files and trivial facts of the pictures, without the anatomy?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hounsfield.audit.record import Column, Interval, Item, Shortcut
from hounsfield.measure.bootstrap import decimals
from hounsfield.measure.clustered import ClusteredArea, clustered_area

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Rows = NDArray[np.bool_]

PATIENT = "patient"
# An AUC that would matter: in a large cohort every trace of a difference is certain, and most do no harm.
ALARM_AUC = 0.60
# The share of cohorts without a shortcut that may raise an alarm, half by the joint model, half by single facts. The
# intervals take the models of the folds as given: of simulated clean cohorts, 3 to 8 in 100 raised one.
ALARM_ERROR = 0.03
FEWEST_PATIENTS = 10
# A value is learned from, and told, only if so many patients share it; else it would point at a person.
FEWEST_SHARING = 5
MOST_CASES = 5000
_FOLDS = 5
_MOST_BINS = 8
# As if each value had been seen in so many more patients, of whom the usual share is positive.
_PRIOR_PATIENTS = 4.0
_RIDGE = 0.3
_TOLD = 3
_LISTED = 12


@dataclass(frozen=True)
class _Coded:
    """Facts as small whole numbers: which value, or which bin of a number; missing is a value too.

    Attributes
    ----------
    names:
        Columns that vary and have a value that enough patients share.
    places:
        (n, columns): the place of a case's value in one long list of all values of all columns.
    column:
        The column of each value in that list.
    """

    names: list[str]
    places: Ints
    column: Ints


@dataclass(frozen=True)
class _Known:
    """The cases of which one label is known; see `_Coded` for `places`.

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

    def take(self, rows: NDArray[np.generic]) -> _Known:
        return _Known(self.places[rows], self.positive[rows], np.unique(self.owner[rows], return_inverse=True)[1])


def shortcut_test(
    facts: pl.DataFrame,
    families: Mapping[str, str],
    truth: Floats,
    labels: Sequence[str],
    groups: Sequence[str],
    *,
    seed: int = 0,
) -> list[Shortcut]:
    """Measure how well each fact, and all together, predict each label, cross-validated by patient.

    Parameters
    ----------
    facts:
        One row per case. Numeric columns are numbers, Boolean and String ones are categories; null is missing, which is
        a value like any other: that a tag is absent may tell the label. Columns without a family are left alone.
    families:
        Column → what kind of fact it is, see `record.Column`. Facts of the family "patient" are shown, raise no alarm and
        are no part of the joint model: they may be causes.
    truth:
        (n, labels): 1, 0, or nan where it is not known.
    groups:
        (n,): which cases may not be parted, such as those of a patient.
    seed:
        Of folds and samples. Neither the order of the rows nor the names of the groups matter.

    Notes
    -----
    One fact: the share of positives per value, shrunk to the share of all; numbers by quantile bins, so that a U-shape is
    seen. All facts: see `_joint_area`. The AUC compares cases that one fold's model scored (`measure.clustered_area`).
    An alarm is an AUC of at least 0.60 whose interval lies above 0.5 at a level corrected for all labels and, for one
    fact, for all facts that were tried (Bonferroni).
    """
    names = [name for name in facts.columns if name in families]
    _, owner = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    states = np.asarray(truth, dtype=np.float64).reshape(len(owner), len(labels))
    coded = _code(facts.select(names), owner)
    return [
        _one_label(facts, families, coded, states[:, place], label, owner, seed, len(labels))
        for place, label in enumerate(labels)
    ]


def _one_label(
    facts: pl.DataFrame,
    families: Mapping[str, str],
    coded: _Coded,
    state: Floats,
    label: str,
    owner: Ints,
    seed: int,
    labels: int,
) -> Shortcut:
    rows = np.flatnonzero(np.isfinite(state))
    known = _Known(coded.places, state == 1, owner).take(rows)
    counts = {"cases": len(rows), "positives": int(known.positive.sum()), "patients": len(np.unique(known.owner))}
    why = _too_few(known, label) or ("" if coded.names else "no fact varies between the cases")
    if why:
        return Shortcut(label=label, **counts, joint=_interval(None, why), alarm=False, columns=[], note=why)
    generator = np.random.default_rng(seed)
    sample, note = _sampled(_in_order(known), generator)
    folds = _folds(sample, _repeats(len(sample.owner)), generator)
    tried = [place for place, name in enumerate(coded.names) if families[name] != PATIENT]
    joint = _joint_area(sample, folds, coded, tried) if tried else None
    error = ALARM_ERROR / 2 / labels
    columns = [
        Column(
            name=name,
            family=families[name],
            interval=_interval(area),
            alarm=families[name] != PATIENT and _alarming(area, error / len(tried)),
            detail=_detail(facts[name].gather(rows), known, label),
        )
        for name, area in zip(coded.names, _column_areas(sample, folds, coded), strict=True)
    ]
    columns.sort(key=lambda column: (-(column.interval.value or 0.0), column.name))
    return Shortcut(
        label=label,
        **counts,
        joint=_interval(joint, "there are only facts of the patient"),
        # One telling fact among many idle ones may be lost in the joint model, and facts that tell little alone may add up.
        alarm=any(column.alarm for column in columns) or (joint is not None and _alarming(joint, error)),
        columns=columns,
        note=note,
    )


def _repeats(cases: int) -> int:
    """How often to divide into folds: in a small cohort the AUC hangs on how it was divided."""
    return 10 if cases <= 500 else 5 if cases <= 1500 else 2


def _too_few(known: _Known, label: str) -> str:
    with_it, without = known.patients
    if min(with_it, without) >= FEWEST_PATIENTS:
        return ""
    return f"too few patients to test: {with_it} with {label}, {without} without it"


def _interval(area: ClusteredArea | None, note: str = "") -> Interval:
    if area is None:
        return Interval(value=None, low=None, high=None, method="none", note=note)
    found = area.interval()
    return Interval(value=found.value, low=found.low, high=found.high, method=found.method, note=found.note)


def _alarming(area: ClusteredArea, error: float) -> bool:
    found = area.interval(1 - error)
    return found.value is not None and found.low is not None and found.value >= ALARM_AUC and found.low > 0.5


# Facts as whole numbers


def _code(facts: pl.DataFrame, owner: Ints) -> _Coded:
    """Turn columns into codes. No label is looked at, so this may be done before there are folds."""
    bins = int(np.clip((owner.max(initial=0) + 1) // 12, 4, _MOST_BINS))
    names: list[str] = []
    places: list[Ints] = []
    column: list[int] = []
    for name in facts.columns:
        code = _shared(_values(facts[name], bins), owner)
        if code.max(initial=0) > 0:
            names.append(name)
            places.append(code + len(column))
            column += [len(places) - 1] * (int(code.max()) + 1)
    stacked = np.stack(places, axis=1) if places else np.zeros((len(owner), 0), dtype=np.int64)
    return _Coded(names, stacked, np.array(column, dtype=np.int64))


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


# Samples and folds


def _in_order(known: _Known) -> _Known:
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
    return _Known(known.places[order], known.positive[order], place[order])


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble bits (the finaliser of SplitMix64: Steele, Lea and Flood 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _sampled(known: _Known, generator: np.random.Generator) -> tuple[_Known, str]:
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


def _folds(known: _Known, repeats: int, generator: np.random.Generator) -> Ints:
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


# Scores of cases, by models that saw none of their patients


def _column_areas(known: _Known, folds: Ints, coded: _Coded) -> list[ClusteredArea]:
    """Return the AUC of each column alone."""
    scores = np.zeros((len(coded.names), *folds.shape))
    for repeat in range(folds.shape[1]):
        for fold in np.unique(folds[:, repeat]):
            inside = folds[:, repeat] == fold
            seen, hits, usual = _counts(known, ~inside, len(coded.column))
            rates = (hits + _PRIOR_PATIENTS * usual) / (seen + _PRIOR_PATIENTS)
            # Rounded, so that two values with the same share are not told apart by the order of a sum.
            scores[:, inside, repeat] = np.round(rates - usual, 12)[known.places[inside]].T
    return [clustered_area(known.positive, score, known.owner, strata=folds) for score in scores]


def _counts(known: _Known, rows: Rows, values: int) -> tuple[Floats, Floats, float]:
    """Return, for each value, patients and positive patients (in parts, if not all their cases), and the usual share."""
    weights, positive, columns = known.weights[rows], known.positive[rows], known.places.shape[1]
    flat = known.places[rows].ravel()
    seen = np.bincount(flat, weights=np.repeat(weights, columns), minlength=values)
    hits = np.bincount(flat, weights=np.repeat(weights * positive, columns), minlength=values)
    return seen.astype(np.float64), hits.astype(np.float64), float(weights @ positive / weights.sum())


def _joint_area(known: _Known, folds: Ints, coded: _Coded, tried: list[int]) -> ClusteredArea:
    """Return the AUC of several columns together: a logistic regression with a ridge, on the values as dummies.

    The dummies of a column are scaled by `_evidence`, so that idle columns are left out and weak ones are held back more
    (an adaptive ridge). Of what was tried on simulated cohorts of 100 and 400 patients with 40 columns (one ridge for all,
    random forests), this lost least against the single column that told the label.
    """
    from sklearn.linear_model import LogisticRegression  # slow to import
    from threadpoolctl import threadpool_limits

    scores = np.zeros(folds.shape)
    may = np.isin(coded.column, tried)
    for repeat in range(folds.shape[1]):
        for fold in np.unique(folds[:, repeat]):
            inside = folds[:, repeat] == fold
            scale = np.where(may, _evidence(known, ~inside, coded), 0.0)
            used = np.flatnonzero(scale)
            if not len(used):
                continue
            features = _dummies(known.places, used, len(scale)) * scale[used]
            model = LogisticRegression(C=_RIDGE, max_iter=500)
            with threadpool_limits(1):  # for small matrices more threads are slower
                model.fit(features[~inside], known.positive[~inside], sample_weight=known.weights[~inside])
            scores[inside, repeat] = np.round(model.decision_function(features[inside]), 9)
    return clustered_area(known.positive, scores, known.owner, strata=folds)


def _evidence(known: _Known, rows: Rows, coded: _Coded) -> Floats:
    """Return for each value how far its column's shares of positives can be trusted, 0 to 1.

    That is 1 - (degrees of freedom) / chi², not below 0: the part of the spread between values that is not chance, as in
    James and Stein 1961.
    """
    seen, hits, usual = _counts(known, rows, len(coded.column))
    spread = np.divide((hits - seen * usual) ** 2, seen * usual * (1 - usual), out=np.zeros(len(seen)), where=seen > 0)
    chi = np.bincount(coded.column, weights=spread)
    freedom = np.bincount(coded.column, weights=seen > 0) - 1
    return np.maximum(0.0, 1 - np.divide(freedom, chi, out=np.ones(len(chi)), where=chi > 0))[coded.column]


def _dummies(places: Ints, used: Ints, values: int) -> Floats:
    """Return (n, used): 1 where a case has the value."""
    where = np.full(values, -1, dtype=np.int64)
    where[used] = np.arange(len(used))
    found = where[places]
    dummies = np.zeros((len(places), len(used)))
    case, column = np.nonzero(found >= 0)
    dummies[case, found[case, column]] = 1
    return dummies


# Words


def _detail(values: pl.Series, known: _Known, label: str) -> str:
    """Say what a fact looks like in both classes, and nothing that fewer than five patients share."""
    if values.dtype.is_numeric():
        numbers = values.cast(pl.Float64).fill_nan(None)
        if numbers.drop_nulls().n_unique() > _TOLD + 1:
            return _numeric_detail(numbers.to_numpy(), known, label)
        values = pl.Series([None if number is None else _number(number) for number in numbers], dtype=pl.String)
    return _value_detail(values.cast(pl.String), known, label)


def _value_detail(values: pl.Series, known: _Known, label: str) -> str:
    table = pl.DataFrame({"value": values, "owner": known.owner, "positive": known.positive})
    usual = float(known.positive.mean())
    found = (
        table.group_by("value")
        .agg(pl.len().alias("cases"), pl.col("positive").sum().alias("hits"), pl.col("owner").n_unique())
        .filter(pl.col("owner") >= FEWEST_SHARING)
        .sort((pl.col("hits") - usual * pl.col("cases")).abs().round(9), "value", descending=[True, False])
        .head(_TOLD)
    )
    told = [(_short(value), hits, cases) for value, cases, hits, _ in found.iter_rows()]
    others = table.filter(~pl.col("value").is_in(found["value"], nulls_equal=True))
    if others["owner"].n_unique() >= FEWEST_SHARING:
        told.append(("other values", int(others["positive"].sum()), others.height))
    parts = [f"{value}: {hits:,} of {cases:,}" for value, hits, cases in told]
    return "; ".join([f"{parts[0]} are {label}", *parts[1:]]) if parts else ""


def _numeric_detail(numbers: Floats, known: _Known, label: str) -> str:
    missing, told = np.isnan(numbers), []
    for rows, where in ((known.positive, f"where {label}"), (~known.positive, "elsewhere")):
        if len(np.unique(known.owner[rows & ~missing])) < FEWEST_SHARING:
            told.append(f"known of too few patients {where}")
            continue
        low, middle, high = (_number(number) for number in np.quantile(numbers[rows & ~missing], [0.25, 0.5, 0.75]))
        told.append(f"median {middle} (middle half {low} to {high}) {where}")
    if len(np.unique(known.owner[missing])) >= FEWEST_SHARING:
        counts = (
            f"{int((missing & rows).sum()):,} of {int(rows.sum()):,}" for rows in (known.positive, ~known.positive)
        )
        told.append(f"missing in {next(counts)} and {next(counts)}")
    return "; ".join(told)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _short(value: str | None) -> str:
    if value is None:
        return "missing"
    return value if len(value) <= 40 else value[:39] + "…"


def shortcut_items(found: list[Shortcut]) -> list[Item]:
    """Put what `shortcut_test` found into sentences: an alarm for each label that can be told, else notes."""
    items = [Item(level="alarm", topic="shortcut", sentence=_alarm(one)) for one in found if one.alarm]
    notes = [_weak(one, len(found)) for one in found if not one.alarm and one.joint.value is not None]
    clean = [one for one in found if not one.alarm and not _weak(one, len(found)) and one.joint.value is not None]
    notes += [_clean(clean), *(_of_patient(one, len(found)) for one in found)]
    for why in dict.fromkeys(one.note for one in found if one.joint.value is None and not one.alarm):
        labels = [one.label for one in found if one.joint.value is None and one.note == why]
        notes.append(
            f"Whether facts beside the anatomy predict {_quoted(labels)} was not tested: {why or 'there are none'}"
        )
    return items + [Item(level="note", topic="shortcut", sentence=sentence) for sentence in notes if sentence]


def _alarm(one: Shortcut) -> str:
    guilty = [column for column in one.columns if column.alarm]
    # What would be chance among many facts is worth a name once it is known that something is wrong.
    suspect = [column for column in one.columns if not column.alarm and _suspect(column)]
    suspect.sort(key=lambda column: -(column.interval.low or 0.0))
    how = "less surely" if guilty else "none is sure alone, the most telling are"
    also = f"; {how} {_listed(suspect)}" if suspect else ""
    if (one.joint.value or 0.0) < ALARM_AUC:
        what = "One fact beside the anatomy predicts" if len(guilty) == 1 else "Facts beside the anatomy predict"
        told = ", ".join(f"{column.name} with AUC {_auc(column.interval)}" for column in guilty[:_LISTED])
        return f"{what} {one.label!r}, by patient: {told}{also}"
    told = f": {_listed(guilty)}" if guilty else ", together"
    return f"Facts beside the anatomy predict {one.label!r} with AUC {_auc(one.joint)}, by patient{told}{also}"


def _suspect(column: Column) -> bool:
    found = column.interval
    return column.family != PATIENT and (found.value or 0.0) >= ALARM_AUC and (found.low or 0.0) > 0.5


def _weak(one: Shortcut, labels: int) -> str:
    """Say what surely predicts a label, but too weakly for an alarm; empty if nothing does."""
    tried = [column for column in one.columns if column.family != PATIENT]
    sure = [column for column in tried if _sure(column.interval, labels * len(tried))]
    if _sure(one.joint, labels):
        alone = f", alone {_listed(sure)}" if sure else ""
        return f"Facts beside the anatomy predict {one.label!r} weakly: AUC {_auc(one.joint)} together{alone}"
    told = ", ".join(f"{column.name} with AUC {_auc(column.interval)}" for column in sure[:_TOLD])
    return f"Single facts beside the anatomy predict {one.label!r} weakly: {told}" if sure else ""


def _clean(clean: list[Shortcut]) -> str:
    if not clean:
        return ""
    told = "; ".join(f"{one.label!r} AUC {_auc(one.joint)}" for one in clean)
    open_ = [one.label for one in clean if one.joint.high is None or one.joint.high > ALARM_AUC + 0.05]
    room = f"; the interval of {_quoted(open_)} leaves room for a shortcut all the same" if open_ else ""
    return f"Facts beside the anatomy were not found to predict the label: {told}{room}"


def _of_patient(one: Shortcut, labels: int) -> str:
    facts = [column for column in one.columns if column.family == PATIENT]
    sure = [column for column in facts if _sure(column.interval, labels * len(facts))]
    if not sure:
        return ""
    told = ", ".join(f"{column.name} with AUC {_auc(column.interval)}" for column in sure)
    return f"Facts of the patient predict {one.label!r}: {told}; they may be causes, or show that the classes were drawn differently"


def _sure(interval: Interval, tried: int) -> bool:
    """Whether an interval would lie above 0.5 also if widened for all that were tried."""
    from scipy.stats import norm

    if interval.value is None or interval.low is None or interval.value <= 0.5 or interval.low <= 0.5:
        return False
    error = ALARM_ERROR / 2 / tried
    if interval.value == 1:  # the bound of k pairs in order is the k-th root of the error
        return bool(np.log(interval.low) * np.log(error / 2) / np.log(0.025) > np.log(0.5))
    middle, low = (np.log(end / (1 - end)) for end in (interval.value, interval.low))
    return bool(middle - (middle - low) * norm.isf(error / 2) / norm.isf(0.025) > 0)


def _auc(interval: Interval) -> str:
    if interval.value is None:
        return "unknown"
    if interval.low is None or interval.high is None:
        return decimals(interval.value)
    return f"{decimals(interval.value)} ({decimals(interval.low)}–{decimals(interval.high)})"


def _listed(columns: list[Column]) -> str:
    shown = [f"{column.name} {decimals(column.interval.value or 0.0)}" for column in columns[:_LISTED]]
    left = len(columns) - len(shown)
    return ", ".join(shown) + (f" and {left} more" if left > 0 else "")


def _quoted(labels: Sequence[str]) -> str:
    return ", ".join(repr(label) for label in labels)
