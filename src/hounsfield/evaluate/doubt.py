"""How well the model knows what it does not know: its sets of labels, and its mistakes among the cases it is sure of."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
        "" (all cases) and label → the share of its cases whose set holds it.
    sizes:
        Labels in a set → share of cases: 0 is like no label, 1 is an answer, more is "cannot tell".
    rejection:
        (share kept, accuracy among them), the least confident cases left out first.
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
    everything = np.ones(len(truth), dtype=bool)
    rows = {"": everything, **{label: truth == place for place, label in enumerate(labels)}}
    coverage = {name: share(inside, mine, owners) for name, mine in rows.items() if mine.any()}
    sizes = np.bincount([len(names) for names in held], minlength=len(labels) + 1) / len(held)
    return Doubt(
        judged.task.coverage, coverage, {str(size): float(part) for size, part in enumerate(sizes) if part > 0}, curve
    )


def _confidence(probability: NDArray[np.float64], threshold: float | None) -> NDArray[np.float64]:
    """How far a case lies from the other decision: of two labels from the threshold, as a share of the way to 0 or 1."""
    if probability.shape[1] > 1:
        top: NDArray[np.float64] = probability.max(axis=1)
        return top
    values, cut = probability[:, 0], 0.5 if threshold is None else threshold
    above = (values - cut) / max(1e-12, 1 - cut)
    below = (cut - values) / max(1e-12, cut)
    return np.where(values >= cut, above, below)
