"""AUC within groups of patients: a mean can hide that a model fails one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hounsfield.core import Predictions
from hounsfield.measure import Estimate

COVARIATES = ("site", "scanner", "sex", "age_band")
FEWEST_PATIENTS = 10
MOST_GROUPS = 12
GROUP_RESAMPLES = 500


def subgroups(
    predictions: Predictions,
    owners: NDArray[np.str_],
    group: Callable[[NDArray[np.bool_]], tuple[Estimate, int | None]],
) -> list[dict[str, Any]]:
    """Return one row per value of a covariate that has at least two values; at most 12, the largest first.

    Parameters
    ----------
    owners:
        (n,), the patients.
    group:
        Gives the AUC of some of the cases, and how many of them are positive; see `Judgement`.

    Each row: covariate, value, cases, patients, positives and the AUC as an Estimate. Groups of fewer than ten
    patients are left out, since a number would only mislead (and might point at a person). The groups overlap and
    many are looked at: a difference seen here is a question, not a finding.
    """
    rows: list[dict[str, Any]] = []
    for covariate in COVARIATES:
        column = predictions.table[covariate]
        groups = column.drop_nulls().value_counts(sort=True, name="cases")
        if groups.height < 2:
            continue
        for value in sorted(groups[covariate].to_list()[:MOST_GROUPS]):
            mine = (column == value).fill_null(False).to_numpy()
            patients = len(np.unique(owners[mine]))
            if patients < FEWEST_PATIENTS:
                continue
            area, positives = group(mine)
            rows.append(
                {
                    "covariate": covariate,
                    "value": str(value),
                    "cases": int(mine.sum()),
                    "patients": patients,
                    "positives": positives,
                    "auc": area,
                }
            )
    return rows
