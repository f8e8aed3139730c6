"""make_plan: a cohort's fingerprint → Plan, every decision with its reason, and the cost of the whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hounsfield.core.cohort import Cohort
from hounsfield.core.plan import Decision, Plan
from hounsfield.plan.asked import Wishes
from hounsfield.plan.budget import Budget, Priced, choose
from hounsfield.plan.cost import ALL_EPOCHS, closing_seconds, cost_of, seconds_of
from hounsfield.plan.decide import decide
from hounsfield.plan.fingerprint import Fingerprint, fingerprint
from hounsfield.plan.limits import Room, room_of, within
from hounsfield.plan.pace import Meter, measure
from hounsfield.plan.trials import Trials, run_trials

Suggested = Mapping[str, Decision[Any]]


def make_plan(
    cohort: Cohort,
    *,
    side_free: bool = False,
    loss: str = "cross-entropy",
    workers: int | None = None,
    device: str = "auto",
    decisions: Mapping[str, Any] | None = None,
    budget: Budget | None = None,
    trials: bool = False,
    place: Path | None = None,
    say: Callable[[str], None] | None = None,
) -> Plan:
    """Plan a run for a cohort.

    Parameters
    ----------
    side_free:
        The label has no side, so that a horizontal flip is allowed for every body part.
    loss:
        `cross-entropy` or `focal`.
    decisions:
        Decisions that are already taken, by name (`{"backbone": "resnet50"}`); they are kept with the reason "asked
        for", and the rules that follow from them follow. `loss` may be a name, `weights` a source or a file, `windows`
        names, pairs, or `fitted`.
    budget:
        The time that training and what follows may take; the best plan that ends in it is chosen.
    trials:
        Try resolutions, depths of freezing and regularisation on frozen features of training cases first.
    place:
        The run folder: what is free on its disk limits store and cache.
    say:
        Hears how the trials went.

    Raises
    ------
    PlanError, WeightsError
        If a decision is unknown or not allowed, the images fit no rule, nothing fits the limits of memory and disk, or
        even the cheapest plan takes longer than the budget.
    """
    found = fingerprint(cohort, workers=workers)
    wishes = Wishes.read(decisions, side_free=side_free, loss=loss)
    suggested: Suggested = {}
    if trials:
        usual = decide(found, cohort.digest, wishes, device=device)
        tried: Trials = run_trials(cohort, usual, asked_for=set(wishes.decisions), workers=workers, device=device)
        suggested = tried.decisions
        if say is not None:
            say(tried.sentence)
    planner = _Planner(found, cohort.digest, wishes, device, workers, room_of(wishes.limits, place))
    return planner.plan(suggested, budget)


def plan_from(
    found: Fingerprint,
    cohort_digest: str,
    *,
    side_free: bool = False,
    loss: str = "cross-entropy",
    device: str = "auto",
    decisions: Mapping[str, Any] | None = None,
    budget: Budget | None = None,
) -> Plan:
    """Plan a run from a fingerprint; see `make_plan`."""
    wishes = Wishes.read(decisions, side_free=side_free, loss=loss)
    return _Planner(found, cohort_digest, wishes, device, None, room_of(wishes.limits, None)).plan({}, budget)


@dataclass(frozen=True)
class _Planner:
    """What is known before the first decision, and how decisions become a plan that fits."""

    found: Fingerprint
    cohort: str
    wishes: Wishes
    device: str
    workers: int | None
    room: Room

    def plan(self, suggested: Suggested, budget: Budget | None) -> Plan:
        meter = Meter(measure, self.found, self.device)
        if budget is None:
            return self._fitted(suggested, meter)
        usual = self._decided(suggested)
        fixed = {*self.wishes.decisions, *(("members",) if self.found.folds else ())}
        return choose(budget, usual, lambda more: self._priced(more, meter, budget), suggested, fixed)

    def _decided(self, suggested: Suggested) -> Plan:
        return decide(self.found, self.cohort, self.wishes, device=self.device, suggested=suggested)

    def _fitted(self, suggested: Suggested, meter: Meter) -> Plan:
        """Decide, and make it smaller until it fits the room."""
        plan, cost = within(
            self._decided(suggested), self.room, self.wishes.decisions.keys(),
            lambda smaller: cost_of(smaller, self.found, meter(smaller), workers=self.workers),
        )  # fmt: skip
        return plan.model_copy(update={"cost": cost})

    def _priced(self, suggested: Suggested, meter: Meter, budget: Budget) -> Priced:
        """Nobody knows beforehand when early stopping will come: a budget counts every epoch."""
        plan = self._fitted(suggested, meter)
        pace = meter(plan)
        seconds = seconds_of(plan, self.found, pace, workers=self.workers, epochs_run=ALL_EPOCHS)
        closing = 0.0 if budget.started is None else closing_seconds(plan, self.found, pace)
        after = seconds["calibrate"] + seconds["predict"] + closing
        return Priced(plan, seconds["read"] + seconds["cache"] + seconds["train"], after)
