"""Labels of which a case may have any number: each judged where it is known, and their mean over the same resamples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hounsfield.measure import intervals
from hounsfield.measure.bootstrap import Estimate
from hounsfield.measure.intervals import EXACT, NONE
from hounsfield.measure.measures import (
    BOUNDED,
    FEW,
    NAMES,
    NEVER_VARIED,
    NO_RESAMPLES,
    SCALES,
    Measures,
    measures,
)
from hounsfield.measure.statistics import RATIOS

# Of these a mean over labels says nothing: ratios, and figures that are right in the middle.
OF_ONE_LABEL = (*RATIOS, "calibration_slope", "calibration_intercept")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SeveralMeasures:
    """What `several_measures` found.

    Attributes
    ----------
    overall:
        Measure → Estimate: the plain mean over the labels that can be judged.
    per_label:
        Label → its Measures, as of a binary task on the cases where it is known.
    not_judged:
        Label → why it is not: no case, or every case, has it, or it is known nowhere.
    resampled:
        Measure, and "measure:place of the label" → (resamples,), all of the same resamples.
    """

    overall: dict[str, Estimate]
    per_label: dict[str, Measures]
    not_judged: dict[str, str]
    resampled: dict[str, Floats] = field(repr=False)


def several_measures(
    truth: ArrayLike,
    probability: ArrayLike,
    decision: ArrayLike,
    patients: ArrayLike,
    *,
    labels: Sequence[str],
    resamples: int = 2000,
    seed: int = 0,
) -> SeveralMeasures:
    """Judge each label against its own absence, and all of them by their mean.

    Parameters
    ----------
    truth:
        (n, K): 1 present, 0 absent, -1 not known; what else stands in a cell that is not known plays no part.
    probability, decision:
        (n, K), of the label's presence; decisions are 1 or 0.
    patients:
        (n,), whose case it is. They are drawn once for all labels, since labels of a patient are not independent: the mean
        is taken in each resample. A resample in which a label has lost a class leaves the mean undefined.
    """
    states, chosen = np.asarray(truth, dtype=np.int64), np.asarray(decision, dtype=np.int64)
    scores, owner = np.asarray(probability, dtype=np.float64), np.asarray(patients)
    shape = (len(owner), len(labels))
    if states.shape != shape or scores.shape != shape or chosen.shape != shape or not len(owner):
        raise ValueError("truth, probability and decision have one row per case and one column per label")
    found: dict[str, Measures] = {}
    not_judged: dict[str, str] = {}
    resampled: dict[str, Floats] = {}
    for place, label in enumerate(labels):
        known = states[:, place] >= 0
        here = states[known, place]
        if len(np.unique(here)) < 2:
            not_judged[label] = _reason(label, here)
            continue
        found[label] = measures(
            here, scores[known, place], chosen[known, place], owner[known], labels=(f"not {label}", label),
            resamples=resamples, seed=seed, among=owner,
        )  # fmt: skip
        resampled |= {f"{name}:{place}": drawn for name, drawn in found[label].resampled.items()}
    overall: dict[str, Estimate] = {}
    for name in (name for name in NAMES if name not in OF_ONE_LABEL):
        each = {label: one.overall[name] for label, one in found.items()}
        drawn = {label: one.resampled[name] for label, one in found.items() if name in one.resampled}
        overall[name], seen = mean(name, each, drawn, len(owner))
        if len(seen):
            resampled[name] = seen
    return SeveralMeasures(overall, found, not_judged, resampled)


def mean(
    name: str, each: Mapping[str, Estimate], drawn: Mapping[str, Floats], cases: int
) -> tuple[Estimate, NDArray[np.float64]]:
    """Return the mean of a measure over labels, with its interval, and what the resamples gave.

    Parameters
    ----------
    each, drawn:
        Label → its estimate, and (resamples,) of the same resamples for all labels. A label in which the measure is not
        defined is left out, and the note says so.
    cases:
        The cases that any of them rests on.
    """
    defined = {label: float(item.value) for label, item in each.items() if item.value is not None}
    nothing = np.empty(0)
    if not defined:
        note = next((item.note for item in each.values()), "no label has cases with it and without it")
        return Estimate(None, None, None, NONE, cases, note=note), nothing
    value = float(np.mean(list(defined.values())))
    if len(defined) == 1:
        (label,) = defined
        partial = f"mean of 1 of {len(each)} labels" if len(each) > 1 else ""
        return replace(each[label], note=_joined(partial, each[label].note)), drawn.get(label, nothing)
    partial = f"mean of {len(defined)} of {len(each)} labels" if len(defined) < len(each) else ""
    if name in ("ece", "ece_by_chance"):
        # The pull does not average out as the noise does.
        note = _joined(partial, "noise pulls it upwards in every label, so the mean has no interval")
        return Estimate(value, None, None, NONE, cases, note=note), nothing
    if any(label not in drawn for label in defined):
        return Estimate(value, None, None, NONE, cases, note=_joined(partial, NO_RESAMPLES)), nothing
    seen: Floats = np.mean([drawn[label] for label in defined], axis=0)
    skipped = int((~np.isfinite(seen)).sum())
    unsure = [label for label in defined if each[label].low is None or each[label].high is None]
    if unsure:
        # Resamples of a label that never varied, or of one patient, would lend the mean a certainty that it does not have.
        note = f"{unsure[0]}: {each[unsure[0]].note}"
        return Estimate(value, None, None, NONE, cases, skipped, _joined(partial, note)), seen
    if name in BOUNDED and all(each[label].method == EXACT for label in defined) and value in (0.0, 1.0):
        # All labels are perfect (or worst); the widest of their bounds is a guide.
        low = min(float(each[label].low or 0.0) for label in defined)
        high = max(float(each[label].high or 0.0) for label in defined)
        return Estimate(value, low, high, EXACT, cases, skipped, partial), seen
    if skipped > len(seen) / 2:
        return Estimate(value, None, None, NONE, cases, skipped, _joined(partial, FEW)), seen
    scale = SCALES.get(name, intervals.LOG if name == "log_loss" else intervals.LOGIT)
    found = intervals.resampled(value, seen, scale, max(1, cases - 1))
    if found is None:
        return Estimate(value, None, None, NONE, cases, skipped, _joined(partial, NEVER_VARIED)), seen
    return Estimate(value, *found, cases, skipped, partial), seen


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _reason(label: str, here: NDArray[np.int64]) -> str:
    if not len(here):
        return f"in no case here it is known whether {label} is present"
    return f"no case here is {label}" if here[0] == 0 else f"every case here is {label}"
