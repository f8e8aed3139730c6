"""Scores of cases from their facts, by models that saw none of their patients, and the AUC of these scores."""

from __future__ import annotations

import numpy as np

from hounsfield.audit.coding import Coded, Floats, Ints, Known, Rows
from hounsfield.measure.clustered import ClusteredArea, clustered_area

# As if each value had been seen in so many more patients, of whom the usual share is positive.
_PRIOR_PATIENTS = 4.0
_RIDGE = 0.3


def column_areas(known: Known, folds: Ints, coded: Coded) -> list[ClusteredArea]:
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


def _counts(known: Known, rows: Rows, values: int) -> tuple[Floats, Floats, float]:
    """Return, for each value, patients and positive patients (in parts, if not all their cases), and the usual share."""
    weights, positive, columns = known.weights[rows], known.positive[rows], known.places.shape[1]
    flat = known.places[rows].ravel()
    seen = np.bincount(flat, weights=np.repeat(weights, columns), minlength=values)
    hits = np.bincount(flat, weights=np.repeat(weights * positive, columns), minlength=values)
    return seen.astype(np.float64), hits.astype(np.float64), float(weights @ positive / weights.sum())


def joint_area(known: Known, folds: Ints, coded: Coded, tried: list[int]) -> ClusteredArea:
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


def _evidence(known: Known, rows: Rows, coded: Coded) -> Floats:
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
