"""Any number of channels: equal channels give what three equal channels give. And 2D backbones are cut by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import adapt_input_conv

from hounsfield.core.plan import Weights
from hounsfield.errors import PlanError, WeightsError
from hounsfield.models.stages import frozen_groups, stage_names
from hounsfield.models.weights import adapted_stem, pretrained

LITE = "tf_efficientnet_lite0"
BACKBONES = ("resnet50", "densenet121", "efficientnet_b0")


@pytest.fixture(params=["packaged", "cache", "file", "hub", "foreign names"])
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[str, Weights]:
    """A backbone and a choice of weights of every kind; caches and hub are ours."""
    if request.param == "packaged":
        return LITE, Weights(source="packaged")
    torch.manual_seed(0)
    flat = timm.create_model("resnet18")
    path = tmp_path / "w.pth"
    tensors = flat.state_dict()
    if request.param == "foreign names":
        tensors = {f"t{number:04d}": value for number, value in enumerate(tensors.values())}
    torch.save(tensors, path)
    if request.param == "cache":
        monkeypatch.setattr("hounsfield.models.weights.cached_file", lambda backbone: path)
        return "resnet18", Weights(source="cache")
    if request.param == "hub":
        create = timm.create_model
        monkeypatch.setattr(
            timm, "create_model", lambda name, pretrained, **rest: flat if pretrained else create(name, **rest)
        )
        return "resnet18", Weights(source="hub")
    return "resnet18", Weights(source="file", path=str(path))


def features(model: Any, image: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model.eval().forward_features(image)
        return found


@pytest.mark.parametrize("channels", [1, 2, 5, 6])
def test_equal_channels_answer_as_three(source: tuple[str, Weights], channels: int) -> None:
    grey = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    wanted = features(pretrained(*source, num_classes=1), grey.repeat(1, 3, 1, 1))
    model = pretrained(*source, num_classes=1, in_chans=channels)
    found = features(model, grey.repeat(1, channels, 1, 1))
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    assert wanted.std() > 1e-2
    if channels > 1:  # and channels are told apart
        other = torch.cat([grey, torch.zeros(2, channels - 1, 64, 64)], dim=1)
        assert (features(model, other) - wanted).abs().max() > 1e-2


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_family(backbone: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_file(timm.create_model(backbone).state_dict(), tmp_path / "w.safetensors")
    weights = Weights(source="file", path=str(tmp_path / "w.safetensors"))
    grey = torch.rand(1, 1, 64, 64)
    wanted = features(pretrained(backbone, weights), grey.repeat(1, 3, 1, 1))
    for channels in (1, 2):
        found = features(pretrained(backbone, weights, in_chans=channels), grey.repeat(1, channels, 1, 1))
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_where_timms_rule_is_exact_ours_is_the_same() -> None:
    kernel = torch.randn(8, 3, 3, 3)
    for channels in (1, 3, 6, 9):
        torch.testing.assert_close(adapted_stem(kernel, channels), adapt_input_conv(channels, kernel.clone()))
    for channels in range(1, 12):
        torch.testing.assert_close(adapted_stem(kernel, channels).sum(dim=1), kernel.sum(dim=1))
    assert adapted_stem(kernel.half(), 4).dtype == torch.half
    assert adapted_stem(torch.randn(8, 3, 7, 7, 7), 2).shape == (8, 2, 7, 7, 7)


def test_a_file_made_for_the_same_channels_is_taken_as_it_is(tmp_path: Path) -> None:
    source = timm.create_model("resnet18", in_chans=2)
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    weights = Weights(source="file", path=str(tmp_path / "w.safetensors"))
    assert torch.equal(pretrained("resnet18", weights, in_chans=2).conv1.weight, source.conv1.weight)
    with pytest.raises(WeightsError, match=r"conv1.weight has shape \(64, 2, 7, 7\) instead of \(64, 4, 7, 7\)"):
        pretrained("resnet18", weights, in_chans=4)


STEMS = {
    "resnet50": ["conv1", "bn1", "act1", "maxpool"],
    "densenet121": ["features.conv0", "features.norm0", "features.pool0"],
    "efficientnet_b0": ["conv_stem", "bn1"],
    LITE: ["conv_stem", "bn1"],
}


@pytest.mark.parametrize("backbone", STEMS)
def test_stages_by_name(backbone: str) -> None:
    model: Any = timm.create_model(backbone, num_classes=1).eval()
    groups = stage_names(model)
    assert groups is not None
    count = 4 if backbone in ("resnet50", "densenet121") else 7
    stages = {
        "resnet50": lambda number: [f"layer{number}"],
        "densenet121": lambda number: (
            [f"features.denseblock{number}"] + ([f"features.transition{number}"] if number < 4 else [])
        ),
    }.get(backbone, lambda number: [f"blocks.{number - 1}"])
    assert groups[0] == STEMS[backbone]
    assert groups[1:-1] == [stages(number) for number in range(1, count + 1)]
    assert groups[-1] == {"resnet50": [], "densenet121": ["features.norm5"]}.get(backbone, ["conv_head", "bn2"])
    words = ["none", "stem", *(f"through stage {number}" for number in range(1, count + 1)), "all"]
    assert [frozen_groups(word, groups) for word in words] == [*range(count + 2), -1]
    with pytest.raises(PlanError, match=f"through stage {count + 1}"):
        frozen_groups(f"through stage {count + 1}", groups)
    inputs = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        wanted = model.forward_features(inputs)
        for name in [name for group in groups for name in group]:
            inputs = model.get_submodule(name)(inputs)
    torch.testing.assert_close(inputs, wanted)
