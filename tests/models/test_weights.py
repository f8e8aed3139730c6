"""Weights come from where the plan says, fit, and never run code."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from hounsfield.core.plan import Weights
from hounsfield.errors import WeightsError
from hounsfield.models import at_hand, packaged_file
from hounsfield.models.weights import pretrained

LITE = "tf_efficientnet_lite0"
SMALL = "mobilenetv3_small_100"


def from_file(path: Path) -> Weights:
    return Weights(source="file", path=str(path))


@pytest.fixture
def hermetic(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine on which nothing was ever downloaded."""
    monkeypatch.setattr("hounsfield.models.weights.cached_file", lambda backbone: None)


def test_packaged_weights_are_the_ones_of_the_package() -> None:
    path = packaged_file(LITE)
    assert path is not None
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    model = pretrained(LITE, Weights(source="packaged"), num_classes=5, drop_rate=0.1)
    stem = next(iter(tensors.values()))
    assert stem.shape == (32, 3, 3, 3)
    torch.testing.assert_close(model.conv_stem.weight.detach(), stem)
    assert float(model.conv_stem.weight.sum()) == pytest.approx(float(stem.sum()), abs=1e-5)
    # Loaded by order: every tensor but the head must be the one of the same place.
    body = [value for name, value in model.state_dict().items() if not name.startswith("classifier")]
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(body, tensors.values(), strict=False))
    assert model.get_classifier().weight.shape == (5, 1280)
    assert at_hand(LITE) == Weights(source="packaged")


@pytest.mark.usefixtures("hermetic")
def test_what_is_not_at_hand() -> None:
    assert packaged_file("resnet50") is None
    assert at_hand("resnet50") == Weights(source="none")
    for source in ("packaged", "cache"):
        with pytest.raises(WeightsError, match="resnet50 are not at hand") as caught:
            pretrained("resnet50", Weights(source=source))
        assert "--weights FILE" in str(caught.value.fix)


def test_unknown_backbones_are_answered_with_near_ones() -> None:
    with pytest.raises(WeightsError, match="resnet_50") as caught:
        pretrained("resnet_50", Weights(source="none"))
    assert "resnet" in str(caught.value.fix)


@pytest.mark.parametrize("kind", ["safetensors", "pth", "state_dict"])
def test_a_file_of_ones_own(tmp_path: Path, kind: str) -> None:
    torch.manual_seed(1)
    source = timm.create_model(SMALL, pretrained=False, num_classes=10)
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    if kind == "safetensors":
        save_file(source.state_dict(), path)
    else:
        torch.save({"state_dict": source.state_dict()} if kind == "state_dict" else source.state_dict(), path)
    model = pretrained(SMALL, from_file(path), num_classes=1)
    for name, value in model.state_dict().items():
        if not name.startswith("classifier"):
            assert torch.equal(value, source.state_dict()[name]), name
    assert model.get_classifier().weight.shape[0] == 1


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    good = timm.create_model(SMALL, pretrained=False).state_dict()
    save_file({**good, "conv_stem.weight": torch.zeros(16, 1, 3, 3)}, path)
    with pytest.raises(WeightsError, match=r"conv_stem.weight has shape \(16, 1, 3, 3\) instead of \(16, 3, 3, 3\)"):
        pretrained(SMALL, from_file(path))
    save_file({"a": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match="1 tensors"):
        pretrained(SMALL, from_file(path))
    save_file(timm.create_model("resnet18", pretrained=False).state_dict(), path)
    with pytest.raises(WeightsError):
        pretrained(SMALL, from_file(path))
    for content in (b"", b"no weights at all"):
        for name in ("w.safetensors", "w.pth"):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(WeightsError, match="no readable weights"):
                pretrained(SMALL, from_file(tmp_path / name))
    with pytest.raises(WeightsError, match="not at hand"):
        pretrained(SMALL, from_file(tmp_path / "none.pth"))
    torch.save([torch.zeros(2)], tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="table of named tensors"):
        pretrained(SMALL, from_file(tmp_path / "w.pth"))


class Trap:
    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.place),)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "w"])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, name: str) -> None:
    torch.save({"state_dict": {"a": Trap(tmp_path / "caught")}}, tmp_path / name)
    with pytest.raises(WeightsError, match="no readable weights"):
        pretrained(SMALL, from_file(tmp_path / name))
    assert not (tmp_path / "caught").exists()
    torch.save(torch.nn.Linear(2, 2), tmp_path / name)
    with pytest.raises(WeightsError, match="no readable weights"):
        pretrained(SMALL, from_file(tmp_path / name))
