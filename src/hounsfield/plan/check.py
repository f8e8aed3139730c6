"""Checks of a plan beyond its own type: rules that other rooms know by name, and decisions that exclude each other."""

from __future__ import annotations

from hounsfield.core.plan import Plan
from hounsfield.errors import PlanError, UsageError
from hounsfield.measure import parse_rule
from hounsfield.prepare import RULES, recipe_of


def check_plan(plan: Plan) -> None:
    """Check what the plan's own type cannot.

    Raises
    ------
    PlanError
        If the conditioning, the windows or the operating point are not possible, or decisions do not fit each other.
    """
    recipe_of(plan)
    _check_unit(plan)
    _check_balance(plan)
    try:
        parse_rule(plan.operating_point.value)
    except UsageError as error:
        raise PlanError(f"operating_point: {error.what}", fix=error.fix) from error


def _check_unit(plan: Plan) -> None:
    """Hounsfield units go through the rules that take them, and only these units through windows in HU."""
    rule, unit = plan.conditioning.value, plan.unit.value
    if unit == "HU" and not RULES[rule].takes_hu:
        raise PlanError(
            f"conditioning: the rule {rule!r} is not for Hounsfield units",
            fix=f"Choose from: {', '.join(name for name, other in RULES.items() if other.takes_hu)}.",
        )
    if rule != "hounsfield":
        # Twice the range of 0 to 1 is as far as a window on it can reach and still show something.
        strange = [pair for pair in plan.windows.value if not (-1 <= pair[0] <= 2 and pair[1] <= 4)]
        if strange:
            raise PlanError(
                f"windows: {list(strange[0])} is in Hounsfield units, and the rule {rule!r} gives values from 0 to 1",
                fix="Give [[0.5, 1.0]].",
            )
    elif unit != "HU":
        raise PlanError(
            f"conditioning: the rule 'hounsfield' is for Hounsfield units, and the images are in {unit} ones",
            fix="Choose another rule; NIfTI of CT must hold air (below -200 HU) to be believed.",
        )


def _check_balance(plan: Plan) -> None:
    """Classes are balanced once: by the order of the cases or by the loss."""
    if plan.sampler.value != "balanced":
        return
    if plan.task.value == "multilabel":
        raise PlanError(
            "sampler: cases of several labels cannot be drawn so that every label comes equally often",
            fix="Set sampler to shuffled; the loss weighs each label.",
        )
    weights = [plan.loss.value.class_weights.get(label, 1.0) for label in plan.labels.value]
    if len(set(weights)) > 1:
        raise PlanError(
            "sampler: the balanced sampler and the weights of the loss would balance the classes twice",
            fix="Set sampler to shuffled, or leave class_weights of the loss empty.",
        )
