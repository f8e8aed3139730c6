"""What learns, and how fast: the optimizer's groups, the schedule of the rate, and gradual unfreezing."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from hounsfield.core.plan import Plan
from hounsfield.models import Tail


def optimiser(tail: Tail, plan: Plan) -> torch.optim.Optimizer:
    """Return AdamW (Loshchilov & Hutter, ICLR 2019): the head first, at the full rate; then the stages, last stage first.

    A stage learns at `backbone_rate` of the head's rate, and at `layer_decay` of the rate of the stage after it. Weight
    decay is for matrices and kernels; norms and biases have no size to keep small.
    """
    groups: list[dict[str, Any]] = []
    for place, parameters in enumerate(_by_stage(tail)):
        share = 1.0 if place == 0 else plan.backbone_rate.value * plan.layer_decay.value ** (place - 1)
        for is_kernel, decay in ((True, plan.weight_decay.value), (False, 0.0)):
            chosen = [parameter for parameter in parameters if (parameter.ndim > 1) == is_kernel]
            if chosen:
                groups.append({"params": chosen, "lr": plan.learning_rate.value * share, "weight_decay": decay})
    return torch.optim.AdamW(groups)


def schedule(optimizer: torch.optim.Optimizer, plan: Plan, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    """Return the rate's course over all steps: one cycle (Smith 2018), or a cosine after a linear warm-up (Goyal 2017)."""
    if plan.schedule.value == "one-cycle":
        rates = [group["lr"] for group in optimizer.param_groups]
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=steps, pct_start=plan.warm_up.value)
    rising = plan.warm_up.value * steps

    def share(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1.0, steps - rising)))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, share)


def unfreeze(tail: Tail, plan: Plan, epoch: int) -> None:
    """Let the stages learn that the plan's `unfreeze` gives to this epoch: the head at once, then one more every so often.

    A stage that waits keeps its weights, and its batch norm stays in evaluation mode. (Howard & Ruder, ACL 2018.)
    """
    every = plan.unfreeze.value
    if not every:
        return
    for place, parameters in enumerate(_by_stage(tail)):
        for parameter in parameters:
            parameter.requires_grad_(place <= epoch // every)
    for module in tail.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
            module.train(all(parameter.requires_grad for parameter in module.parameters()))


def _by_stage(tail: Tail) -> list[list[nn.Parameter]]:
    """The head's parameters, then those of the stages from the last to the first; all but the head are one stage where
    the backbone has none.
    """
    stages: list[list[nn.Parameter]] = []
    for names in reversed(tail.groups or []):
        stages.append([parameter for name in names for parameter in tail.model.get_submodule(name).parameters()])
    placed = {id(parameter) for stage in stages for parameter in stage}
    classifier = tail.model.get_classifier()
    ends = [module for module in (classifier, tail.head, tail.pooling) if module is not None]
    head = [parameter for module in ends for parameter in module.parameters()]
    placed |= {id(parameter) for parameter in head}
    rest = [parameter for parameter in tail.parameters() if id(parameter) not in placed]
    return [head, *[stage for stage in [rest, *stages] if stage]]
