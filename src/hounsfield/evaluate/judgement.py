"""What a task of one label per case and a task of several find in different ways, and an Evaluation holds alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hounsfield.evaluate.points import Points
from hounsfield.evaluate.subgroups import Grouped, Rows
from hounsfield.measure import Estimate


@dataclass(frozen=True)
class Judgement:
    """Fields as in `Evaluation`; and what is needed to judge some of the cases.

    Attributes
    ----------
    undecided:
        Cases of which a decision was missing and had to be taken from the probability.
    area:
        Gives the AUC of some of the cases, (n,) bool; nan where it is not defined.
    group:
        Judges some of the cases, (n,) bool, beside others of them.
    """

    prevalence: dict[str, dict[str, float]]
    estimates: dict[str, Estimate]
    per_class: dict[str, dict[str, Estimate]]
    curves: dict[str, Points]
    resampled: dict[str, NDArray[np.float64]]
    undecided: int
    area: Callable[[Rows], float]
    group: Callable[[Rows, Rows], Grouped]
    confusion: list[list[int]] = field(default_factory=list)
    confusions: dict[str, list[list[int]]] = field(default_factory=dict)
    not_judged: dict[str, str] = field(default_factory=dict)
