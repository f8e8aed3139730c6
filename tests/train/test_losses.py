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
    moved = constant.detach() + torch.tensor(offsets_of(weights, labels))
    found = torch.sigmoid(moved) if len(labels) == 2 else torch.softmax(moved, dim=0)
    expected = [counts[1] / sum(counts)] if len(labels) == 2 else [count / sum(counts) for count in counts]
    assert found.tolist() == pytest.approx(expected, abs=1e-3)


def test_smoothing_equals_torch() -> None:
    logits, target = _random(3, 3)
    theirs = functional.cross_entropy(logits, target, label_smoothing=0.1)
    assert torch.allclose(loss_of(Loss(smoothing=0.1), THREE, logits, target), theirs)
    # With one logit the share goes to both answers: 0.95 of the true one at 0.1.
    one = loss_of(Loss(smoothing=0.1), BINARY, torch.tensor([[math.log(3.0)]]), torch.tensor([1]))
    assert float(one) == pytest.approx(-0.95 * math.log(0.75) - 0.05 * math.log(0.25), rel=1e-5)


def test_weights_by_hand() -> None:
    """Two cases of weight 3 and 1, right with 0.75 and 0.5: (3 · -ln 0.75 + 1 · -ln 0.5) / 4."""
    plan = Loss(class_weights={"no": 1.0, "yes": 3.0})
    found = loss_of(plan, BINARY, torch.tensor([[math.log(3.0)], [0.0]]), torch.tensor([1, 0]))
    assert float(found) == pytest.approx((3 * -math.log(0.75) - math.log(0.5)) / 4, rel=1e-6)
    focusing = plan.model_copy(update={"name": "focal", "gamma": 1.0})
    focal = loss_of(focusing, BINARY, torch.tensor([[math.log(3.0)], [0.0]]), torch.tensor([1, 0]))
    assert float(focal) == pytest.approx((3 * 0.25 * -math.log(0.75) - 0.5 * math.log(0.5)) / 4, rel=1e-6)


def test_findings_equal_torch_and_count_by_their_positive_weights() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(30, 3, generator=generator)
    target = torch.randint(2, (30, 3), generator=generator).float()
    plain = functional.binary_cross_entropy_with_logits(logits, target)
    assert torch.allclose(loss_of(Loss(), THREE, logits, target), plain)
    weights = torch.tensor([1.0, 4.0, 9.0])
    summed = functional.binary_cross_entropy_with_logits(logits, target, pos_weight=weights, reduction="sum")
    total = torch.where(target == 1, weights, 1.0).sum()
    found = loss_of(Loss(class_weights={"b": 4.0, "c": 9.0}), THREE, logits, target)
    assert torch.allclose(found, summed / total)


def test_what_is_not_known_of_a_finding_teaches_nothing() -> None:
    logits = torch.tensor([[0.3, -1.0], [2.0, 0.5]], requires_grad=True)
    target = torch.tensor([[1.0, float("nan")], [0.0, 1.0]])
    value = loss_of(Loss(), ["a", "b"], logits, target)
    value.backward()
    known = functional.binary_cross_entropy_with_logits(logits.detach()[~target.isnan()], target[~target.isnan()])
    assert torch.allclose(value, known)
    assert logits.grad is not None and logits.grad[0, 1] == 0 and (logits.grad != 0).sum() == 3
    nothing = loss_of(Loss(), ["a", "b"], logits, torch.full((2, 2), float("nan")))
    assert float(nothing) == 0 and nothing.requires_grad


def test_two_findings_have_offsets_of_their_own() -> None:
    assert offsets_of({"b": 4.0}, ["a", "b"], multi_label=True) == pytest.approx([0.0, -math.log(4)])
    assert offsets_of({"b": 4.0}, ["a", "b"]) == pytest.approx([-math.log(4)])
