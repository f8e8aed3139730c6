"""A head on all stages sees what a head on the last map sees, and more; it starts undecided."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from hounsfield.core import Plan
from hounsfield.errors import PlanError
from hounsfield.models import build, renew
from hounsfield.models.head import summary

Make = Callable[..., Plan]
SMALL: dict[str, Any] = {"backbone": "mobilenetv3_small_100", "members": 1, "flip_at_test": False}


@pytest.mark.parametrize("backbone", ["mobilenetv3_small_100", "resnet18", "tf_efficientnet_lite0"])
def test_features_are_those_of_every_stage_and_of_the_last_map(plan: Make, backbone: str) -> None:
    frozen = "through stage 2"
    network = build(plan(**{**SMALL, "backbone": backbone, "frozen": frozen, "head": "stages"}))
    plain = build(plan(**{**SMALL, "backbone": backbone, "frozen": frozen, "head": "last"}))
    tail, last = network.tails[0], plain.tails[0]
    with torch.inference_mode():
        activations = network.activate(torch.rand(2, 1, 3, 64, 64))[:, 0]
        found = tail.stage_features(activations)
        values, wanted = activations, [summary(activations)]
        stages = [names for names in last.groups or [] if names]
        for names in stages[:-1]:
            for name in names:
                values = last.model.get_submodule(name)(values)
            wanted.append(summary(values))
        for name in stages[-1]:
            values = last.model.get_submodule(name)(values)
        wanted.append(last.model.forward_head(values, pre_logits=True))
    torch.testing.assert_close(found, torch.cat(wanted, dim=1))
    assert tail.head is not None and tail.head.norm.num_features == found.shape[1]


def test_it_learns_and_is_new_for_every_member(plan: Make) -> None:
    settings = plan(("a", "b", "c"), **{**SMALL, "members": 2, "frozen": "through stage 2", "head": "stages"})
    network = build(settings)
    for number, tail in enumerate(network.tails):
        renew(tail, settings, number)
    first, second = (tail.head for tail in network.tails)
    assert first is not None and second is not None
    assert not torch.equal(first.classifier.weight, second.classifier.weight)
    assert first.classifier.weight.abs().max() < 0.1 and not first.classifier.bias.any()
    network.train()
    network(torch.rand(4, 1, 3, 64, 64)).sum().backward()
    stages = [name for names in network.tails[0].groups or [] for name in names]
    kernels = [parameter for name in stages for parameter in network.tails[0].model.get_submodule(name).parameters()]
    assert all(parameter.grad is not None for parameter in [*first.parameters(), *kernels])


def test_slices_pool_the_features_of_all_stages(plan: Make) -> None:
    settings = plan(**SMALL, frozen="through stage 2", head="stages", dimension="2.5d", pooling="gru", slices=3)
    network = build(settings)
    assert network.tails[0].head is None and network.tails[0].pooling is not None
    with torch.inference_mode():
        assert network(torch.rand(2, 3, 3, 64, 64)).shape == (2, 1)


@pytest.mark.parametrize("frozen", ["none", "all"])
def test_it_needs_a_cut_between_stages(plan: Make, frozen: str) -> None:
    with pytest.raises(PlanError, match="head: 'stages'") as caught:
        build(plan(**SMALL, frozen=frozen, head="stages"))
    assert "through stage" in str(caught.value.fix)
