"""Splits: by patient, stratified by label, seeded."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from hounsfield.errors import SplitError

# Shares of the parts in twentieths: validation chooses the epoch, calibration fits temperature and operating point.
SHARES = {"train": 12, "validation": 3, "calibration": 2, "test": 3}
_TRIES = 25


def split_patients(patients: Sequence[str], labels: Sequence[str], shares: dict[str, int], seed: int) -> list[str]:
    """Give every case a part, all cases of a patient the same one, each part with about the same mix of labels.

    Parameters
    ----------
    patients, labels:
        One of each per case.
    shares:
        Part → share, in any whole-number unit (see `SHARES`).

    Raises
    ------
    SplitError
        If there are too few patients of a label to give one to every part.
    """
    people, classes = np.asarray(patients), np.asarray(labels)
    _enough(people, classes, len(shares), "parts", ", ".join(shares))
    total = sum(shares.values())
    largest = int(np.unique(classes, return_counts=True)[1].max())
    pieces = min(total, len(np.unique(people)), largest)
    parts: list[str] = []
    for number, name in enumerate(shares, start=1):
        upto = pieces if number == len(shares) else round(sum(list(shares.values())[:number]) * pieces / total)
        parts += [name] * (max(upto, len(parts) + 1) - len(parts))
    best: tuple[int, np.ndarray] | None = None
    for attempt in range(_TRIES):
        piece = _folds(people, classes, pieces, seed + 1000 * attempt)
        given = np.array(parts)[piece]
        fewest = min(
            int(((given == name) & (classes == label)).sum()) for name in shares for label in np.unique(classes)
        )
        if best is None or fewest > best[0]:
            best = (fewest, given)
        if fewest >= 2:
            break
    assert best is not None
    if best[0] == 0:
        raise SplitError(
            "there are too few patients of one label to give some to every part",
            fix="Use k folds instead (--folds 5), or add cases.",
        )
    return [str(name) for name in best[1]]


def fold_patients(patients: Sequence[str], labels: Sequence[str], folds: int, seed: int) -> list[int]:
    """Give every case a fold from 0 to folds - 1, all cases of a patient the same one.

    Raises
    ------
    SplitError
        If there are fewer patients than folds, in all or of one label.
    """
    people, classes = np.asarray(patients), np.asarray(labels)
    if folds < 3:
        raise SplitError(
            f"{folds} folds are too few", fix="Use 3 or more: one to judge, one to choose the epoch, the rest to train."
        )
    _enough(people, classes, folds, "folds", str(folds))
    for attempt in range(_TRIES):
        made = _folds(people, classes, folds, seed + 1000 * attempt)
        if all(set(classes[made == fold]) == set(classes) for fold in range(folds)):
            return [int(fold) for fold in made]
    raise SplitError(
        f"no way was found to give each of {folds} folds a patient of every label", fix="Use fewer folds, or add cases."
    )


def _enough(people: np.ndarray, classes: np.ndarray, wanted: int, what: str, named: str) -> None:
    for label in np.unique(classes):
        count = len(np.unique(people[classes == label]))
        if count < wanted:
            raise SplitError(
                f"fewer patients than {what}: {count} patients are labelled {str(label)!r}, and there are {wanted} {what} ({named})",
                fix="Use fewer folds, or add cases."
                if what == "folds"
                else "Use k folds instead (--folds 3), or add cases.",
            )


def _folds(people: np.ndarray, classes: np.ndarray, count: int, seed: int) -> np.ndarray:
    from sklearn.model_selection import StratifiedGroupKFold  # large, and not needed while headers are read

    splitter = StratifiedGroupKFold(n_splits=count, shuffle=True, random_state=seed)
    result = np.zeros(len(people), dtype=np.int64)
    with warnings.catch_warnings():
        # It warns where a class has fewer cases than pieces; `_enough` and the count per part judge that better.
        warnings.simplefilter("ignore", UserWarning)
        try:
            for number, (_, inside) in enumerate(splitter.split(people, classes, people)):
                result[inside] = number
        except ValueError as error:
            raise SplitError(f"the cases cannot be split: {error}", fix="Use fewer folds, or add cases.") from error
    return result
