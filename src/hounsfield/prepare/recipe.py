"""Plan → Recipe: the steps that every image of a run goes through."""

from __future__ import annotations

from hounsfield.core.plan import Plan
from hounsfield.core.recipe import Normalise, Pad, Recipe, Repeat, Resize, Window
from hounsfield.errors import PlanError
from hounsfield.prepare.conditioning import check_rule


def recipe_of(plan: Plan) -> Recipe:
    """Return the recipe that a plan stands for.

    Raises
    ------
    PlanError
        If the plan names no conditioning rule, or its windows, channels and normalisation do not fit each other.
    """
    check_rule(plan.conditioning.value)
    channels = plan.channels.value
    if stored_channels(plan) not in (1, channels):
        raise PlanError(
            f"windows: {len(plan.windows.value)} windows do not fit {channels} channels", fix=f"Give 1 or {channels}."
        )
    if any(len(values) != channels for values in plan.normalisation.value.values()):
        raise PlanError(f"normalisation: mean and std need {channels} values each, one per channel")
    height, width = plan.size.value
    windows = tuple((float(centre), float(wide)) for centre, wide in plan.windows.value)
    norm = plan.normalisation.value
    return Recipe(
        steps=(
            Window(windows=windows),
            Resize(height=height, width=width),
            Pad(height=height, width=width),
            Repeat(channels=plan.channels.value),
            Normalise(mean=tuple(norm["mean"]), std=tuple(norm["std"])),
        )
    )


def stored_channels(plan: Plan) -> int:
    """Return how many channels the store keeps: one per window, three for colour."""
    return 3 if plan.conditioning.value == "colour" else len(plan.windows.value)
