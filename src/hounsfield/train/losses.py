"""Losses that mind the class balance: weighted cross-entropy, and focal loss (Lin et al., ICCV 2017)."""

from __future__ import annotations

import torch
from torch.nn import functional

from hounsfield.core.plan import Loss


def loss_of(plan: Loss, labels: list[str], logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the mean loss of a batch, each case counted with the weight of its class.

    Parameters
    ----------
    labels:
        Labels in class order; a binary task has two labels and one logit, of the second.
    logits:
        (n, outputs): one column for a sigmoid, several for a softmax.
    target:
        (n,), class index.
    """
    weights = torch.tensor(
        [plan.class_weights.get(label, 1.0) for label in labels], dtype=logits.dtype, device=logits.device
    )
    if logits.shape[1] == 1:
        signed = torch.where(target == 1, logits[:, 0], -logits[:, 0])
        log_right = functional.logsigmoid(signed)
    else:
        log_right = functional.log_softmax(logits, dim=1).gather(1, target[:, None])[:, 0]
    each = -log_right
    if plan.name == "focal":
        each = each * (1 - log_right.exp()).clamp_min(0) ** plan.gamma
    weight = weights[target]
    return (each * weight).sum() / weight.sum()


def offsets_of(plan: Loss, labels: list[str]) -> list[float]:
    """Return what to add to each output so that probabilities follow the cohort's prevalence again.

    A loss weighted by w answers, at its best, with odds multiplied by the ratio of the weights; the logarithm of that
    ratio is taken off. One value for a binary task, one per class otherwise.
    """
    weights = [plan.class_weights.get(label, 1.0) for label in labels]
    logs = torch.tensor(weights, dtype=torch.float64).log()
    if len(labels) == 2:
        return [float(logs[0] - logs[1])]
    return [float(value) for value in -logs]
