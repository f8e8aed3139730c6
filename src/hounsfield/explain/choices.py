"""Which cases to explain, each for which label, and what their panels say of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hounsfield.core.predictions import Predictions
from hounsfield.errors import UsageError

RIGHT, WRONG = 4, 4
NOT_KNOWN = "not known"


@dataclass(frozen=True)
class Choice:
    """A case, the label to explain it for, and its truth and decision: labels, or "present" and "absent" of the target.

    `probability` is that of the decision.
    """

    case: str
    target: str
    truth: str
    decision: str
    probability: float

    @property
    def kind(self) -> str:
        """Return "right", "wrong", or "not known"."""
        return NOT_KNOWN if self.truth == NOT_KNOWN else "right" if self.truth == self.decision else "wrong"


def most_confident(predictions: Predictions, right: int = RIGHT, wrong: int = WRONG) -> list[Choice]:
    """Return the most confident right cases, labels in turn, and the most confident wrong ones; each case once.

    Where a case may have several labels, right and wrong are of one label in one case: right is a label that is present
    and called so, wrong one that is either and not both.
    """
    labels = predictions.task.labels
    found = sorted(
        (choice for each in _choices(predictions).values() for choice in each),
        key=lambda choice: (-choice.probability, choice.case),
    )
    seen = [one for one in found if one.kind == "right" and one.decision != "absent"]
    hits = [[one for one in seen if one.target == label] for label in reversed(labels)]
    turns = range(max(map(len, hits)))
    in_turn = [ones[turn] for turn in turns for ones in hits if turn < len(ones)]
    chosen = _each_once(in_turn, right, set())
    misses = [one for one in found if one.kind == "wrong"]
    return chosen + _each_once(misses, wrong, {one.case for one in chosen})


def choices_of(predictions: Predictions, cases: Mapping[str, str | None]) -> list[Choice]:
    """Return a choice for each case, for a label or (None) the decided one: of several the most probable.

    Raises
    ------
    UsageError
        If a case has no prediction, or there is no such label.
    """
    task = predictions.task
    of_label = {key: {one.case: one for one in each} for key, each in _choices(predictions).items()}
    known = next(iter(of_label.values()))
    chosen = []
    for case, label in cases.items():
        if case not in known:
            fix = "List cases with: hounsfield show RUN --cases"
            raise UsageError(f"{case} has no prediction in {task.name}", fix=fix)
        if label is not None and label not in task.labels:
            raise UsageError(f"there is no label {label!r}", fix=f"Choose from: {', '.join(task.labels)}.")
        if not task.multi_label:
            chosen.append(replace(known[case], target=label or known[case].target))
        elif label is not None:
            chosen.append(of_label[label][case])
        else:
            chosen.append(max((each[case] for each in of_label.values()), key=_presence))
    return chosen


def panel_facts(predictions: Predictions, chosen: Sequence[Choice]) -> list[dict[str, Any]]:
    """Return what the panels say of chosen cases."""
    return [
        {
            "kind": one.kind, "part": predictions.task.name, "truth": one.truth, "decision": one.decision,
            "probability": one.probability,
        }
        for one in chosen
    ]  # fmt: skip


def _choices(predictions: Predictions) -> dict[str, list[Choice]]:
    """Return a choice per case, for its decided label (under ""); or, of several labels, for each of them."""
    task, values = predictions.task, predictions.probabilities
    cases = predictions.table["case"].to_list()
    if not task.multi_label:
        decided, names = predictions.decisions, [*task.labels, NOT_KNOWN]  # -1 is the last
        binary = values.shape[1] == 1
        sure = np.where(decided == 1, values[:, 0], 1 - values[:, 0]) if binary else values[range(len(cases)), decided]
        rows = zip(cases, predictions.truth, decided, sure, strict=True)
        return {"": [Choice(case, names[call], names[truth], names[call], float(p)) for case, truth, call, p in rows]}
    found = {}
    for place, label in enumerate(task.labels):
        truth, decided = predictions.truth_states[:, place], predictions.decision_states[:, place]
        names = ["absent", "present", NOT_KNOWN]
        sure = np.where(decided == 1, values[:, place], 1 - values[:, place])
        rows = zip(cases, truth, decided, sure, strict=True)
        found[label] = [Choice(case, label, names[is_so], names[call], float(p)) for case, is_so, call, p in rows]
    return found


def _presence(choice: Choice) -> tuple[bool, float]:
    """Order labels of a case: those called present first, and of these the most probable."""
    called = choice.decision == "present"
    return called, choice.probability if called else 1 - choice.probability


def _each_once(found: Sequence[Choice], most: int, taken: set[str]) -> list[Choice]:
    """Return the first choices, none for a case that is taken or came before: a case has one panel."""
    first: dict[str, Choice] = {}
    for choice in found:
        if choice.case not in taken:
            first.setdefault(choice.case, choice)
    return list(first.values())[:most]
