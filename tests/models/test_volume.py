"""3D networks: timm's interface, stems fit for small volumes, one vocabulary of stages, weights from 3D and 2D files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from monai.networks.nets import resnet
from monai.networks.nets.densenet import DenseNet121
from safetensors.torch import save_file
from torch import nn

from hounsfield.core.plan import Weights
from hounsfield.errors import PlanError, WeightsError
from hounsfield.models.inflate import inflated, pretrained_volume
from hounsfield.models.stages import frozen_groups, stage_names
from hounsfield.models.volume import VOLUME_BACKBONES, VolumeNetwork, stem_strides, volume_model

SMALL = (16, 16, 16)


def from_file(path: Path) -> Weights:
    return Weights(source="file", path=str(path))


def with_statistics(model: nn.Module) -> Any:
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()


def load(backbone: str, path: Path, size: tuple[int, ...] = SMALL, in_chans: int = 3) -> VolumeNetwork:
    return pretrained_volume(backbone, from_file(path), size=size, num_classes=2, in_chans=in_chans).eval()


@pytest.mark.parametrize("backbone", VOLUME_BACKBONES)
def test_speaks_timms_language(backbone: str) -> None:
    model = volume_model(backbone, num_classes=2, in_chans=1, drop_rate=0.5, size=SMALL).eval()
    inputs = torch.rand(2, 1, *SMALL)
    with torch.inference_mode():
        features = model.forward_features(inputs)
        assert features.shape[:2] == (2, model.num_features)
        assert features.shape[2:] == (2, 2, 2)
        assert (features >= 0).all()
        logits = model.forward_head(features)
        torch.testing.assert_close(model(inputs), logits)
        pooled = model.forward_head(features, pre_logits=True)
        torch.testing.assert_close(pooled, features.mean(dim=(2, 3, 4)))
        torch.testing.assert_close(model.get_classifier()(pooled), logits)
    assert model.default_cfg["input_size"] == (1, *SMALL)
    model.reset_classifier(5)
    assert model(inputs).shape == (2, 5)
    model.reset_classifier(0)
    assert model(inputs).shape == (2, model.num_features)


def test_dropout_stands_before_the_classifier() -> None:
    model = volume_model("resnet10", num_classes=1, in_chans=1, drop_rate=0.5, size=SMALL).train()
    pooled = model.forward_head(torch.ones(1, 512, 2, 2, 2), pre_logits=True)
    assert set(pooled[0].tolist()) == {0.0, 2.0}


@pytest.mark.parametrize(
    ("size", "backbone", "total", "cells"),
    [
        ((16, 16, 16), "densenet121", (8, 8, 8), (2, 2, 2)),
        ((28, 28, 28), "densenet121", (8, 8, 8), (3, 3, 3)),
        ((47, 48, 95), "densenet121", (8, 16, 16), (5, 3, 6)),
        ((24, 96, 128), "densenet121", (8, 32, 32), (3, 3, 4)),
        ((16, 16, 16), "resnet10", (8, 8, 8), (2, 2, 2)),
        ((28, 28, 28), "resnet18_half", (16, 16, 16), (2, 2, 2)),
        ((47, 48, 95), "resnet10", (16, 16, 16), (3, 3, 6)),
        ((23, 96, 128), "resnet10", (8, 32, 32), (3, 3, 4)),
    ],
)
def test_small_volumes_are_divided_less(size: tuple[int, ...], backbone: str, total: Any, cells: Any) -> None:
    convolution, pooling = stem_strides(size, dense=backbone == "densenet121")
    assert tuple(8 * first * second for first, second in zip(convolution, pooling, strict=True)) == total
    with torch.device("meta"):
        model = volume_model(backbone, num_classes=1, in_chans=1, size=size).eval()
        assert model.forward_features(torch.zeros(1, 1, *size)).shape[2:] == cells


def test_half_the_channels_are_a_quarter_of_the_weights() -> None:
    with torch.device("meta"):
        whole, half = (
            sum(p.numel() for p in volume_model(name, num_classes=1, in_chans=1, size=SMALL).parameters())
            for name in ("resnet18", "resnet18_half")
        )
    assert 3.8 < whole / half < 4.2


def test_impossible_networks() -> None:
    with pytest.raises(PlanError, match="'vit'") as caught:
        volume_model("vit", num_classes=1, in_chans=1, size=SMALL)
    assert str(caught.value.fix) == f"Choose from: {', '.join(VOLUME_BACKBONES)}."
    for size in ((15, 64, 64), (64, 64, 8), (64, 64)):
        with pytest.raises(PlanError, match="too small") as caught:
            volume_model("resnet10", num_classes=1, in_chans=1, size=size)
        assert "16 voxels" in str(caught.value.fix)


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50", "densenet121"])
def test_stages(backbone: str) -> None:
    model = with_statistics(volume_model(backbone, num_classes=1, in_chans=1, size=(48, 16, 16)))
    groups = stage_names(model)
    assert groups is not None
    names = {
        "resnet": [["conv1", "bn1", "act1", "maxpool"], ["layer1"], ["layer2"], ["layer3"], ["layer4"], []],
        "densenet": [
            ["features.conv0", "features.norm0", "features.relu0", "features.pool0"],
            *([f"features.denseblock{number}", f"features.transition{number}"] for number in (1, 2, 3)),
            ["features.denseblock4"],
            ["features.norm5", "features.relu5"],
        ],
    }
    assert groups == names[backbone.rstrip("0158").rstrip("12")]
    inputs = torch.rand(1, 1, 48, 16, 16)
    with torch.inference_mode():
        wanted = model.forward_features(inputs)
        for name in [name for group in groups for name in group]:
            inputs = model.get_submodule(name)(inputs)
    assert torch.equal(inputs, wanted)
    words = ["none", "stem", *(f"through stage {number}" for number in (1, 2, 3, 4)), "all"]
    assert [frozen_groups(word, groups) for word in words] == [0, 1, 2, 3, 4, 5, -1]
    with pytest.raises(PlanError, match="through stage 5"):
        frozen_groups("through stage 5", groups)


def test_gradients_reach_the_stem() -> None:
    """MONAI's shortcuts of type A cut them; nothing here may."""
    model = volume_model("resnet18", num_classes=1, in_chans=1, size=SMALL)
    for block in model.modules():
        if isinstance(block, resnet.ResNetBlock):
            nn.init.zeros_(block.bn2.weight)  # what is left is the shortcuts
    model(torch.rand(2, 1, 16, 16, 16)).sum().backward()
    gradient = model.get_submodule("conv1").weight.grad
    assert isinstance(gradient, torch.Tensor)
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50", "densenet121"])
def test_inflated_weights_answer_as_in_2d(backbone: str, tmp_path: Path) -> None:
    """Equal slices: stem and first stage give, far from the ends, what the 2D network gives for one slice."""
    torch.manual_seed(0)
    flat = with_statistics(timm.create_model(backbone, num_classes=7))
    save_file(flat.state_dict(), tmp_path / "w.safetensors")
    model = load(backbone, tmp_path / "w.safetensors", size=(96, 96, 96))
    image = torch.rand(2, 3, 32, 32)
    volume = image[:, :, None].expand(-1, -1, 96, -1, -1)
    groups, flat_groups = stage_names(model), stage_names(flat)
    assert groups is not None and flat_groups is not None
    with torch.inference_mode():
        for group, flat_group in zip(groups[:2], flat_groups[:2], strict=True):
            for name in group:
                volume = model.get_submodule(name)(volume)
            for name in flat_group:
                image = flat.get_submodule(name)(image)
            middle = volume[:, :, volume.shape[2] // 2]
            torch.testing.assert_close(middle, image, atol=1e-4, rtol=1e-3)
            assert image.std() > 0.01
    assert model.get_classifier().weight.shape[0] == 2


@pytest.mark.parametrize("backbone", ["resnet18", "densenet121"])
@pytest.mark.parametrize("named", [True, False])
def test_every_tensor_is_inflated(backbone: str, named: bool, tmp_path: Path) -> None:
    """Each tensor, summed over depth, is the 2D one; by its name, and by its place where the names are foreign."""
    torch.manual_seed(0)
    flat = with_statistics(timm.create_model(backbone, num_classes=7)).state_dict()
    stored = flat if named else {f"t{number:04d}": value for number, value in enumerate(flat.values())}
    stored = stored if named else {key: stored[key] for key in list(stored)[:-2]}  # no head
    torch.save(stored, tmp_path / "w.pth")
    fresh = volume_model(backbone, num_classes=2, in_chans=3, size=SMALL).state_dict()
    compared = 0
    for name, value in load(backbone, tmp_path / "w.pth").state_dict().items():
        if name.startswith(("fc", "classifier")) or name.endswith("tracked"):
            continue
        source = flat[name.replace(".layers.", ".")]
        torch.testing.assert_close(value.sum(dim=2) if value.ndim == 5 else value, source, atol=1e-6, rtol=1e-5)
        if value.ndim == 5:
            assert not torch.equal(value, fresh[name])
            assert torch.equal(value[:, :, 0], value[:, :, -1])
        compared += 1
    assert compared == sum(not name.endswith("tracked") for name in flat) - 2


@pytest.mark.parametrize("in_chans", [1, 2, 5])
def test_inflated_stems_take_any_number_of_channels(in_chans: int, tmp_path: Path) -> None:
    save_file(timm.create_model("resnet18").state_dict(), tmp_path / "w.safetensors")
    grey = torch.rand(1, 1, 16, 16, 16)
    with torch.inference_mode():
        wanted = load("resnet18", tmp_path / "w.safetensors").forward_features(grey.repeat(1, 3, 1, 1, 1))
        model = load("resnet18", tmp_path / "w.safetensors", in_chans=in_chans)
        found = model.forward_features(grey.repeat(1, in_chans, 1, 1, 1))
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["own", "monai", "medicalnet"])
def test_3d_files(kind: str, tmp_path: Path) -> None:
    """Our own file; MONAI's, whose shortcuts have a bias; MedicalNet's, whose shortcuts have no weights at all."""
    torch.manual_seed(0)
    if kind == "own":
        source: Any = volume_model("resnet18", num_classes=4, in_chans=1, size=SMALL)
    else:
        shortcut = {"shortcut_type": "A"} if kind == "medicalnet" else {}
        source = resnet.resnet18(spatial_dims=3, n_input_channels=1, num_classes=4, **shortcut)
        source.conv1.stride, source.no_max_pool = (1, 1, 1), True
    with_statistics(source)
    tensors = source.state_dict()
    if kind == "monai":
        assert "layer2.0.downsample.0.bias" in tensors
    if kind == "medicalnet":
        tensors = {f"module.{name}": value for name, value in tensors.items() if "tracked" not in name}
    torch.save({"state_dict": tensors}, tmp_path / "w.pth")
    model = load("resnet18", tmp_path / "w.pth", in_chans=1)
    model.reset_classifier(4)
    model.get_classifier().load_state_dict(source.fc.state_dict())
    inputs = torch.rand(2, 1, 16, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(model(inputs), source(inputs), atol=1e-4, rtol=1e-4)


def test_a_3d_densenet_of_monai(tmp_path: Path) -> None:
    source: Any = with_statistics(DenseNet121(spatial_dims=3, in_channels=1, out_channels=2))
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    model = load("densenet121", tmp_path / "w.safetensors", size=(96, 96, 96), in_chans=1)
    model.get_classifier().load_state_dict(source.class_layers.out.state_dict())
    inputs = torch.rand(1, 1, 32, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(model(inputs), source(inputs), atol=1e-5, rtol=1e-5)


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    good = timm.create_model("resnet18").state_dict()

    def refused(tensors: dict[str, torch.Tensor], match: str, backbone: str = "resnet18") -> None:
        save_file(tensors, path)
        with pytest.raises(WeightsError, match=match) as caught:
            load(backbone, path)
        assert str(path) in str(caught.value)

    refused({name: value for name, value in good.items() if name != "layer3.1.bn2.bias"}, r"lacks layer3\.1\.bn2\.bias")
    refused({**good, "layer9.weight": torch.zeros(3, 3, 3, 3)}, r"besides layer9\.weight")
    refused({**good, "layer1.0.conv1.weight": torch.zeros(64, 64, 5, 5)}, r"layer1\.0\.conv1\.weight has shape")
    refused(good, "lacks .* and .* more", backbone="densenet121")
    refused(good, "lacks|besides", backbone="resnet34")
    refused({"a": torch.zeros(3)}, "neither")
    with pytest.raises(WeightsError, match="not at hand"):
        load("resnet18", tmp_path / "none.pth")


def test_sources_without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hounsfield.models.weights.cached_file", lambda backbone: None)
    settings: dict[str, Any] = {"size": SMALL, "num_classes": 1, "in_chans": 1}
    assert pretrained_volume("resnet10", Weights(source="none"), **settings).num_features == 512
    for source in ("packaged", "cache"):
        with pytest.raises(WeightsError, match="resnet18 are not at hand"):
            pretrained_volume("resnet18", Weights(source=source), **settings)
        with pytest.raises(WeightsError, match="resnet10 has no 2D namesake"):
            pretrained_volume("resnet10", Weights(source=source), **settings)


def test_cached_2d_weights_are_inflated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    flat = timm.create_model("resnet18")
    save_file(flat.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr("hounsfield.models.weights.cached_file", lambda backbone: tmp_path / "model.safetensors")
    model = pretrained_volume("resnet18", Weights(source="cache"), size=SMALL, num_classes=1, in_chans=3)
    torch.testing.assert_close(model.get_submodule("conv1").weight, inflated(flat.conv1.weight, 7))
