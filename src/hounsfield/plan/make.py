"""make_plan: a cohort's fingerprint → Plan, every decision with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
from pydantic import ValidationError

from hounsfield.core.cohort import Cohort
from hounsfield.core.plan import Cost, Decision, Plan, Weights
from hounsfield.errors import PlanError, UsageError, WeightsError
from hounsfield.measure import parse_rule
from hounsfield.models.weights import weights_file
from hounsfield.plan import rules
from hounsfield.plan.cost import measure_cost
from hounsfield.plan.fingerprint import Fingerprint, fingerprint
from hounsfield.prepare import RULES, recipe_of

EPOCHS, PATIENCE = 20, 6
LOSSES = ("cross-entropy", "focal")
SOURCES = ("packaged", "cache", "hub", "none")
ASKED = "asked for"


def make_plan(
    cohort: Cohort,
    *,
    side_free: bool = False,
    loss: str = "cross-entropy",
    workers: int | None = None,
    device: str = "auto",
    decisions: Mapping[str, Any] | None = None,
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

    Raises
    ------
    PlanError, WeightsError
        If a decision is unknown or not allowed, or the images fit no rule.
    """
    found = fingerprint(cohort, workers=workers)
    return plan_from(found, cohort.digest, side_free=side_free, loss=loss, device=device, decisions=decisions)


def plan_from(
    found: Fingerprint,
    cohort_digest: str,
    *,
    side_free: bool = False,
    loss: str = "cross-entropy",
    device: str = "auto",
    decisions: Mapping[str, Any] | None = None,
) -> Plan:
    """Plan a run from a fingerprint; see `make_plan`."""
    chosen = dict(decisions or {})
    if isinstance(chosen.get("loss"), str):
        loss = chosen.pop("loss")
    if loss not in LOSSES:
        raise PlanError(f"there is no loss named {loss!r}", fix=f"Choose from: {', '.join(LOSSES)}.")
    if "weights" in chosen:
        chosen["weights"] = weights_from(chosen["weights"])
    unknown = set(chosen) - set(_names())
    if unknown:
        raise PlanError(
            f"the plan has no decision named {', '.join(sorted(unknown))}", fix=f"Choose from: {', '.join(_names())}."
        )
    taken: dict[str, Decision[Any]] = {}

    def decide(name: str, decision: Decision[Any]) -> Any:
        taken[name] = _asked(name, chosen[name]) if name in chosen else decision
        return taken[name].value

    binary = len(found.labels) == 2
    decide("task", Decision(value="binary" if binary else "multiclass", reason=f"{len(found.labels)} labels"))
    decide("labels", Decision(value=found.labels, reason="the labels of the cohort, in the order of the outputs"))
    decide(
        "positive",
        Decision(value=found.positive, reason="see the cohort" if binary else "more than two classes have none"),
    )
    found = replace(found, unit=decide("unit", rules.unit(found, chosen.get("conditioning"))))
    decide("clean", Decision(value=[], reason="nothing is removed unless asked"))
    rule = decide("conditioning", rules.conditioning(found) if "conditioning" not in chosen else Decision(value=""))
    if "windows" in chosen:
        asked = rules.windows_asked_for(found, rule, chosen.pop("windows"))
        decide("windows", _asked("windows", asked.value).model_copy(update={"reason": asked.reason}))
    else:
        decide("windows", rules.windows(found, rule))
    count = decide("slices", rules.slices(found))
    backbone = decide(
        "backbone", Decision(value=rules.BACKBONE, reason="small, fast on a CPU, and its weights install offline")
    )
    contract = _contract(backbone)
    decide("size", rules.size(found, contract["input_size"][-1]))
    decide("channels", Decision(value=3, reason="what the backbone was pretrained with"))
    norm = {"mean": list(contract["mean"]), "std": list(contract["std"])}
    decide("normalisation", Decision(value=norm, reason="the backbone's own"))
    decide("augmentation", rules.augmentation(found, side_free, rule))
    weights = decide("weights", rules.weights(backbone))
    weights_file(backbone, weights)
    source = weights.source
    frozen = decide("frozen", rules.frozen(found, backbone, source != "none"))
    decide("cached_views", rules.cached_views(found, frozen, count))
    decide("members", rules.members(found))
    decide("dropout", Decision(value=0.2, reason="customary for this size of network"))
    decide("loss", rules.loss(found, loss))
    decide("batch", rules.batch(found, count))
    decide("epochs", Decision(value=EPOCHS, reason="at the most; early stopping on validation AUC usually ends sooner"))
    decide("patience", Decision(value=PATIENCE, reason="epochs without a better validation AUC before it stops"))
    decide(
        "learning_rate", Decision(value=1e-3, reason="AdamW, one cycle; the greatest rate of the cycle, for the head")
    )
    decide("backbone_rate", rules.backbone_rate(source != "none", count))
    decide("batch_norm", rules.batch_norm(source != "none", count))
    decide("weight_decay", Decision(value=0.05, reason="customary for fine-tuning with AdamW"))
    decide(
        "operating_point",
        Decision(value="youden", reason="sensitivity and specificity weigh the same; or sensitivity>=0.95"),
    )
    decide("seed", Decision(value=0, reason="any number; the same number gives the same run"))
    blank: Decision[Cost] = Decision(value=Cost(minutes=0, memory=0, disk=0), reason="")
    content = {name: decision.model_dump(mode="json") for name, decision in {**taken, "cost": blank}.items()}
    plan = _validated({"cohort": cohort_digest, **content})
    return plan.model_copy(update={"cost": measure_cost(plan, found, device)})


def _validated(content: dict[str, Any]) -> Plan:
    """Check values that came from outside, so that a wrong one is named in plain words."""
    draft = Plan.from_content(content)
    if draft.weights.value.source != "none" and draft.channels.value != 3:
        raise PlanError("channels: the pretrained backbones have three channels", fix="Leave channels at 3.")
    check_plan(draft)
    return draft


def check_plan(plan: Plan) -> None:
    """Check what the plan's own type cannot: rules that other rooms know by name.

    Raises
    ------
    PlanError
        If the conditioning, the windows or the operating point are not possible, or do not fit each other.
    """
    recipe_of(plan)
    _check_unit(plan)
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


def _asked(name: str, value: Any) -> Decision[Any]:
    """Check a value against the type of its decision before any rule reckons with it."""
    try:
        kind: Any = Plan.model_fields[name].annotation
        found: Decision[Any] = kind.model_validate({"value": value, "reason": ASKED})
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise PlanError(f"{name}: {message}", fix="Correct the value and run again.") from error
    return found


def weights_from(value: Any) -> Weights:
    """Read a choice of weights: a source (packaged, cache, hub, none), a file, or both as a mapping.

    Raises
    ------
    PlanError
        If it is none of them.
    """
    if isinstance(value, Weights):
        return value
    if isinstance(value, str):
        value = {"source": value} if value in SOURCES else {"source": "file", "path": str(Path(value).resolve())}
    try:
        return Weights.model_validate(value)
    except ValidationError as error:
        raise PlanError(f"weights: {error.errors()[0]['msg']}", fix=f"Give {', '.join(SOURCES)}, or a file.") from error


def _contract(backbone: str) -> dict[str, Any]:
    config = timm.get_pretrained_cfg(backbone) if timm.is_model(backbone) else None
    if config is None:
        raise WeightsError(
            f"timm knows no backbone named {backbone!r}", fix="Try resnet50, densenet121, efficientnet_b0."
        )
    return config.to_dict()


def _names() -> list[str]:
    return [name for name in Plan.model_fields if name not in ("schema_version", "cohort", "cost")]
