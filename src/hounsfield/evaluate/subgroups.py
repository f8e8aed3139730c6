"""Measures within groups of patients: a mean can hide that a model fails one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hounsfield.core import Predictions
from hounsfield.measure import Estimate, holm

COVARIATES = ("site", "scanner", "sex", "age_band")
MEASURES = ("auc", "sensitivity", "specificity")
EXTRA = "group:"
FEWEST_PATIENTS = 10
MOST_GROUPS = 12
GROUP_RESAMPLES = 500

Rows = NDArray[np.bool_]


@dataclass(frozen=True)
class Subgroup:
    """One value of a covariate.

    Attributes
    ----------
    positives:
        Positive cases; None unless binary.
    estimates:
        "auc", "sensitivity", "specificity"; with several classes or labels their means.
    rest:
        The AUC of the other cases whose value is known; binary tasks only.
    p, adjusted:
        Two-sided, of the AUC being that of the rest; and corrected for all groups that were looked at (Holm). None where it
        cannot be computed.
    """

    covariate: str
    value: str
    cases: int
    patients: int
    positives: int | None
    estimates: dict[str, Estimate]
    rest: float | None = None
    p: float | None = None
    adjusted: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values only."""
        return vars(self) | {"estimates": {name: item.to_dict() for name, item in self.estimates.items()}}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Subgroup:
        """Rebuild what `to_dict` gave."""
        estimates = {name: Estimate.from_dict(item) for name, item in content["estimates"].items()}
        return cls(**content | {"estimates": estimates})


@dataclass(frozen=True)
class Grouped:
    """What `Judgement.group` finds of some of the cases; fields as in `Subgroup`."""

    estimates: dict[str, Estimate]
    positives: int | None = None
    rest: float | None = None
    p: float | None = None


def subgroups(
    predictions: Predictions, owners: NDArray[np.str_], group: Callable[[Rows, Rows], Grouped]
) -> tuple[list[Subgroup], dict[str, int]]:
    """Return the groups, at most 12 values per covariate, the largest; and covariate → how many were too small to show.

    Parameters
    ----------
    owners:
        (n,), the patients.
    group:
        Judges the cases of a group, the first rows, beside the rest, the second ones; see `Judgement`.

    Covariates are site, scanner, sex, age band, and every column of the predictions named "group:<name>". Groups of fewer than
    ten patients are hidden, since a number would only mislead (and might point at a person). A covariate with one value is
    left out.
    """
    found: list[Subgroup] = []
    hidden: dict[str, int] = {}
    for covariate in covariates_of(predictions):
        column = predictions.table[covariate]
        counted = column.drop_nulls().value_counts(sort=True, name="cases")
        if counted.height < 2:
            continue
        name, known = covariate.removeprefix(EXTRA), column.is_not_null().to_numpy()
        for value in sorted(counted[covariate].to_list()[:MOST_GROUPS]):
            mine = (column == value).fill_null(False).to_numpy()
            patients = len(np.unique(owners[mine]))
            if patients < FEWEST_PATIENTS:
                hidden[name] = hidden.get(name, 0) + 1
                continue
            one = group(mine, known & ~mine)
            found.append(
                Subgroup(name, str(value), int(mine.sum()), patients, one.positives, one.estimates, one.rest, one.p)
            )
    return _corrected(found), hidden


def covariates_of(predictions: Predictions) -> Sequence[str]:
    """The columns whose values make groups."""
    return [*COVARIATES, *(name for name in predictions.table.columns if name.startswith(EXTRA))]


def _corrected(found: list[Subgroup]) -> list[Subgroup]:
    """Holm's correction over all groups; of a covariate with two values both ask the same question, which counts once."""
    twins = {
        name: [place for place, one in enumerate(found) if one.covariate == name]
        for name in {one.covariate for one in found}
    }
    asked = [
        place for place, one in enumerate(found) if len(twins[one.covariate]) != 2 or place == twins[one.covariate][0]
    ]
    values = [found[place].p for place in asked]
    adjusted = dict(zip(asked, holm([np.nan if p is None else p for p in values]), strict=True))
    result = []
    for place, one in enumerate(found):
        value = adjusted[place if place in adjusted else twins[one.covariate][0]]
        result.append(replace(one, adjusted=float(value) if np.isfinite(value) else None))
    return result
