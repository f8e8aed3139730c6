"""A budget of time: of a ladder of plans, from the cheapest to a better one than the default, the best that ends in time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from hounsfield.core.plan import Decision, Limits, Plan
from hounsfield.errors import PlanError, UsageError
from hounsfield.plan.ladder import LADDER, Rung

# A machine is never as quick as when it was measured: other programs run, files lie scattered.
RESERVE = 0.1
_UNITS = {"s": 1.0, "": 60.0, "m": 60.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Budget:
    """Seconds that a command may take.

    Attributes
    ----------
    seconds:
        In all.
    started:
        `time.monotonic()` of the start of a whole run, whose explanation, export and report count too; None where the
        budget is for training and prediction alone.
    """

    seconds: float
    started: float | None = None

    @property
    def left(self) -> float:
        """Seconds that are left of it, a reserve taken off."""
        spent = 0.0 if self.started is None else time.monotonic() - self.started
        return self.seconds * (1 - RESERVE) - spent


@dataclass(frozen=True)
class Priced:
    """A plan, with the seconds until its last epoch (all of them run), and those of all that follows."""

    plan: Plan
    training: float
    after: float

    @property
    def seconds(self) -> float:
        return self.training + self.after


Price = Callable[[Mapping[str, Decision[Any]]], Priced]


def seconds_of_text(text: str | float) -> float:
    """Read a time: 90s, 10m, 1h, or plain minutes.

    Raises
    ------
    UsageError
        If it is none of these, or not more than nothing.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h)?\s*", str(text))
    if match is None or float(match[1]) == 0:
        raise UsageError(f"a budget of {text!r} is no time", fix="Give 90s, 10m, 1h, or a number of minutes.")
    return float(match[1]) * _UNITS[match[2] or ""]


def told(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def choose(
    budget: Budget, usual: Plan, price: Price, given: Mapping[str, Decision[Any]], fixed: Collection[str]
) -> Plan:
    """Return the highest rung of the ladder that ends in time, with its deadline in `limits.minutes`.

    The rungs that end in time are the more, the larger the budget: so a larger one never gives a lower rung.

    Parameters
    ----------
    usual:
        The plan without a budget, which rungs are relative to.
    price:
        Makes and prices the plan of suggested decisions.
    given:
        Decisions that were suggested otherwise; a rung that changes the same takes their place.
    fixed:
        Decisions that no rung may change.

    Raises
    ------
    PlanError
        If even the cheapest takes longer (the message says how long), or no rung fits the limits of memory and disk.
    """
    cheapest: Priced | None = None
    refused: PlanError | None = None
    for rung in reversed(LADDER):
        changes = {name: value for name, value in rung.changes(usual).items() if name not in fixed}
        try:
            priced = price({**given, **{name: _unlike(usual, name, value) for name, value in changes.items()}})
        except PlanError as error:
            refused = error
            continue
        if priced.seconds <= budget.left:
            return _told(budget, rung, priced, changes)
        if cheapest is None or priced.seconds < cheapest.seconds:
            cheapest = priced
    if cheapest is None:
        assert refused is not None
        raise refused
    left = told(max(0.0, budget.left))
    raise PlanError(
        f"a budget of {told(budget.seconds)} is too small: {left} of it are left, and the cheapest plan takes about "
        f"{told(cheapest.seconds)} here",
        fix=f"Give --budget {_enough(budget, cheapest)}m or more; or fewer slices, or a smaller size.",
    )


def _unlike(usual: Plan, name: str, value: Any) -> Decision[Any]:
    before = usual.decisions[name]
    return Decision(value=value, reason=f"usually {before.value}: {before.reason}")


def _told(budget: Budget, rung: Rung, priced: Priced, changes: Collection[str]) -> Plan:
    """Return the plan with the time in its reasons, and the deadline of training in its limits."""
    plan, left = priced.plan, budget.left
    why = f"{rung.name}: about {told(priced.seconds)} of the {told(left)} that are left of {told(budget.seconds)}"
    reasons = {
        name: decision.model_copy(update={"reason": f"{why} ({decision.reason})"})
        for name, decision in plan.decisions.items()
        if name in changes
    }
    before = plan.limits.value
    minutes = before.minutes or round((left - priced.after) / 60, 2)
    limits: Decision[Limits] = Decision(
        value=Limits(memory=before.memory, disk=before.disk, minutes=minutes),
        reason=f"{plan.limits.reason}; {why}: training stops after {minutes:g} min at the latest",
    )
    return plan.model_copy(update={**reasons, "limits": limits})


def _enough(budget: Budget, cheapest: Priced) -> int:
    """Whole minutes that would do."""
    lacking = cheapest.seconds - budget.left
    return int((budget.seconds + lacking / (1 - RESERVE)) // 60 + 1)
