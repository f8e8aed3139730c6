"""How well the model knows what it does not know: its sets of labels, and its mistakes among the cases it is sure of."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hounsfield.core import Predictions
from hounsfield.measure import Estimate, rejection, share


@dataclass(frozen=True)
class Doubt:
    """What sets and confidence gave on cases with a known truth.

    Attributes
    ----------
    target:
        In which share of cases the sets are meant to hold the true label; None where the predictions carry no sets.
    coverage:
        "" (all cases) and label → the share of its cases whose set holds it. With several labels per case: "" is all known states
        of all labels, and "<label>" and "no <label>" its presence and absence.
    sizes:
        Labels in a set → share of cases: 0 is like no label, 1 is an answer, more is "cannot tell". With several labels per case
        it is states of a label (present, absent) → share of the known states.
    rejection:
        (share kept, accuracy among them), the least confident cases (or states) left out first.
    """

    target: float | None
    coverage: dict[str, Estimate]
    sizes: dict[str, float]
    rejection: list[tuple[float, float]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values only."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Doubt:
        """Rebuild what `to_dict` gave."""
        coverage = {name: Estimate.from_dict(item) for name, item in content["coverage"].items()}
        return cls(content["target"], coverage, content["sizes"], [tuple(pair) for pair in content["rejection"]])


def doubt(judged: Predictions, decision: NDArray[np.int64], owners: NDArray[np.str_]) -> Doubt:
    """Judge predictions of one label per case; `decision` (n,) and `owners` (n,), the patients."""
    truth, probability, labels = judged.truth, judged.probabilities, judged.task.labels
    curve = rejection(truth, decision, _confidence(probability, judged.task.threshold))
    if judged.task.coverage is None:
        return Doubt(None, {}, {}, curve)
    held = judged.table["set"].to_list()
    inside = np.array([labels[index] in names for index, names in zip(truth, held, strict=True)])
    rows = {label: truth == place for place, label in enumerate(labels)}
    sizes = np.array([len(names) for names in held])
    return Doubt(judged.task.coverage, _coverage(inside, rows, owners), _shares(sizes), curve)


def doubt_of_findings(judged: Predictions, decision: NDArray[np.int64], owners: NDArray[np.str_]) -> Doubt:
    """Judge predictions of several labels per case: each known state (present or absent) counts as a case of its own.

    `decision` (n, labels), 1 or 0; `owners` (n,), the patients.
    """
    states, labels = judged.truth_states, judged.task.labels
    case, label = np.nonzero(states >= 0)
    truth, values = states[case, label], judged.probabilities[case, label]
    cuts = np.full(len(labels), 0.5) if judged.task.thresholds is None else np.array(judged.task.thresholds)
    curve = rejection(truth, decision[case, label], _from_threshold(values, cuts[label]))
    if judged.task.coverage is None:
        return Doubt(None, {}, {}, curve)
    may = [_members(judged.table[name].to_list(), labels)[case, label] for name in ("set_absent", "set")]
    inside = np.where(truth == 1, may[1], may[0])
    rows = {
        ("" if state else "no ") + name: (label == place) & (truth == state)
        for place, name in enumerate(labels)
        for state in (1, 0)
    }
    sizes = may[0].astype(np.int64) + may[1]
    return Doubt(judged.task.coverage, _coverage(inside, rows, owners[case]), _shares(sizes), curve)


def _members(held: list[list[str]], labels: list[str]) -> NDArray[np.bool_]:
    return np.array([[label in names for label in labels] for names in held])


def _coverage(
    inside: NDArray[np.bool_], rows: dict[str, NDArray[np.bool_]], owners: NDArray[np.str_]
) -> dict[str, Estimate]:
    everything = {"": np.ones(len(inside), dtype=bool)}
    return {name: share(inside, mine, owners) for name, mine in (everything | rows).items() if mine.any()}


def _shares(sizes: NDArray[np.int64]) -> dict[str, float]:
    counts = np.bincount(sizes)
    return {str(size): float(count / len(sizes)) for size, count in enumerate(counts) if count}


def _confidence(probability: NDArray[np.float64], threshold: float | None) -> NDArray[np.float64]:
    """How far a case lies from the other decision: of two labels from the threshold, as a share of the way to 0 or 1."""
    if probability.shape[1] > 1:
        top: NDArray[np.float64] = probability.max(axis=1)
        return top
    return _from_threshold(probability[:, 0], 0.5 if threshold is None else threshold)


def _from_threshold(values: NDArray[np.float64], cut: ArrayLike) -> NDArray[np.float64]:
    cuts = np.asarray(cut, dtype=np.float64)
    above = (values - cuts) / np.maximum(1e-12, 1 - cuts)
    below = (cuts - values) / np.maximum(1e-12, cuts)
    return np.where(values >= cuts, above, below)
