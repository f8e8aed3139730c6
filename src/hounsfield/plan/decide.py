"""The order in which decisions are taken: what was asked for stands first, then what was tried, then the rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
import torch

from hounsfield.core.plan import Cost, Decision, Limits, Plan, Weights
from hounsfield.errors import WeightsError
from hounsfield.models import at_hand
from hounsfield.models.device import choose_device
from hounsfield.models.weights import read_tensors, weights_file
from hounsfield.plan.asked import Wishes, asked
from hounsfield.plan.check import check_plan
from hounsfield.plan.fingerprint import Fingerprint
from hounsfield.plan.rules import learning, network, shape, values

VOLUME_KERNEL = 5  # axes of a 3D convolution's kernel


class _Decisions:
    """Decisions as they are taken, each with the better claim: asked for, suggested, or the rule's."""

    def __init__(self, asked_for: Mapping[str, Any], suggested: Mapping[str, Decision[Any]]) -> None:
        self.asked_for, self.suggested = asked_for, suggested
        self.taken: dict[str, Decision[Any]] = {}

    def __call__(self, name: str, rule: Decision[Any]) -> Any:
        if name in self.asked_for:
            self.taken[name] = asked(name, self.asked_for[name])
        else:
            self.taken[name] = self.suggested.get(name, rule)
        return self.taken[name].value

    def __getitem__(self, name: str) -> Any:
        return self.taken[name].value


def decide(
    found: Fingerprint,
    cohort_digest: str,
    wishes: Wishes,
    *,
    device: str = "auto",
    suggested: Mapping[str, Decision[Any]] | None = None,
) -> Plan:
    """Take every decision but the cost.

    Parameters
    ----------
    suggested:
        Decisions with their reasons that stand in the place of a rule's, but not of one that was asked for.

    Raises
    ------
    PlanError, WeightsError
        If a decision is not allowed, or the images fit no rule.
    """
    take = _Decisions(wishes.decisions, suggested or {})
    kind = choose_device(device).type
    _task(take, found)
    found = _values(take, found, wishes)
    _shape(take, found, wishes, kind)
    _network(take, found)
    _learning(take, found, wishes, kind)
    blank: Decision[Cost] = Decision(value=Cost(minutes=0, memory=0, disk=0), reason="")
    content = {name: decision.model_dump(mode="json") for name, decision in {**take.taken, "cost": blank}.items()}
    plan = Plan.from_content({"cohort": cohort_digest, **content})
    check_plan(plan)
    return plan


def _task(take: _Decisions, found: Fingerprint) -> None:
    count = len(found.labels)
    if found.multi_label:
        task, why = "multilabel", f"{count} labels, of which a case may have any number"
        none = "none: every label is judged for itself"
    else:
        task, why = ("binary" if count == 2 else "multiclass"), f"{count} labels"
        none = "see the cohort" if count == 2 else "more than two classes have none"
    take("task", Decision(value=task, reason=why))
    take("labels", Decision(value=found.labels, reason="the labels of the cohort, in the order of the outputs"))
    take("positive", Decision(value=None if found.multi_label else found.positive, reason=none))


def _values(take: _Decisions, found: Fingerprint, wishes: Wishes) -> Fingerprint:
    """Return the fingerprint in the unit that was decided."""
    chosen = wishes.decisions
    found = replace(found, unit=take("unit", values.unit(found, chosen.get("conditioning"))))
    take("clean", Decision(value=[], reason="nothing is removed unless asked"))
    rule = take("conditioning", values.conditioning(found) if "conditioning" not in chosen else Decision(value=""))
    if "windows" in chosen:
        wanted = values.windows_asked_for(found, rule, chosen["windows"])
        take.taken["windows"] = asked("windows", wanted.value).model_copy(update={"reason": wanted.reason})
    else:
        take("windows", values.windows(found, rule))
    return found


