"""The ladder of plans that a budget chooses from; each rung is a list of small steps away from the usual plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hounsfield.core.plan import Plan
from hounsfield.plan.rules.network import has_fixed_size

STEP = 32
SMALLEST = 96
Step = Callable[[Plan], dict[str, Any]]


@dataclass(frozen=True)
class Rung:
    """A plan, told by what it changes. `steps` take the usual plan and give values of decisions."""

    name: str
    steps: tuple[Step, ...]

    def changes(self, usual: Plan) -> dict[str, Any]:
        """Return the values that differ from those of the usual plan."""
        values = {name: value for step in self.steps for name, value in step(usual).items()}
        return {name: value for name, value in values.items() if value != usual.decisions[name].value}


def freeze_all(usual: Plan) -> dict[str, Any]:
    """Train the head alone; without pretrained weights there is nothing to freeze."""
    return {} if usual.frozen.value == "none" else {"frozen": "all", "head": "last"}


def epochs(count: int) -> Step:
    """At most so many epochs, with a third of them as patience."""

    def step(usual: Plan) -> dict[str, Any]:
        return {"epochs": count, "patience": max(2, min(usual.patience.value, count // 3))}

    return step


def members(count: int) -> Step:
    """So many seeds."""
    return lambda _: {"members": count}


def views(share: float) -> Step:
    """A share of the usual augmented views, one at least; where nothing is cached there are none."""
    return lambda usual: (
        {"cached_views": max(1, round(usual.cached_views.value * share))} if usual.cached_views.value else {}
    )


def side(steps: int) -> Step:
    """So many steps of 32 pixels larger or smaller; volumes keep the grid that their spacing gives."""

    def step(usual: Plan) -> dict[str, Any]:
        if usual.dimension.value == "3d" or has_fixed_size(usual.backbone.value):
            return {}
        return {"size": tuple(max(min(SMALLEST, old), old + steps * STEP) for old in usual.size.value)}

    return step


def slices(share: float) -> Step:
    """A share of the slices that a 2D network is shown of a stack."""

    def step(usual: Plan) -> dict[str, Any]:
        if usual.dimension.value == "3d" or usual.slices.value == 1:
            return {}
        return {"slices": max(1, round(usual.slices.value * share))}

    return step


LADDER = (
    Rung("the head alone, on small images", (freeze_all, epochs(6), members(1), views(0.01), side(-1), slices(0.25))),
    Rung("the head alone", (freeze_all, epochs(10), members(1), views(0.01), slices(0.25))),
    Rung("the head alone, on more views", (freeze_all, epochs(20), members(1), views(0.5), slices(0.5))),
    Rung("the last stages, briefly", (epochs(6), members(1), views(0.3), side(-1), slices(0.25))),
    Rung("the last stages, in few epochs", (epochs(10), members(1), views(0.4), slices(0.5))),
    Rung("the last stages, one member", (epochs(15), members(1), views(0.6), slices(0.5))),
    Rung("the usual plan with one member", (members(1),)),
    Rung("the usual plan with two members", (members(2),)),
    Rung("the usual plan", ()),
    Rung("the usual plan with five members", (members(5),)),
    Rung("five members, on more views", (members(5), views(1.5))),
    Rung("five members, on more views and larger images", (members(5), views(1.5), side(1))),
    Rung("five members, longer, on larger images", (members(5), views(2.0), epochs(30), side(2))),
)
