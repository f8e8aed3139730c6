"""Splits: by patient, stratified by label, seeded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hounsfield.cohort.stratify import assign
from hounsfield.errors import SplitError

# Shares of the parts in twentieths: validation chooses the epoch, calibration fits temperature and operating point.
SHARES = {"train": 12, "validation": 3, "calibration": 2, "test": 3}


def split_patients(
    patients: Sequence[str],
    labels: Sequence[str] | np.ndarray,
    shares: dict[str, int],
    seed: int,
    *,
    names: Sequence[str] | None = None,
) -> list[str]:
    """Give every case a part, all cases of a patient the same one, each part with about the same mix of labels.

    Patients are told apart, not read: who goes where follows from the order in which they first appear and from the seed.

    Parameters
    ----------
    patients:
        One per case.
    labels:
        One per case; or, where a case may have several, an array (cases, labels) of 1 present, 0 absent, nan unknown.
        Then present and absent are balanced, each label for itself, and a part needs some of both (of absent only where
        any case is absent).
    shares:
        Part → share, in any whole-number unit (see `SHARES`).
    names:
        What the columns of such an array are called, for messages.

    Raises
    ------
    SplitError
        If there are too few patients of a label to give one to every part.
    """
    parts = list(shares)
    fix = "Use k folds instead (--folds 3), or add cases."
    given = _divide(patients, labels, list(shares.values()), seed, names, ("parts", ", ".join(parts), fix))
    return [parts[part] for part in given]


def fold_patients(
    patients: Sequence[str],
    labels: Sequence[str] | np.ndarray,
    folds: int,
    seed: int,
    *,
    names: Sequence[str] | None = None,
) -> list[int]:
    """Give every case a fold from 0 to folds - 1, all cases of a patient the same one.

    `patients`, `labels` and `names` are those of `split_patients`.

    Raises
    ------
    SplitError
        If there are fewer patients than folds, in all or of one label.
    """
    if folds < 3:
        raise SplitError(
            f"{folds} folds are too few", fix="Use 3 or more: one to judge, one to choose the epoch, the rest to train."
        )
    told = ("folds", str(folds), "Use fewer folds, or add cases.")
    return [int(fold) for fold in _divide(patients, labels, [1] * folds, seed, names, told)]


def _divide(
    patients: Sequence[str],
    labels: Sequence[str] | np.ndarray,
    shares: Sequence[int],
    seed: int,
    names: Sequence[str] | None,
    told: tuple[str, str, str],
) -> np.ndarray:
    what, named, fix = told
    # Numbers by first appearance: pseudonyms are made with a secret key, on which no split may depend.
    numbers: dict[str, int] = {}
    owner = np.array([numbers.setdefault(patient, len(numbers)) for patient in patients], dtype=np.int64)
    kinds, marks = _marks(np.asarray(labels), names)
    if not marks.size:
        raise SplitError("there are no labelled cases to split", fix="Check the label table and the quarantine.")
    for kind, mark in zip(kinds, marks.T, strict=True):
        count = len(np.unique(owner[mark]))
        if count < len(shares):
            raise SplitError(
                f"fewer patients than {what}: {count} patients {kind}, and there are {len(shares)} {what} ({named})",
                fix=fix,
            )
    given = assign(owner, marks, shares, seed)
    for kind, mark in zip(kinds, marks.T, strict=True):
        if len(np.unique(given[mark])) < len(shares):
            raise SplitError(
                f"no way was found to give each of {len(shares)} {what} ({named}) a patient of every label: "
                f"some would have none of those that {kind}",
                fix=fix,
            )
    return given


def _marks(labels: np.ndarray, names: Sequence[str] | None) -> tuple[list[str], np.ndarray]:
    """Return what each column counts, as the end of 'patients …', and which cases count for it."""
    if labels.ndim < 2:
        classes, number = np.unique(labels, return_inverse=True)
        return [f"are labelled {str(name)!r}" for name in classes], number[:, None] == np.arange(len(classes))
    states = labels.astype(np.float64)
    present, absent = states == 1, states == 0
    if not (present | absent | np.isnan(states)).all():
        raise SplitError(
            "a label has a state that is not 1 (present), 0 (absent) or nan (unknown)", fix="Check the label table."
        )
    called = [str(column) for column in range(states.shape[1])] if names is None else [str(name) for name in names]
    some = absent.any(axis=0)
    kinds = [f"have {name!r} present" for name in called]
    kinds += [f"have {name!r} absent" for name, any_absent in zip(called, some, strict=True) if any_absent]
    return kinds, np.concatenate([present, absent[:, some]], axis=1)