def _shape(take: _Decisions, found: Fingerprint, wishes: Wishes, device: str) -> None:
    rule, windows = take["conditioning"], len(take["windows"])
    kind = take("dimension", _dimension(found, wishes, device, rule))
    count = take("adjacent", shape.adjacent(found, kind, rule, windows))
    grid = take("spacing", shape.spacing(found, kind))
    take("slices", shape.slices(found, kind, grid))
    take("region", shape.region(found, kind, rule))
    name = take("backbone", network.backbone(kind, device))
    contract = {} if kind == "3d" else _contract(name)
    pretrained_at = contract["input_size"][-1] if contract else 0
    take("size", shape.size(found, pretrained_at, kind, grid, fixed=network.has_fixed_size(name) and kind != "3d"))
    channels = take("channels", shape.channels(kind, count, windows, rule))
    own = {"mean": list(contract.get("mean", ())), "std": list(contract.get("std", ()))}
    take("normalisation", shape.normalisation(own, channels, kind))
    take("augmentation", shape.augmentation(found, wishes.side_free, rule))


def _dimension(found: Fingerprint, wishes: Wishes, device: str, rule: str) -> Decision[str]:
    """The rule, unless a backbone that was asked for leaves no choice."""
    name = wishes.decisions.get("backbone")
    only = network.dimension_of(name) if isinstance(name, str) else None
    if found.frames > 1 and only is not None:
        return Decision(value=only, reason=f"{name}, which was asked for, is a {only.replace('.5', '')} network")
    given = wishes.decisions.get("weights")
    at_hand_2d = at_hand(network.BACKBONE).source != "none"
    pretrained = at_hand_2d if given is None else given.source != "none"
    return shape.dimension(found, device, rule, pretrained=pretrained, volume_weights=_of_volumes(given))


def _of_volumes(weights: Weights | None) -> bool:
    """Say whether a file holds a 3D network; one that cannot be read is spoken of when it is loaded."""
    if weights is None or weights.path is None:
        return False
    try:
        return any(value.ndim == VOLUME_KERNEL for value in read_tensors(Path(weights.path)).values())
    except WeightsError:
        return False


def _network(take: _Decisions, found: Fingerprint) -> None:
    name, kind, count = take["backbone"], take["dimension"], take["slices"]
    weights = take("weights", network.weights(name))
    if kind != "3d":
        weights_file(name, weights)
    frozen = take("frozen", network.frozen(found, name, weights.source != "none"))
    take("head", network.head(name, frozen, kind))
    take("pooling", network.pooling(found, kind))
    take("cached_views", network.cached_views(found, frozen, count))
    take("cache_precision", learning.customary("cache_precision"))
    take("members", network.members(found, count, kind))


def _learning(take: _Decisions, found: Fingerprint, wishes: Wishes, device: str) -> None:
    pretrained, count = take["weights"].source != "none", take["slices"]
    voxels = count * take["size"][0] * take["size"][1] if take["dimension"] == "3d" else None
    take("dropout", learning.customary("dropout"))
    drawn = take("sampler", learning.sampler())
    take("loss", learning.loss(found, wishes.loss, drawn))
    take("accumulate", learning.accumulate(found, take("batch", learning.batch(found, count, voxels))))
    take("epochs", learning.epochs(found, pretrained))
    take("patience", learning.customary("patience"))
    take("learning_rate", learning.learning_rate(pretrained))
    take("backbone_rate", learning.backbone_rate(pretrained, count))
    for name in ("layer_decay", "unfreeze", "schedule", "warm_up", "clip"):
        take(name, learning.customary(name))
    has_bf16 = device == "cuda" and torch.cuda.is_bf16_supported()
    take("precision", learning.precision(device, has_bf16=has_bf16))
    take("deterministic", learning.customary("deterministic"))
    take("batch_norm", learning.batch_norm(pretrained, count))
    take("weight_decay", learning.customary("weight_decay"))
    take("flip_at_test", shape.flip_at_test(take["augmentation"]))
    take("calibration", learning.customary("calibration"))
    take("operating_point", learning.customary("operating_point"))
    take("limits", Decision(value=Limits(), reason="what the machine has"))
    take("seed", learning.customary("seed"))


def _contract(backbone: str) -> dict[str, Any]:
    config = timm.get_pretrained_cfg(backbone) if timm.is_model(backbone) else None
    if config is None:
        raise WeightsError(
            f"timm knows no backbone named {backbone!r}", fix="Try resnet50, densenet121, efficientnet_b0."
        )
    return config.to_dict()
