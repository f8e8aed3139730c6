"""How a cohort is made up: cases and patients per site, scanner, sex and age; what is missing; what goes together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hounsfield.audit.record import Association, Group, Item, Level, Missing, Topic

UNKNOWN = "not known"
# A value that fewer patients share could point at one of them.
FEWEST_SHARING = 5
WIDE_PATIENTS = 20
UNBALANCED = 10
MOSTLY_MISSING = 0.5
ASSOCIATION_P = 0.001
ASSOCIATION_STRENGTH = 0.2
ONE_SITE_CHANCE = 0.01
_PATIENT_COLUMNS = ("sex", "age_band")
_NO_LABEL = "none of the labels"


def groups_of(table: pl.DataFrame, columns: Sequence[str], labels: Sequence[str]) -> list[Group]:
    """Count cases, patients and labels for each value of some columns, the largest first.

    Parameters
    ----------
    table:
        One row per case: `patient`, the columns, and either `label` (String) or, where a case may have several,
        `present` (List(String)). `present` is taken where both are there.

    Notes
    -----
    Values that fewer than five patients share are counted together, and cases without a value as "not known".
    """
    found = []
    for column in columns:
        if column not in table.columns:
            continue
        named, order = _pooled(table, column)
        for value in order:
            rows = named.filter(pl.col(column) == value)
            counts = dict(_by_label(rows).group_by("label").len().iter_rows())
            found.append(
                Group(
                    column=column,
                    value=value,
                    cases=rows.height,
                    patients=rows["patient"].n_unique(),
                    labels={label: int(counts.get(label, 0)) for label in labels},
                )
            )
    return found


def _pooled(table: pl.DataFrame, column: str) -> tuple[pl.DataFrame, list[str]]:
    """Return the table with a column's rare values as one and its missing ones named, and the values in their order."""
    pooled = f"others (fewer than {FEWEST_SHARING} patients each)"
    counts = table.drop_nulls(column).group_by(column).agg(pl.col("patient").n_unique().alias("n"), pl.len().alias("c"))
    shown = counts.filter(pl.col("n") >= FEWEST_SHARING).sort(["c", column], descending=[True, False])[column].to_list()
    value = pl.col(column).cast(pl.String)
    named = table.with_columns(
        pl.when(value.is_null())
        .then(pl.lit(UNKNOWN))
        .when(value.is_in([str(one) for one in shown]))
        .then(value)
        .otherwise(pl.lit(pooled))
        .alias(column)
    )
    there = set(named[column].to_list())
    return named, [str(one) for one in shown] + [one for one in (pooled, UNKNOWN) if one in there]


def _by_label(table: pl.DataFrame) -> pl.DataFrame:
    """Return one row per case and label that it has, in a column `label`; none where a case has none."""
    if "present" in table.columns:
        table = table.drop("label", strict=False).explode("present").rename({"present": "label"})
    return table.drop_nulls("label")


def missing_of(table: pl.DataFrame, columns: Sequence[str]) -> list[Missing]:
    """Count the cases in which columns have no value, most first; columns without a gap are left out."""
    found = [
        Missing(column=column, missing=table[column].null_count(), cases=table.height)
        for column in columns
        if column in table.columns and table[column].null_count()
    ]
    return sorted(found, key=lambda one: (-one.missing, one.column))


def associations_of(table: pl.DataFrame, columns: Sequence[str]) -> list[Association]:
    """Tell which columns go together with the label, and site, scanner… with sex and age; strongest first.

    Counted by patient: one row per patient and combination of values. Told are only pairs with p < 0.001 after allowing for
    all pairs (chi², Bonferroni) and a bias-corrected Cramér's V of at least 0.2. Missing and rare values are left out.
    """
    here = [column for column in columns if column in table.columns and table[column].drop_nulls().n_unique() > 1]
    origins = [column for column in here if column not in _PATIENT_COLUMNS]
    pairs = [(column, "label") for column in here]
    pairs += [(origin, fact) for origin in origins for fact in here if fact in _PATIENT_COLUMNS]
    found = [_association(table, first, second, len(pairs)) for first, second in pairs]
    return sorted((one for one in found if one is not None), key=lambda one: (-one.strength, one.first, one.second))


