"""Every measure at once, under many case weights: the engine of the bootstrap.

The value of a measure is the engine's answer to weights of one, so a value and its interval come from the same sums.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hounsfield.measure.curves import bins
from hounsfield.measure.ranking import WeightedRanking, targets

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RANKED = ("auc", "average_precision")
DECIDED = ("sensitivity", "specificity", "ppv", "npv", "f1")
# Ratios have no mean over classes that would say anything: of more than two classes each has its own.
RATIOS = ("lr_positive", "lr_negative")
# A probability of 0 that came true would make the loss infinite.
LEAST_PROBABILITY = 1e-15


class Statistics:
    """Measures of n cases.

    Parameters
    ----------
    truth, decision:
        (n,), class index.
    probability:
        (n, outputs); one output is the probability of class 1 of two.

    Calling it with weights (b, n) gives name → (b,), nan where undefined. Names are those of the measures, and
    "measure:class" for one class against the rest where there are more than two classes. Macro values are plain means
    over the classes for which the measure is defined with all cases in.
    """

    def __init__(self, truth: Ints, probability: Floats, decision: Ints) -> None:
        self.truth, self.decision = truth, decision
        self.classes = max(2, probability.shape[1])
        self.binary = probability.shape[1] == 1
        self.targets = [target for target, _ in targets(probability.shape[1], probability)]
        self.rankings = {
            target: WeightedRanking(truth == target, column)
            for target, column in targets(probability.shape[1], probability)
        }
        self._scores = probability
        self._cells = np.eye(self.classes**2)[truth * self.classes + decision]
        self.brier, self.log_loss = _brier(truth, probability), _log_loss(truth, probability)
        confidence, outcome = _top(truth, probability)
        place = bins(confidence)
        self._bins = np.eye(int(place.max(initial=0)) + 1)[place]
        self._confidence, self._gap = confidence, confidence - outcome
        everything = self._each(np.ones((1, len(truth))))
        self._judged = {
            name: [t for t in self.targets if np.isfinite(everything[f"{name}:{t}"][0])] for name in (*RANKED, *DECIDED)
        }

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        each = self._each(weights)
        found: dict[str, Floats] = {}
        for name in (*RANKED, *DECIDED):
            # A class without which a resample had to do makes that resample undefined, rather than another measure.
            rows = [each[f"{name}:{target}"] for target in self._judged[name]]
            found[name] = np.mean(rows, axis=0) if rows else np.full(len(weights), np.nan)
        total = weights.sum(axis=1)
        matrix = self.matrix(weights)
        hits, present = np.einsum("bkk->bk", matrix), matrix.sum(axis=2)
        with np.errstate(divide="ignore", invalid="ignore"):
            recalls = np.where(present > 0, hits / present, np.nan)
            # A resample of many patients may hold none of these cases: a share of nothing is no number.
            found["accuracy"] = hits.sum(axis=1) / total
            found["brier"] = weights @ self.brier / total
            found["log_loss"] = weights @ self.log_loss / total
            found["mcc"] = _correlation(matrix)
            found["ece"] = np.abs((weights * self._gap) @ self._bins).sum(axis=1) / total
        here = np.isin(np.arange(self.classes), self.truth)
        found["balanced_accuracy"] = recalls[:, here].mean(axis=1) if here.sum() > 1 else np.full(len(weights), np.nan)
        if self.binary:
            return found | {name: each[f"{name}:1"] for name in RATIOS}
        return found | each

    def scores(self, target: int) -> Floats:
        """(n,), by which a class is ranked against the rest."""
        return self._scores[:, 0 if self.binary else target]

    def matrix(self, weights: Floats) -> Floats:
        """Return confusion matrices (b, classes, classes): rows are the truth, columns the decision."""
        return (weights @ self._cells).reshape(-1, self.classes, self.classes)

    def ece_by_chance(self, draws: int, seed: int) -> Floats:
        """Return (draws,), the calibration error that a perfectly calibrated model with these probabilities would show.

        It is not 0: each bin holds few cases, and their share differs from their probability by chance.
        """
        order = np.argsort(self._confidence, kind="stable")  # so that the order of the rows does not matter
        confidence, place = self._confidence[order], self._bins[order]
        generator = np.random.default_rng(seed)
        gaps = (confidence - (generator.random(len(confidence)) < confidence) for _ in range(draws))
        return np.array([np.abs(gap @ place).sum() for gap in gaps]) / len(confidence)

    def _each(self, weights: Floats) -> dict[str, Floats]:
        found: dict[str, Floats] = {}
        matrix = self.matrix(weights)
        total = matrix.sum(axis=(1, 2))
        for target in self.targets:
            found[f"auc:{target}"], found[f"average_precision:{target}"] = self.rankings[target].measure(weights)
            hits = matrix[:, target, target]
            missed = matrix[:, target, :].sum(axis=1) - hits
            false = matrix[:, :, target].sum(axis=1) - hits
            right = total - hits - missed - false
            with np.errstate(divide="ignore", invalid="ignore"):
                found[f"sensitivity:{target}"] = hits / (hits + missed)
                found[f"specificity:{target}"] = right / (right + false)
                found[f"ppv:{target}"] = hits / (hits + false)
                found[f"npv:{target}"] = right / (right + missed)
                found[f"lr_positive:{target}"] = hits / (hits + missed) / (false / (false + right))
                found[f"lr_negative:{target}"] = missed / (hits + missed) / (right / (false + right))
                found[f"f1:{target}"] = np.where(hits + missed > 0, 2 * hits / (2 * hits + missed + false), np.nan)
        return found


def _brier(truth: Ints, probability: Floats) -> Floats:
    """Squared error per case: (p - y)² for two classes, summed over the classes for more (Brier 1950)."""
    if probability.shape[1] == 1:
        squared: Floats = (probability[:, 0] - (truth == 1)) ** 2
        return squared
    summed: Floats = ((probability - np.eye(probability.shape[1])[truth]) ** 2).sum(axis=1)
    return summed


def _log_loss(truth: Ints, probability: Floats) -> Floats:
    """Minus the logarithm of the probability that was given to what came true, per case."""
    if probability.shape[1] == 1:
        given = np.where(truth == 1, probability[:, 0], 1 - probability[:, 0])
    else:
        given = probability[np.arange(len(truth)), truth]
    lost: Floats = -np.log(np.maximum(given, LEAST_PROBABILITY))
    return lost


def _correlation(matrix: Floats) -> Floats:
    """Matthews' correlation coefficient of (b, classes, classes), of more than two classes that of Gorodkin (2004)."""
    total, hits = matrix.sum(axis=(1, 2)), np.einsum("bkk->b", matrix)
    true, called = matrix.sum(axis=2), matrix.sum(axis=1)
    together = hits * total - (true * called).sum(axis=1)
    spread = (total**2 - (called**2).sum(axis=1)) * (total**2 - (true**2).sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > 0, together / np.sqrt(spread), np.nan)


def _top(truth: Ints, probability: Floats) -> tuple[Floats, Floats]:
    """The probability that is judged for calibration, and whether it came true.

    Two classes: that of class 1. More: the highest one (top-label calibration, Guo 2017).
    """
    if probability.shape[1] == 1:
        return probability[:, 0], (truth == 1).astype(np.float64)
    return probability.max(axis=1), (probability.argmax(axis=1) == truth).astype(np.float64)
