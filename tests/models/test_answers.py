"""What a network tells beside its logits: a map that adds up to them, and what the input check asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from hounsfield.core import Plan
from hounsfield.models import Answers, Network, build, renew

Make = Callable[..., Plan]
SMALL = {"backbone": "resnet10t", "frozen": "through stage 2", "head": "last", "members": 2, "flip_at_test": False}


def made(plan: Make, **decisions: Any) -> Network:
    settings = plan(("a", "b", "c"), **{**SMALL, **decisions})
    network = build(settings)
    for number, member in enumerate(network.tails):
        renew(member, settings, number)
        if member.pooling is None and member.head is None:
            member.model.get_classifier().weight.data.mul_(50)  # so that members differ by more than rounding
            member.model.get_classifier().bias.data.uniform_(-1, 1)
    return network.eval()


def told(network: Network, inputs: torch.Tensor, *, several: bool) -> dict[str, torch.Tensor]:
    answers = Answers(network, inputs, several=several)
    with torch.inference_mode():
        return dict(zip(answers.tells, answers(inputs), strict=True))


def bias_of(network: Network) -> torch.Tensor:
    return torch.stack([tail.model.get_classifier().bias for tail in network.tails]).mean(dim=0).detach()


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("slices", [1, 3])
def test_the_mean_of_the_map_and_the_bias_is_the_logit(plan: Make, flip: bool, slices: int) -> None:
    network = made(plan, flip_at_test=flip, dimension="2d" if slices == 1 else "2.5d", slices=slices)
    inputs = torch.rand(2, slices, 3, 64, 96)
    found = told(network, inputs, several=slices > 1)
    with torch.inference_mode():
        wanted = network(inputs)
    torch.testing.assert_close(found["logits"], wanted)
    assert found["class_map"].shape == (2, *((slices,) if slices > 1 else ()), 3, 2, 3)
    cells = found["class_map"].mean(dim=(-2, -1))
    joined = cells.mean(dim=1) if slices > 1 else cells
    torch.testing.assert_close(joined + bias_of(network), wanted, atol=1e-4, rtol=1e-4)
    assert ("slice_weights" in found) == (slices > 1) and "embedding" in found


@pytest.mark.parametrize("frozen", ["none", "all"])
def test_maps_with_the_channels_last_are_turned(plan: Make, frozen: str) -> None:
    """Swin's map is (n, h, w, channels): read in the other order, its cells would not add up, nor its map be a map."""
    network = made(plan, backbone="swin_tiny_patch4_window7_224", frozen=frozen, size=[224, 224], members=1)
    inputs = torch.rand(2, 1, 3, 224, 224)
    with torch.inference_mode():
        tail = network.tails[0]
        assert tail.maps(network.activate(inputs).flatten(0, 1)).shape == (2, 768, 7, 7)
        found, wanted = told(network, inputs, several=False), network(inputs)
        whole = tail.model.eval()
    torch.testing.assert_close(found["logits"], wanted)
    torch.testing.assert_close(found["class_map"].mean(dim=(-2, -1)) + bias_of(network), wanted, atol=1e-4, rtol=1e-4)
    if frozen == "none":
        with torch.inference_mode():
            torch.testing.assert_close(wanted, whole(inputs[:, 0]))


@pytest.mark.parametrize("shape", [(64, 64), (64, 96), (96, 64)])
def test_an_embedding_is_of_channels_and_not_of_columns(plan: Make, shape: tuple[int, int]) -> None:
    """Mean and spread of each channel, whatever the shape of the image and the order of the backbone."""
    for backbone, cells in (("mambaout_femto", (1, 2)), ("resnet10t", (2, 3))):
        network = made(plan, backbone=backbone, members=1)
        inputs = torch.rand(2, 1, 3, *shape)
        with torch.inference_mode():
            found, values = network.embedded(network.activate(inputs)), network.front(inputs[:, 0])
        wanted = torch.cat([values.mean(dim=cells), values.flatten(*cells).std(dim=1 if cells == (1, 2) else 2)], dim=1)
        assert found is not None
        torch.testing.assert_close(found, wanted)


def test_the_map_is_grad_cam_before_its_relu(plan: Make) -> None:
    network = made(plan, members=1)
    inputs = torch.rand(1, 1, 3, 64, 96)
    found = told(network, inputs, several=False)["class_map"][0]
    kept: dict[str, torch.Tensor] = {}
    hook = network.tails[0].last_map.register_forward_hook(
        lambda _, __, values: kept.setdefault("map", values.requires_grad_())
    )
    logits = network.judge(inputs)[0][0, 0]
    hook.remove()
    for place in range(3):
        (gradient,) = torch.autograd.grad(logits[place], kept["map"], retain_graph=True)
        grad_cam = (gradient.mean(dim=(2, 3), keepdim=True) * kept["map"]).sum(dim=1)[0]
        torch.testing.assert_close(found[place], (grad_cam * grad_cam.numel()).detach(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("decisions", "slices"),
    [
        ({"head": "stages"}, 1),
        ({"backbone": "mobilenetv3_small_100"}, 1),  # layers between the mean and the classifier
        ({"backbone": "vit_tiny_patch16_224", "frozen": "none", "size": [224, 224]}, 1),
        ({"dimension": "2.5d", "pooling": "lstm", "slices": 3}, 3),
    ],
)  # fmt: skip
def test_where_it_is_not_exact_there_is_no_map(plan: Make, decisions: dict[str, Any], slices: int) -> None:
    side = 224 if "size" in decisions else 64
    found = told(made(plan, **decisions), torch.rand(2, slices, 3, side, side), several=slices > 1)
    assert "class_map" not in found and "logits" in found


def test_embedding_and_weights_are_those_of_the_network(plan: Make) -> None:
    network = made(plan, dimension="2.5d", pooling="attention", slices=4)
    for tail in network.tails:
        assert tail.pooling is not None
        tail.pooling.score.weight.data.normal_()
    inputs = torch.rand(2, 4, 3, 64, 64)
    found = told(network, inputs, several=True)
    with torch.inference_mode():
        logits, weights, embedding = network.judge_and_embed(inputs)
    assert weights is not None and embedding is not None and float(weights.std()) > 1e-3
    torch.testing.assert_close(found["logits"], logits.mean(dim=1))
    torch.testing.assert_close(found["slice_weights"], weights)
    torch.testing.assert_close(found["embedding"], embedding)
