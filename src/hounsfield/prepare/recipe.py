"""Plan → Recipe: the steps that every image of a run goes through, and what becomes of a case before them."""

from __future__ import annotations

from hounsfield.core.plan import Plan
from hounsfield.core.recipe import Normalise, Pad, Recipe, Repeat, Resize, Window
from hounsfield.errors import PlanError
from hounsfield.prepare.case import Preparation
from hounsfield.prepare.conditioning import check_rule

_CROPPING = ("mammogram", "ultrasound")  # rules after which a given region no longer fits the picture


def recipe_of(plan: Plan) -> Recipe:
    """Return the recipe that a plan stands for.

    Raises
    ------
    PlanError
        If the plan names no conditioning rule; its windows, channels and normalisation do not fit each other; or its
        dimension, adjacent slices, spacing and region do not.
    """
    check_rule(plan.conditioning.value)
    _check_adjacent(plan)
    _check_volume(plan)
    _check_region(plan)
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


def preparation_from(plan: Plan, recipe: Recipe | None = None) -> Preparation:
    """Return what turns a case into arrays, by a plan and its recipe (or the one that a bundle was sealed with).

    Raises
    ------
    PlanError
        Without a recipe, for what `recipe_of` refuses.
    """
    return Preparation(
        plan.conditioning.value,
        plan.slices.value,
        recipe_of(plan) if recipe is None else recipe,
        tuple(plan.clean.value),
        plan.adjacent.value,
        plan.dimension.value,
        plan.spacing.value,
        plan.region.value,
    )


def stored_channels(plan: Plan) -> int:
    """Return how many channels the store keeps: one per window, three for colour, 2n + 1 with n adjacent slices."""
    if plan.adjacent.value:
        return 2 * plan.adjacent.value + 1
    return 3 if plan.conditioning.value == "colour" else len(plan.windows.value)


def _check_adjacent(plan: Plan) -> None:
    count = plan.adjacent.value
    if count < 0:
        raise PlanError("adjacent: the number of neighbours on either side cannot be negative", fix="Give 0 or more.")
    if count == 0:
        return
    if plan.dimension.value == "3d":
        raise PlanError("adjacent: a 3d network sees all slices together", fix="Set adjacent to 0, or plan in 2.5d.")
    if plan.conditioning.value == "colour":
        raise PlanError("adjacent: slices become channels of grey images only", fix="Set adjacent to 0.")
    if len(plan.windows.value) != 1:
        raise PlanError(
            f"adjacent: the channels are slices, and cannot be {len(plan.windows.value)} windows as well",
            fix="Give one window, or set adjacent to 0.",
        )
    if plan.channels.value != 2 * count + 1:
        raise PlanError(
            f"adjacent: {count} neighbours on either side make {2 * count + 1} channels, not {plan.channels.value}",
            fix=f"Set channels to {2 * count + 1}"
            + (f", or adjacent to {plan.channels.value // 2}." if plan.channels.value % 2 else "."),
        )


def _check_volume(plan: Plan) -> None:
    spacing = plan.spacing.value
    if spacing is not None and plan.dimension.value != "3d":
        raise PlanError(
            f"spacing: only a 3d plan resamples, and this one is {plan.dimension.value}",
            fix="Set spacing to null, or dimension to 3d.",
        )
    if spacing is not None and not all(0 < side < 1000 for side in spacing):
        raise PlanError("spacing: three lengths in mm (slices, rows, columns), each greater than 0")
    if plan.dimension.value == "3d" and plan.conditioning.value == "colour":
        raise PlanError(
            "dimension: volumes are grey, and the rule 'colour' is for pictures", fix="Choose another rule."
        )


def _check_region(plan: Plan) -> None:
    kind, rule = plan.region.value.kind, plan.conditioning.value
    if kind == "body" and rule != "hounsfield":
        raise PlanError(
            f"region: a body is found in Hounsfield units, and the rule {rule!r} gives others", fix="Use foreground."
        )
    if kind in ("mask", "box", "centre"):
        if rule in _CROPPING:
            raise PlanError(
                f"region: the rule {rule!r} crops the picture, so a given {kind} would no longer fit",
                fix="Choose another rule, or the region foreground or none.",
            )
        if "border" in plan.clean.value:
            raise PlanError(
                f"clean: borders are cropped, so a given {kind} would no longer fit", fix="Take border out."
            )
