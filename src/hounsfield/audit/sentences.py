"""What a shortcut test found, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hounsfield.audit.coding import BRIGHTNESS, PATIENT, SITE
from hounsfield.audit.record import Column, Interval, Item, Shortcut
from hounsfield.measure.bootstrap import decimals

# An AUC that would matter: in a large cohort every trace of a difference is certain, and most do no harm.
ALARM_AUC = 0.60
# The share of cohorts without a shortcut that may raise an alarm, half by the joint model, half by single facts.
ALARM_ERROR = 0.03
_TOLD, _LISTED = 3, 12


def shortcut_items(found: list[Shortcut]) -> list[Item]:
    """Put what `shortcut_test` found into sentences: an alarm for each label that can be told, else notes."""
    items = [Item(level="alarm", topic="shortcut", sentence=_alarm(one)) for one in found if one.alarm]
    notes = [_weak(one, len(found)) for one in found if not one.alarm and one.joint.value is not None]
    clean = [one for one in found if not one.alarm and not _weak(one, len(found)) and one.joint.value is not None]
    notes += [_clean(clean), *(_of_patient(one, len(found)) for one in found)]
    notes += [_of_site(one, len(found)) for one in found if one.alarm]
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
    also = f"; {how} {_by_family(suspect)}" if suspect else ""
    if guilty and all(column.family == BRIGHTNESS for column in guilty):
        also += ". Only grey values are sure, and these may be the disease itself: look at the pictures"
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


def _of_site(one: Shortcut, labels: int) -> str:
    """Say where the source predicts a label too weakly for the alarm to name it: pooled cohorts are judged by that."""
    tried = sum(column.family != PATIENT for column in one.columns)
    told = [
        f"{column.name} with AUC {_auc(column.interval)} ({column.detail})"
        for column in one.columns
        if column.family == SITE
        and not column.alarm
        and not _suspect(column)
        and _sure(column.interval, labels * tried)
    ]
    return f"The source predicts {one.label!r} weakly: {', '.join(told)}" if told else ""


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


def _by_family(columns: list[Column]) -> str:
    families: dict[str, list[Column]] = {}
    for column in columns:
        families.setdefault(column.family, []).append(column)
    return "; ".join(f"({family}) {_listed(mine)}" for family, mine in families.items())


def _quoted(labels: Sequence[str]) -> str:
    return ", ".join(repr(label) for label in labels)
