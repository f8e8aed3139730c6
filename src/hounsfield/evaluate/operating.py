"""What each operating point gives: measures with intervals, and what they mean for 1,000 patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hounsfield.core import Predictions
from hounsfield.measure import Estimate, measures

MEASURES = ("sensitivity", "specificity", "ppv", "npv", "lr_positive", "lr_negative")
PER = 1000


@dataclass(frozen=True)
class AtPrevalence:
    """What a rule gives where so many have the disease.

    Attributes
    ----------
    ppv, npv:
        By Bayes' theorem from the likelihood ratios, whose intervals they have.
    found, missed, alarms, cleared:
        Of 1,000 patients: with the disease and called or not, without it and called or not.
    """

    prevalence: float
    ppv: Estimate
    npv: Estimate
    found: float
    missed: float
    alarms: float
    cleared: float


@dataclass(frozen=True)
class AtPoint:
    """What one rule gave on cases that it was not made on; `threshold` is None where it differs from fold to fold."""

    rule: str
    threshold: float | None
    estimates: dict[str, Estimate]
    at: list[AtPrevalence]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values only."""
        return {
            "rule": self.rule, "threshold": self.threshold,
            "estimates": {name: item.to_dict() for name, item in self.estimates.items()},
            "at": [vars(item) | {"ppv": item.ppv.to_dict(), "npv": item.npv.to_dict()} for item in self.at],
        }  # fmt: skip

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> AtPoint:
        """Rebuild what `to_dict` gave."""
        estimates = {name: Estimate.from_dict(item) for name, item in content["estimates"].items()}
        at = [
            AtPrevalence(**item | {name: Estimate.from_dict(item[name]) for name in ("ppv", "npv")})
            for item in content["at"]
        ]
        return cls(content["rule"], content["threshold"], estimates, at)


def operating_points(judged: Predictions, owners: NDArray[np.str_], *, prevalences: Sequence[float]) -> list[AtPoint]:
    """Judge every rule that the predictions carry; `owners` (n,) are the patients, and every truth is known.

    `prevalences` are shares with the disease, beside that of these cases, for which the consequences are told.
    """
    task, truth = judged.task, judged.truth
    share = float((truth == 1).mean())
    found = []
    for rule, threshold in task.points.items():
        column = judged.table[f"called:{rule}"]
        if column.null_count():
            continue  # a fold had nothing to fit the rule on
        estimates = measures(
            truth, judged.probabilities, column.cast(int).to_numpy(), owners, labels=task.labels,
            resamples=0,
        ).overall  # fmt: skip
        mine = {name: estimates[name] for name in MEASURES}
        wanted = [share, *(one for one in prevalences if abs(one - share) > 1e-9)]
        found.append(AtPoint(rule, threshold, mine, [at_prevalence(mine, one) for one in wanted if 0 < one < 1]))
    return found


def at_prevalence(estimates: dict[str, Estimate], prevalence: float) -> AtPrevalence:
    """Return what measures of a decision mean where the share `prevalence` has the disease."""
    odds = prevalence / (1 - prevalence)
    sensitivity, specificity = (estimates[name].value for name in ("sensitivity", "specificity"))
    right = float("nan") if sensitivity is None else sensitivity
    clear = float("nan") if specificity is None else specificity
    ill, well = PER * prevalence, PER * (1 - prevalence)
    return AtPrevalence(
        prevalence,
        _share(estimates["lr_positive"], estimates["ppv"], lambda ratio: ratio * odds / (1 + ratio * odds)),
        _share(estimates["lr_negative"], estimates["npv"], lambda ratio: 1 / (1 + ratio * odds)),
        ill * right, ill * (1 - right), well * (1 - clear), well * clear,
    )  # fmt: skip


def _share(ratio: Estimate, here: Estimate, to_share: Any) -> Estimate:
    """A predictive value from a likelihood ratio; where the ratio has no end, that of these cases."""
    if ratio.value is None:
        note = "not one false alarm here: the value of these cases" if here.value is not None else here.note
        return replace(here, note=note)
    ends = [None if end is None else float(to_share(end)) for end in (ratio.low, ratio.high)]
    known = [end for end in ends if end is not None]
    low, high = (min(known), max(known)) if len(known) == 2 else (None, None)
    return Estimate(
        float(to_share(ratio.value)), low, high, f"from the likelihood ratio: {ratio.method}", ratio.n, note=ratio.note
    )
