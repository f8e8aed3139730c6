"""Wherever a backbone is cut, front and tail together are the backbone."""

from __future__ import annotations

import copy
from functools import cache

import pytest
import timm
import torch
from torch import nn

from hounsfield.errors import PlanError
from hounsfield.models import cut
from hounsfield.models.volume import volume_model

STAGES = {
    "resnet18": 4,
    "densenet121": 4,
    "efficientnet_b0": 7,
    "tf_efficientnet_lite0": 7,
    "mobilenetv3_small_100": 6,
    "convnext_atto": 4,
    "vit_tiny_patch16_224": 0,
}


def places(backbone: str) -> list[str]:
    stages = [f"through stage {number}" for number in range(1, STAGES[backbone] + 1)]
    return ["none", *(["stem", *stages] if stages else []), "all"]


ALL = [(backbone, frozen) for backbone in STAGES for frozen in places(backbone)]


@cache
def whole(backbone: str) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    model = timm.create_model(backbone, pretrained=False, num_classes=3).eval()
    for module in model.modules():  # untrained statistics are 0 and 1, which would hide a norm that was lost
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    size = 224 if backbone.startswith("vit") else 64
    inputs = torch.rand(2, 3, size, size)
    with torch.inference_mode():
        return model, inputs, model(inputs)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("backbone", "frozen"), ALL)
def test_front_and_tail_are_the_model(backbone: str, frozen: str) -> None:
    model, inputs, wanted = whole(backbone)
    front, tail = cut(copy.deepcopy(model), frozen, shape=(3, 64, 64))
    with torch.inference_mode():
        found = tail.eval()(front.eval()(inputs)[:, None])
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert (count(front) > 0) == (frozen != "none")
    assert count(tail) >= count(model.get_classifier())
    if frozen == "all":  # norms and convolutions between features and classifier may stand on both sides
        assert count(model) <= count(front) + count(tail) < 1.5 * count(model)
        assert count(tail) < 0.5 * count(model)
    else:
        assert count(front) + count(tail) == count(model), "no weight is lost, and none is kept twice"


@pytest.mark.parametrize("backbone", ["tf_efficientnet_lite0", "resnet10_half"])
def test_what_is_trained_whole_shows_its_finer_maps_too(backbone: str) -> None:
    """Grad-CAM stands on the last map of 7 cells a side, in 2D and in a volume; the very last one may have 2."""
    shape = (1, 16, 32, 32) if backbone.startswith("resnet10") else (3, 64, 64)
    if len(shape) == 4:
        model: nn.Module = volume_model(backbone, num_classes=1, in_chans=1, size=shape[1:])
    else:
        model = timm.create_model(backbone, pretrained=False, num_classes=1)
    _, tail = cut(model.eval(), "none", shape=shape)
    values, sides = torch.zeros(1, *shape), []
    for name in tail.chain or []:
        values = tail.model.get_submodule(name)(values)
        sides.append(values.shape[-1])
    assert 8 in sides and sides[-1] == 2


@pytest.mark.parametrize("backbone", [backbone for backbone in STAGES if STAGES[backbone]])
def test_each_stage_freezes_more(backbone: str) -> None:
    model, _, _ = whole(backbone)
    sizes = [count(cut(copy.deepcopy(model), frozen, shape=(3, 64, 64))[0]) for frozen in places(backbone)]
    assert sizes == sorted(sizes)
    assert len(set(sizes[:-1])) == len(sizes) - 1


@pytest.mark.parametrize(
    ("backbone", "frozen", "inside"),
    [
        ("resnet18", "stem", "conv1 bn1"),
        ("resnet18", "through stage 2", "conv1 bn1 layer1 layer2"),
        ("densenet121", "stem", "features.conv0 features.norm0"),
        ("densenet121", "through stage 1", "features.conv0 features.norm0 features.denseblock1 features.transition1"),
        ("tf_efficientnet_lite0", "through stage 2", "conv_stem bn1 blocks.0 blocks.1"),
        ("convnext_atto", "through stage 1", "stem stages.0"),
    ],
)
def test_a_stage_is_the_same_layers_for_everyone(backbone: str, frozen: str, inside: str) -> None:
    model, _, _ = whole(backbone)
    wanted = sum(count(model.get_submodule(name)) for name in inside.split())
    assert count(cut(copy.deepcopy(model), frozen, shape=(3, 64, 64))[0]) == wanted


@pytest.mark.parametrize(
    ("backbone", "frozen"),
    [
        ("resnet18", "through stage 5"),
        ("resnet18", "through stage 0"),
        ("resnet18", "stages"),
        ("vit_tiny_patch16_224", "stem"),
    ],
)
def test_impossible_places_are_answered_with_the_possible(backbone: str, frozen: str) -> None:
    with pytest.raises(PlanError, match="frozen") as caught:
        cut(copy.deepcopy(whole(backbone)[0]), frozen, shape=(3, 64, 64))
    stages = STAGES[backbone]
    assert str(caught.value.fix) == f"Choose from: none, {f'stem, through stage 1…{stages}, ' if stages else ''}all."


def test_one_channel() -> None:
    model = timm.create_model("resnet18", pretrained=False, num_classes=1, in_chans=1).eval()
    inputs = torch.rand(1, 1, 64, 64)
    wanted = model(inputs)
    front, tail = cut(model, "through stage 2", shape=(1, 64, 64))
    torch.testing.assert_close(tail(front(inputs)[:, None]), wanted)
