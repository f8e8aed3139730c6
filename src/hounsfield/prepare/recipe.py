"""Plan → Recipe: the steps that every image of a run goes through."""

from __future__ import annotations

from hounsfield.core.plan import Plan
from hounsfield.core.recipe import Normalise, Pad, Recipe, Repeat, Resize, Window


def recipe_of(plan: Plan) -> Recipe:
    """Return the recipe that a plan stands for."""
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
