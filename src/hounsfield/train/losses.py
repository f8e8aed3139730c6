"""Losses that mind the class balance: weighted cross-entropy, and focal loss (Lin et al., ICCV 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch.nn import functional

from hounsfield.core.plan import Loss


def loss_of(plan: Loss, labels: Sequence[str], logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the mean loss of a batch, each case counted with the weight of its class.

    Parameters
    ----------
    labels:
        In class order; a binary task has two labels and one logit, of the second.
    logits:
        (n, outputs): one column for two classes, several for a softmax or for findings.
    target:
        (n,) class index; or (n, outputs) floats, 1 where a finding is present, 0 where it is absent, and NaN where that
        is not known, which adds nothing.
    """
    if target.ndim == 2:
        return _of_findings(plan, labels, logits, target)
    binary = logits.shape[1] == 1
    logs = functional.logsigmoid(torch.cat([-logits, logits], 1)) if binary else functional.log_softmax(logits, 1)
    kinds = logs.shape[1]
    wanted = functional.one_hot(target, kinds).to(logs.dtype) * (1 - plan.smoothing) + plan.smoothing / kinds
    each = -(wanted * _focused(plan, logs) * logs).sum(dim=1)
    weight = _weights(plan, labels, logits)[target]
    return (each * weight).sum() / weight.sum()


def offsets_of(weights: Mapping[str, float], labels: Sequence[str], *, multi_label: bool = False) -> list[float]:
    """Return what to add to each output so that probabilities follow the cohort's prevalence again.

    A loss weighted by w answers, at its best, with odds multiplied by the ratio of the weights; the logarithm of that
    ratio is taken off. One value for two classes, else one per class or finding.
    """
    logs = torch.tensor([weights.get(label, 1.0) for label in labels], dtype=torch.float64).log()
    if len(labels) == 2 and not multi_label:
        return [float(logs[0] - logs[1])]
    return [float(value) for value in -logs]


def _of_findings(plan: Loss, labels: Sequence[str], logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    known = ~target.isnan()
    state = torch.where(known, target, 0.0)
    wanted = state * (1 - plan.smoothing) + plan.smoothing / 2
    present, absent = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    each = -(wanted * _focused(plan, present) * present + (1 - wanted) * _focused(plan, absent) * absent)
    weight = torch.where(state == 1, _weights(plan, labels, logits), 1.0) * known
    return (each * weight).sum() / weight.sum().clamp_min(1e-12)


def _focused(plan: Loss, logs: torch.Tensor) -> torch.Tensor | float:
    """(1 - p)^gamma: what is answered rightly already counts less."""
    if plan.name != "focal":
        return 1.0
    return (1 - logs.exp()).clamp_min(0) ** plan.gamma


def _weights(plan: Loss, labels: Sequence[str], like: torch.Tensor) -> torch.Tensor:
    return torch.tensor([plan.class_weights.get(label, 1.0) for label in labels], dtype=like.dtype, device=like.device)
