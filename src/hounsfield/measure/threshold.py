"""Choosing the probability from which a case is called positive."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import ArrayLike

from hounsfield.errors import UsageError

# Two probabilities nearer than this may swap places between runtimes; no threshold is put between them.
INDISTINGUISHABLE = 1e-5
_RULE = re.compile(r"(sensitivity|specificity)\s*(?:>=|≥)\s*([01](?:\.\d*)?|\.\d+)")
_COST = re.compile(r"cost\s*=\s*(\d+(?:\.\d*)?|\.\d+)")


def parse_rule(rule: str) -> tuple[str, float | None]:
    """Return ("youden", None), ("sensitivity", 0.95), ("specificity", 0.9) or ("cost", 5.0).

    Raises
    ------
    UsageError
        If the text is none of these. It is matched against a pattern and never evaluated.
    """
    text = rule.strip().lower()
    if text == "youden":
        return "youden", None
    costs = _COST.fullmatch(text)
    if costs is not None and float(costs[1]) > 0:
        return "cost", float(costs[1])
    found = _RULE.fullmatch(text)
    if found is None or not 0 < float(found[2]) <= 1:
        raise UsageError(
            f"{rule!r} is not a rule for an operating point",
            fix='Write "youden", "sensitivity>=0.95" or "specificity>=0.9" (a number above 0, at most 1), or "cost=5": a missed '
            "case costs as much as five false alarms.",
        )
    return found[1], float(found[2])


def threshold(truth: ArrayLike, probability: ArrayLike, rule: str) -> float:
    """Return the threshold that a rule asks for; a case is positive where probability >= threshold.

    Parameters
    ----------
    truth:
        (n,), 0 or 1.
    probability:
        (n,) or (n, 1), of class 1.
    rule:
        "youden": the greatest sensitivity + specificity (Youden 1950; of equals, the more sensitive).
        "sensitivity>=x": the highest threshold that reaches it, so that specificity is the best possible.
        "specificity>=x": the lowest threshold that reaches it.
        "cost=x": 1 / (1 + x), from which calling costs less than not calling where a missed case costs x false alarms (Pauker
        and Kassirer 1975). It trusts the probabilities, and needs no cases.

    Thresholds lie halfway between neighbouring observed probabilities, so that a tiny numeric difference between two
    runtimes does not flip a decision. Where even the highest probability, 1, must be called negative, the answer is
    the next number above 1.

    Raises
    ------
    UsageError
        If the rule is unknown, or a class has no case.
    """
    kind, wanted = parse_rule(rule)
    if kind == "cost":
        assert wanted is not None
        return 1 / (1 + wanted)
    positive = np.asarray(truth, dtype=np.int64) == 1
    values = np.asarray(probability, dtype=np.float64).reshape(-1)
    if not positive.any() or positive.all():
        raise UsageError("a threshold needs cases of both classes", where=f"operating point {rule!r}")
    candidates = _midpoints(values)
    # Counted as integers, so that equal candidates are exactly equal.
    ordered_positive, ordered_negative = np.sort(values[positive]), np.sort(values[~positive])
    hits = len(ordered_positive) - np.searchsorted(ordered_positive, candidates, side="left")
    rejections = np.searchsorted(ordered_negative, candidates, side="left")
    if kind == "youden":
        balance = hits * len(ordered_negative) + rejections * len(ordered_positive)
        return float(candidates[np.argmax(balance)])
    assert wanted is not None
    if kind == "sensitivity":
        reached = np.flatnonzero(hits >= wanted * len(ordered_positive) - 1e-9)
        return float(candidates[reached[-1]])
    reached = np.flatnonzero(rejections >= wanted * len(ordered_negative) - 1e-9)
    return float(candidates[reached[0]])


def _midpoints(values: np.ndarray) -> np.ndarray:
    """Ascending candidates: below the lowest value, between neighbours, above the highest."""
    seen = np.unique(values)
    apart = np.diff(seen) > INDISTINGUISHABLE
    between = (seen[:-1][apart] + seen[1:][apart]) / 2
    above = (seen[-1] + 1) / 2 if seen[-1] < 1 - 2 * INDISTINGUISHABLE else np.nextafter(1.0, 2.0)
    return np.concatenate([[seen[0] / 2], between, [above]])
