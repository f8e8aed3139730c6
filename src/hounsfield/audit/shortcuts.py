"""Shortcuts: can a label be told from the facts of the files and trivial facts of the pictures, without the anatomy?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from hounsfield.audit.coding import PATIENT, Coded, Floats, Ints, Known, code_of, folds_of, in_order, sampled
from hounsfield.audit.details import detail_of
from hounsfield.audit.record import Column, Interval, Shortcut
from hounsfield.audit.scores import column_areas, joint_area
from hounsfield.audit.sentences import ALARM_AUC, ALARM_ERROR
from hounsfield.measure.clustered import ClusteredArea

FEWEST_PATIENTS = 10


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
    seen. All facts: see `scores.joint_area`. The AUC compares cases that one fold's model scored (`measure.clustered_area`).
    An alarm is an AUC of at least 0.60 whose interval lies above 0.5 at a level corrected for all labels and, for one
    fact, for all facts that were tried (Bonferroni).
    """
    names = [name for name in facts.columns if name in families]
    _, owner = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    states = np.asarray(truth, dtype=np.float64).reshape(len(owner), len(labels))
    coded = code_of(facts.select(names), families, owner)
    return [
        _one_label(facts, families, coded, states[:, place], label, owner, seed, len(labels))
        for place, label in enumerate(labels)
    ]


def _one_label(
    facts: pl.DataFrame,
    families: Mapping[str, str],
    coded: Coded,
    state: Floats,
    label: str,
    owner: Ints,
    seed: int,
    labels: int,
) -> Shortcut:
    rows = np.flatnonzero(np.isfinite(state))
    known = Known(coded.places, state == 1, owner).take(rows)
    counts = {"cases": len(rows), "positives": int(known.positive.sum()), "patients": len(np.unique(known.owner))}
    why = _too_few(known, label) or ("" if coded.names else "no fact varies between the cases")
    if why:
        return Shortcut(label=label, **counts, joint=_interval(None, why), alarm=False, columns=[], note=why)
    generator = np.random.default_rng(seed)
    sample, note = sampled(in_order(known), generator)
    folds = folds_of(sample, _repeats(len(sample.owner)), generator)
    tried = [place for place, name in enumerate(coded.names) if families[name] != PATIENT]
    joint = joint_area(sample, folds, coded, tried) if tried else None
    error = ALARM_ERROR / 2 / labels
    columns = [
        Column(
            name=name,
            also=coded.twins.get(name, []),
            family=families[name],
            interval=_interval(area),
            alarm=families[name] != PATIENT and _alarming(area, error / len(tried)),
            detail=detail_of(facts[name].gather(rows), known, label),
        )
        for name, area in zip(coded.names, column_areas(sample, folds, coded), strict=True)
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


def _too_few(known: Known, label: str) -> str:
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
