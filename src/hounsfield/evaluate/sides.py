"""Two evaluations side by side, so that a mean over labels is of the same labels on both sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hounsfield.evaluate.evaluation import Evaluation
from hounsfield.measure import Estimate, mean


@dataclass(frozen=True)
class Side:
    """A measure of one evaluation, and what its bootstrap drew: None where that was not kept."""

    estimate: Estimate
    drawn: NDArray[np.float64] | None


@dataclass(frozen=True)
class Sides:
    """Home and away, of the same labels."""

    home: Evaluation
    away: Evaluation

    @property
    def labels(self) -> list[str]:
        """The labels that are judged one by one; none in a binary task."""
        if self.home.multi_label:
            return self.home.labels
        return [label for label in self.home.labels if label in self.home.per_class]

    @property
    def shared(self) -> list[str]:
        """Those of them whose AUC both sides can give."""
        return [label for label in self.labels if all(side.estimate.value is not None for side in self.area(label))]

    def area(self, label: str) -> tuple[Side, Side]:
        """The AUC of one label on both sides."""
        return _of_label("auc", label, self.home), _of_label("auc", label, self.away)

    def whole(self, name: str) -> tuple[Side, Side]:
        """A measure of the whole on both sides; a mean is over the labels in which both have it."""
        sides = (self.home, self.away)
        defined = [[label for label in self.labels if _defined(name, label, one)] for one in sides]
        common = [label for label in defined[0] if label in defined[1]]
        if defined[0] == defined[1] or not all(defined):
            home, away = (Side(one.estimates[name], one.resampled.get(name)) for one in sides)
        elif common:
            home, away = (_mean(name, common, one) for one in sides)
        else:
            nothing = Estimate(None, None, None, "none", self.away.cases, note="the two sides have no label in common")
            home, away = Side(self.home.estimates[name], None), Side(nothing, None)
        return home, away

    def fewest_patients(self) -> int:
        """The fewest patients with a label, or known to be without it, on either side; labels that are not judged apart."""
        counts = [
            int(row[key])
            for one in (self.home, self.away)
            for label, row in one.prevalence.items()
            if not one.multi_label or label in self.shared
            for key in ("patients", "absent_patients")
            if row.get(key)
        ]
        return min(counts, default=0)


def _defined(name: str, label: str, one: Evaluation) -> bool:
    found = one.per_class.get(label, {}).get(name)
    return found is not None and found.value is not None


def _of_label(name: str, label: str, one: Evaluation) -> Side:
    if label in one.not_judged:
        cases = int(one.prevalence[label]["known"])
        return Side(Estimate(None, None, None, "none", cases, note=one.not_judged[label]), None)
    return Side(one.per_class[label][name], one.resampled.get(f"{name}:{one.labels.index(label)}"))


def _mean(name: str, labels: list[str], one: Evaluation) -> Side:
    sides = {label: _of_label(name, label, one) for label in labels}
    drawn = {label: side.drawn for label, side in sides.items() if side.drawn is not None}
    found, seen = mean(name, {label: side.estimate for label, side in sides.items()}, drawn, one.cases)
    return Side(found, seen if len(seen) else None)