def _association(table: pl.DataFrame, first: str, second: str, tried: int) -> Association | None:
    if second == "label" and "present" in table.columns:
        # A case without any finding is a kind of its own; without it, a site of healthy people would not be seen.
        filled = pl.when(pl.col("present").list.len() == 0).then(pl.lit([_NO_LABEL])).otherwise(pl.col("present"))
        table = table.with_columns(filled.alias("present"))
    source = _by_label(table) if second == "label" else table
    pairs = (
        source.select("patient", pl.col(first).cast(pl.String), pl.col(second).cast(pl.String)).drop_nulls().unique()
    )
    for column in (first, second):
        shared = pairs.group_by(column).agg(pl.col("patient").n_unique()).filter(pl.col("patient") >= FEWEST_SHARING)
        pairs = pairs.filter(pl.col(column).is_in(shared[column].to_list()))
    rows, columns = (sorted(pairs[column].unique().to_list()) for column in (first, second))
    if min(len(rows), len(columns)) < 2:
        return None
    counts = np.zeros((len(rows), len(columns)), dtype=np.int64)
    for one, other, number in pairs.group_by(first, second).len().iter_rows():
        counts[rows.index(one), columns.index(other)] = number
    if not (counts.sum(axis=0).all() and counts.sum(axis=1).all()):
        return None
    strength, p = cramers_v(counts)
    if p * tried >= ASSOCIATION_P or strength < ASSOCIATION_STRENGTH:
        return None
    sentence = f"{_word(first)} goes with {_word(second)}: {_told(counts, rows, columns)}"
    return Association(first=first, second=second, strength=round(strength, 3), sentence=sentence)


def cramers_v(counts: NDArray[np.int64]) -> tuple[float, float]:
    """Return the bias-corrected Cramér's V (Bergsma 2013) of a table of counts, and the p-value of chi²."""
    from scipy.stats import chi2

    n = counts.sum()
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0, keepdims=True) / n
    square = float(((counts - expected) ** 2 / expected).sum())
    r, k = counts.shape
    corrected = max(0.0, square / n - (k - 1) * (r - 1) / (n - 1))
    rows, columns = r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)
    most = min(rows, columns) - 1
    strength = float(np.sqrt(corrected / most)) if most > 0 else 0.0
    return min(1.0, strength), float(chi2.sf(square, (r - 1) * (k - 1)))


def _told(counts: NDArray[np.int64], rows: Sequence[str], columns: Sequence[str]) -> str:
    """Say for the three values that differ most from the rest what stands out in them."""
    usual = counts.sum(axis=0) / counts.sum()
    totals = counts.sum(axis=1)
    excess = counts - totals[:, None] * usual
    parts = []
    for row in sorted(
        np.argsort(-np.abs(excess).sum(axis=1), kind="stable")[:3], key=lambda place: (-totals[place], place)
    ):
        column = int(np.argmax(excess[row]))
        hits, total = int(counts[row, column]), int(totals[row])
        if hits == total:
            parts.append(f"all {total:,} patients of {rows[row]} are {columns[column]}")
        else:
            parts.append(
                f"{hits / total:.0%} of {total:,} patients of {rows[row]} are {columns[column]} ({usual[column]:.0%} of all)"
            )
    return ", ".join(parts)


def _word(column: str) -> str:
    return column.replace("_", " ")


def balance_items(
    table: pl.DataFrame,
    labels: Sequence[str],
    groups: Sequence[Group],
    missing: Sequence[Missing],
    associations: Sequence[Association],
    *,
    parts: int | None = None,
) -> list[Item]:
    """Put what deserves a sentence into one: rare labels, labels of one site, columns mostly missing, associations.

    Parameters
    ----------
    table, groups, missing, associations:
        As `groups_of` takes it; and what the functions of this module found in it.
    parts:
        Into how many parts, or folds, patients are split; by default as many as the table's split and folds have.
    """
    rows = _by_label(table)
    patients = {label: rows.filter(pl.col("label") == label)["patient"].n_unique() for label in labels}
    return [
        *_rare(patients, _parts(table) if parts is None else parts),
        *_unbalanced(table, labels),
        *_one_site(table, labels),
        *_mostly_missing(missing, groups),
        *(_item("note", "balance", one.sentence) for one in associations),
    ]


