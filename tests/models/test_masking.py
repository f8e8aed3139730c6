"""Padding slices change nothing: not the logits, not the gradients, not the statistics of norms, wherever it is cut."""

from __future__ import annotations

import copy
import threading
from functools import cache

import pytest
import torch
from torch import nn

from hounsfield.errors import PlanError
from hounsfield.models.masking import depth_table, valid_depth
from hounsfield.models.stages import stage_names
from hounsfield.models.volume import VolumeNetwork, volume_model

# The depth for which the network is made decides the strides along it: 8, 16 or 32.
NETWORKS = [("resnet10", 32), ("resnet18", 48), ("resnet50", 96), ("densenet121", 32), ("densenet121", 96)]
NAN = float("nan")


@cache
def made(backbone: str, depth: int) -> VolumeNetwork:
    torch.manual_seed(0)
    model = volume_model(backbone, num_classes=3, in_chans=1, size=(depth, 32, 32)).eval()
    for module in model.modules():  # biases are what makes values out of padding
        if isinstance(module, nn.BatchNorm3d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
    return model


def volumes(*lengths: int, depth: int, side: int = 16, padding: float = NAN) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = torch.rand(len(lengths), 1, depth, side, side, generator=torch.Generator().manual_seed(sum(lengths)))
    for volume, length in zip(inputs, lengths, strict=True):
        volume[:, length:] = padding
    return inputs, torch.tensor(lengths)


def model_alone(model: nn.Module, whole: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = copy.deepcopy(model)(whole)  # a copy carries no hooks
    return found


@pytest.mark.parametrize(("backbone", "depth"), NETWORKS)
def test_volumes_of_unequal_depth_are_what_each_is_alone(backbone: str, depth: int) -> None:
    model = made(backbone, depth)
    lengths = [depth, depth - 1, depth - 7, depth // 2 + 1]
    inputs, counts = volumes(*lengths, depth=depth)
    with torch.inference_mode():
        with valid_depth(model, counts):
            together = model(inputs)
        alone = torch.cat([model(volume[None, :, :length]) for volume, length in zip(inputs, lengths, strict=True)])
        zeros = model(volumes(*lengths, depth=depth, padding=0.0)[0])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    assert (zeros - alone)[1:].abs().max() > 1e-3, "what would have been without"
    assert (alone[0] - alone[1]).abs().max() > 1e-4


@pytest.mark.parametrize("backbone", ["resnet18", "densenet121"])
def test_every_number_of_padding_slices(backbone: str) -> None:
    """Lengths of every remainder by the stride, padded by few slices and by more than a stride."""
    model = made(backbone, 32)
    with torch.inference_mode():
        for length, more in zip(range(16, 24), (1, 9, 2, 7, 3, 6, 4, 5), strict=True):
            whole = volumes(length, depth=length)[0]
            padded = torch.cat([whole, torch.full((1, 1, more, 16, 16), NAN)], dim=2)
            with valid_depth(model, torch.tensor([length])):
                torch.testing.assert_close(model(padded), model_alone(model, whole), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("backbone", "place"), [*(("resnet18", place) for place in range(6)), ("densenet121", 1), ("densenet121", 3)]
)
def test_a_network_that_is_cut(backbone: str, place: int) -> None:
    model = made(backbone, 32)
    groups = stage_names(model)
    assert groups is not None
    pieces = [nn.Sequential(*(model.get_submodule(name) for name in group)) for group in groups]
    front, tail = nn.Sequential(*pieces[:place]), nn.Sequential(*pieces[place:])
    inputs, counts = volumes(32, 21, 18, depth=32)
    table = depth_table(front, 32, channels=1)
    with torch.inference_mode():
        with valid_depth(front, counts) as depths:
            activation = front(inputs)
        assert depths is not None
        if place:
            assert torch.equal(depths.of(activation), table[counts])
        with valid_depth(tail, table[counts]):
            features = tail(activation)
        with valid_depth(model, counts):
            wanted = model(inputs)
        last = depth_table(nn.Sequential(front, tail), 32, channels=1)[counts]
        with valid_depth(model.global_pool, last):
            pooled = model.global_pool(features)
        torch.testing.assert_close(model.get_classifier()(pooled.flatten(1)), wanted, atol=1e-5, rtol=1e-5)


def test_the_table_is_what_the_network_makes() -> None:
    model = made("resnet10", 96)
    front = nn.Sequential(model.conv1, model.bn1, model.act1, model.maxpool, model.layer1, model.layer2).eval()
    table = depth_table(front, 24, channels=1)
    with torch.inference_mode():
        wanted = [front(torch.zeros(1, 1, depth, 8, 8)).shape[2] for depth in range(1, 25)]
    assert table[1:].tolist() == wanted
    assert table[0] == 1
    assert depth_table(nn.Identity(), 5, channels=1).tolist() == [1, 1, 2, 3, 4, 5]
    assert not front.training
    assert next(front.parameters()).device.type == "cpu"


@pytest.mark.parametrize("backbone", ["resnet10", pytest.param("densenet121", marks=pytest.mark.slow)])
def test_gradients_and_norms_in_training(backbone: str) -> None:
    """A padded batch trains the network as the batch without padding does, norms that learn included.

    In double precision: norms of few cells magnify the rounding of single precision.
    """
    results = []
    for more in (0, 6):
        model = copy.deepcopy(made(backbone, 32)).train().double()
        inputs, counts = volumes(16, 16, depth=16)
        inputs = torch.cat([inputs, torch.full((2, 1, more, 16, 16), NAN)], dim=2).double()
        with valid_depth(model, counts):
            logits = model(inputs)
        logits.square().sum().backward()
        results.append((model.state_dict(), logits, [parameter.grad for parameter in model.parameters()]))
    (state, logits, gradients), (padded_state, padded_logits, padded_gradients) = results
    torch.testing.assert_close(padded_logits, logits, atol=1e-9, rtol=1e-7)
    norms = [name for name in state if "running" in name]
    assert norms
    for name in norms:
        torch.testing.assert_close(padded_state[name], state[name], atol=1e-9, rtol=1e-7)
    for mine, theirs in zip(padded_gradients, gradients, strict=True):
        assert mine is not None and theirs is not None
        assert (mine - theirs).norm() <= 1e-6 * theirs.norm() + 1e-9


@pytest.mark.parametrize("backbone", ["resnet18", "densenet121"])
def test_a_single_slice_still_has_an_answer(backbone: str) -> None:
    model = made(backbone, 32)
    answers = []
    with torch.inference_mode():
        for depth in (16, 25):
            inputs, counts = volumes(1, depth=depth)
            with valid_depth(model, counts):
                answers.append(model(inputs))
    assert answers[0].isfinite().all()
    torch.testing.assert_close(answers[0], answers[1], atol=1e-5, rtol=1e-5)


def test_nothing_is_left_behind() -> None:
    model = made("resnet10", 32)
    inputs, counts = volumes(20, depth=24, padding=0)
    hooks = lambda: sum(len(one._forward_hooks) + len(one._forward_pre_hooks) for one in model.modules())  # noqa: E731
    with torch.inference_mode():
        before = model(inputs)
        with valid_depth(model, None) as nothing:
            assert nothing is None
            assert hooks() == 0
            assert torch.equal(model(inputs), before)
        with pytest.raises(ZeroDivisionError), valid_depth(model, counts):
            assert hooks() > 0
            raise ZeroDivisionError
        assert hooks() == 0
        with valid_depth(model, torch.tensor([24])):
            assert torch.equal(model(inputs), before), "no padding, no difference"
        with valid_depth(model, counts):
            seen = []

            def run_elsewhere() -> None:
                with torch.inference_mode():
                    seen.append(model(inputs))

            thread = threading.Thread(target=run_elsewhere)
            thread.start()
            thread.join()
            assert torch.equal(seen[0], before), "another thread's volumes are not masked by our lengths"
            model(inputs)
            with pytest.raises(ValueError, match="1 lengths for a batch of 2"):
                model(inputs.repeat(2, 1, 1, 1, 1))


@pytest.mark.parametrize(
    "layer",
    [
        nn.InstanceNorm3d(4),
        nn.GroupNorm(2, 4),
        nn.Upsample(scale_factor=2),
        nn.AvgPool3d(3, 2, 1),
        nn.MaxPool3d(2, ceil_mode=True),
        nn.Conv3d(4, 4, 3, padding="same"),
        nn.Conv3d(4, 4, 3, padding=1, padding_mode="circular"),
    ],
)
def test_layers_that_cannot_be_followed_are_refused(layer: nn.Module) -> None:
    inputs = torch.rand(2, 4, 9, 8, 8)
    with pytest.raises(PlanError, match=type(layer).__name__), valid_depth(layer, torch.tensor([9, 5])):
        layer(inputs)
