"""Losses and the offsets that undo their class weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from hounsfield.core.plan import Loss
from hounsfield.train.losses import loss_of, offsets_of

BINARY = ["no", "yes"]
THREE = ["a", "b", "c"]


def _random(outputs: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(40, outputs, generator=generator), torch.randint(classes, (40,), generator=generator)


def test_weighted_cross_entropy_equals_torch() -> None:
    logits, target = _random(3, 3)
    weights = {"a": 0.5, "b": 1.0, "c": 3.0}
    ours = loss_of(Loss(class_weights=weights), THREE, logits, target)
    theirs = functional.cross_entropy(logits, target, weight=torch.tensor([0.5, 1.0, 3.0]))
    assert torch.allclose(ours, theirs)


def test_one_logit_equals_two_whose_first_is_zero() -> None:
    logits, target = _random(1, 2)
    plan = Loss(class_weights={"no": 0.7, "yes": 2.0})
    two = torch.cat([torch.zeros_like(logits), logits], dim=1)
    theirs = functional.cross_entropy(two, target, weight=torch.tensor([0.7, 2.0]))
    assert torch.allclose(loss_of(plan, BINARY, logits, target), theirs)


def test_focal_loss_is_cross_entropy_at_gamma_zero_and_smaller_above() -> None:
    logits, target = _random(3, 3)
    plain = loss_of(Loss(), THREE, logits, target)
    assert torch.allclose(loss_of(Loss(name="focal", gamma=0.0), THREE, logits, target), plain)
    # Lin 2017, equation 4: (1 - p)^gamma * cross-entropy, by hand for one case.
    one = loss_of(Loss(name="focal", gamma=2.0), BINARY, torch.tensor([[math.log(3.0)]]), torch.tensor([1]))
    assert float(one) == pytest.approx((1 - 0.75) ** 2 * -math.log(0.75), rel=1e-5)


@pytest.mark.parametrize("labels", [BINARY, THREE])
def test_offsets_bring_a_constant_model_back_to_the_prevalence(labels: list[str]) -> None:
    """The best constant answer to the weighted loss, after its offsets, is the prevalence."""
    counts = [60, 30, 10][: len(labels)]
    target = torch.cat([torch.full((count,), place) for place, count in enumerate(counts)])
    weights = {label: 1 / count for label, count in zip(labels, counts, strict=True)}
    plan = Loss(class_weights=weights)
    constant = torch.zeros(1 if len(labels) == 2 else len(labels), requires_grad=True)
    optimizer = torch.optim.LBFGS([constant], max_iter=100, tolerance_grad=1e-10)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss_of(plan, labels, constant.expand(len(target), -1), target)
        value.backward()
        return value

    optimizer.step(closure)
    moved = constant.detach() + torch.tensor(offsets_of(plan, labels))
    found = torch.sigmoid(moved) if len(labels) == 2 else torch.softmax(moved, dim=0)
    expected = [counts[1] / sum(counts)] if len(labels) == 2 else [count / sum(counts) for count in counts]
    assert found.tolist() == pytest.approx(expected, abs=1e-3)