def _item(level: Level, topic: Topic, sentence: str) -> Item:
    return Item(level=level, topic=topic, sentence=sentence)


def _parts(table: pl.DataFrame) -> int:
    splits = table["split"].n_unique() if "split" in table.columns else 1
    folds = table["folds"].explode().drop_nulls() if "folds" in table.columns else pl.Series(dtype=pl.Int64)
    return max(splits, folds.n_unique())


def _rare(patients: dict[str, int], parts: int) -> list[Item]:
    """Labels of which there are too few patients for every part, or for an interval that says anything."""
    few = {label: count for label, count in patients.items() if count < parts}
    some = {label: count for label, count in patients.items() if label not in few and count < WIDE_PATIENTS}
    items = []
    if few:
        told = f"fewer patients than parts or folds ({parts}): {_counts(few)}; not every part can have one"
        items.append(_item("warning", "balance", told))
    if some:
        told = f"fewer than {WIDE_PATIENTS} patients: {_counts(some)}; what is measured of so few will have a wide interval"
        items.append(_item("warning", "balance", told))
    return items


def _counts(patients: dict[str, int]) -> str:
    return ", ".join(f"{label!r} has {count}" for label, count in patients.items())


def _unbalanced(table: pl.DataFrame, labels: Sequence[str]) -> list[Item]:
    rows = _by_label(table)
    found = dict(rows.group_by("label").len().iter_rows())
    counts = {label: int(found.get(label, 0)) for label in labels if found.get(label)}
    several = "present" in table.columns
    most = table.height if several else max(counts.values(), default=0)
    rare = {label: count for label, count in counts.items() if count * UNBALANCED <= most}
    if not rare:
        return []
    told = ", ".join(f"{label!r} {count:,}" for label, count in sorted(rare.items(), key=lambda one: (one[1], one[0])))
    beside = f"of {most:,} cases" if several else f"beside {most:,} of {max(counts, key=lambda one: counts[one])!r}"
    end = "accuracy will flatter whoever never says so"
    # Rare findings are the rule where a case may have several; one class that drowns another is a choice to be made.
    return [
        _item("note" if several else "warning", "balance", f"the labels are very unbalanced: {told} {beside}; {end}")
    ]


def _one_site(table: pl.DataFrame, labels: Sequence[str]) -> list[Item]:
    """Labels that stand at one site only, where that can hardly be chance: the share of the site, once per patient."""
    if "site" not in table.columns or table["site"].drop_nulls().n_unique() < 2:
        return []
    people = table.drop_nulls("site").group_by("patient").agg(pl.col("site").first())
    sites = dict(people.group_by("site").len().iter_rows())
    rows = _by_label(table).drop_nulls("site")
    items = []
    for label in labels:
        mine = rows.filter(pl.col("label") == label)
        count, places = mine["patient"].n_unique(), mine["site"].unique().to_list()
        if len(places) != 1 or count < FEWEST_SHARING:
            continue
        if (sites[places[0]] / people.height) ** count < ONE_SITE_CHANCE:
            told = f"all {count:,} patients with {label!r} come from {places[0]}, one of {len(sites)} sites"
            items.append(_item("warning", "balance", f"{told}; a model may learn the site in place of the label"))
    return items


def _mostly_missing(missing: Sequence[Missing], groups: Sequence[Group]) -> list[Item]:
    wholly = [_word(one.column) for one in missing if one.cases and one.missing == one.cases]
    mostly = [one for one in missing if one.cases * MOSTLY_MISSING < one.missing < one.cases]
    items = []
    if wholly:
        items.append(_item("note", "missing", f"not known of any case: {', '.join(wholly)}"))
    if mostly:
        told = ", ".join(f"{_word(one.column)} ({one.missing:,} of {one.cases:,} cases)" for one in mostly)
        items.append(_item("note", "missing", f"mostly missing: {told}"))
    single = [_word(group.column) for group in groups if _only(group, groups)]
    if single:
        items.append(_item("note", "balance", f"one value only, so nothing can be said of others: {', '.join(single)}"))
    return items


def _only(group: Group, groups: Sequence[Group]) -> bool:
    return group.value != UNKNOWN and sum(one.column == group.column for one in groups) == 1
