"""Grad-CAM of many cases at once is that of each alone, and both are the gradient times the map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from hounsfield.core import Plan
from hounsfield.errors import UsageError
from hounsfield.explain.gradcam import grad_cam, grad_cam_plus_plus
from hounsfield.explain.subject import Subject, subject_of, subjects_of
from hounsfield.models import Network, build, renew
from hounsfield.prepare import network_input, recipe_of

Make = Callable[..., Plan]
CPU = torch.device("cpu")
SMALL = {"backbone": "mobilenetv3_small_100", "frozen": "through stage 2", "head": "last", "flip_at_test": False}
SLICES = SMALL | {"dimension": "2.5d", "slices": 5}
VOLUME = {
    "dimension": "3d",
    "backbone": "resnet10_half",
    "spacing": None,
    "size": [32, 32],
    "slices": 16,
    "frozen": "none",
}
KINDS: dict[str, tuple[tuple[str, ...], dict[str, Any], list[int]]] = {
    "binary": (("no", "yes"), SMALL | {"members": 1}, [1] * 5),
    "three classes, three members": (("a", "b", "c"), SMALL | {"members": 3}, [1] * 5),
    "frozen whole": (("no", "yes"), SMALL | {"frozen": "all", "members": 2}, [1] * 4),
    "not frozen": (("no", "yes"), SMALL | {"frozen": "none", "members": 1}, [1] * 4),
    "head of stages": (("no", "yes"), SMALL | {"head": "stages", "members": 2}, [1] * 4),
    "channels last": (("no", "yes"), SMALL | {"backbone": "mambaout_femto", "members": 2}, [1] * 4),
    "channels last, frozen whole": (
        ("a", "b", "c"), SMALL | {"backbone": "mambaout_femto", "frozen": "all", "members": 1}, [1] * 4,
    ),
    "mean of slices": (("a", "b", "c"), SLICES | {"pooling": "mean", "members": 2}, [3, 5, 1, 4]),
    "lstm": (("no", "yes"), SLICES | {"pooling": "lstm", "members": 2}, [5, 2, 1, 3]),
    "attention, mirrored": (
        ("a", "b", "c"), SLICES | {"pooling": "attention", "members": 1, "flip_at_test": True}, [2, 5, 3],
    ),
    "volume": (("no", "yes"), VOLUME | {"members": 2}, [16, 9]),
}  # fmt: skip


def made(make: Make, kind: str) -> tuple[Network, Plan, list[np.ndarray], list[str]]:
    """A network whose members answer differently, and cases with a target each."""
    labels, decisions, counts = KINDS[kind]
    plan = make(labels, **decisions)
    network = build(plan)
    for number, tail in enumerate(network.tails):
        renew(tail, plan, number)
        for name, parameter in tail.named_parameters():
            if "classifier.weight" in name or "score.weight" in name:
                torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(number))
    generator = np.random.default_rng(0)
    channels = 1 if plan.channels.value == 1 else 3
    stored = [generator.random((count, channels, *plan.size.value)).astype(np.float32) for count in counts]
    return network.eval(), plan, stored, [labels[place % len(labels)] for place in range(len(stored))]


def together(network: Network, plan: Plan, stored: list[np.ndarray], targets: list[str]) -> list[Subject]:
    outputs = len(plan.outputs)
    return subjects_of(network, stored, recipe_of(plan), plan.labels.value, targets, CPU, outputs=outputs)


def by_hand(subject: Subject, layer: str) -> np.ndarray:
    """The definition, with all slices of the case in the graph: the mean gradient of each channel times its map, summed."""
    inputs = torch.from_numpy(network_input(subject.stored, subject.recipe))[None]
    maps = []
    for tail in subject.network.tails:
        kept: list[torch.Tensor] = []
        hook = tail.get_submodule(layer).register_forward_hook(
            lambda _module, _inputs, output, kept=kept: kept.append(output)
        )
        logit = tail(subject.network.activate(inputs).requires_grad_())[0, subject.output] * subject.sign
        hook.remove()
        gradient = torch.autograd.grad(logit, kept[0])[0]
        axes = tuple(range(2, gradient.ndim))
        maps.append((gradient.mean(dim=axes, keepdim=True) * kept[0]).sum(dim=1))
    raw = torch.stack(maps).mean(dim=0).clamp_min(0).detach().numpy()
    return np.asarray(raw[0] if subject.chosen is None else raw[subject.chosen])


def near(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    # Sums in float32 whose order is the processor's own.
    np.testing.assert_allclose(found, expected, atol=1e-4 * max(float(expected.max()), 1e-9))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", [grad_cam, grad_cam_plus_plus])
def test_many_at_once_are_each_alone(
    plan: Make, kind: str, method: Callable[[list[Subject]], list[np.ndarray]]
) -> None:
    network, decided, stored, targets = made(plan, kind)
    subjects = together(network, decided, stored, targets)
    alone = [
        subject_of(network, case, recipe_of(decided), decided.labels.value, target, CPU)
        for case, target in zip(stored, targets, strict=True)
    ]
    for one, other in zip(subjects, alone, strict=True):
        assert (one.chosen, one.output, one.sign) == (other.chosen, other.output, other.sign)
        assert one.weight == (None if other.weight is None else pytest.approx(other.weight, abs=1e-5))
    found = method(subjects)
    for values, other in zip(found, alone, strict=True):
        near(values, method([other])[0])
    assert any(values.max() > 0 for values in found), "maps that are all empty prove nothing"
    assert all(values.min() >= 0 for values in found)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "volume"])
def test_a_map_is_the_mean_gradient_times_the_feature_map(plan: Make, kind: str) -> None:
    network, decided, stored, targets = made(plan, kind)
    subjects = together(network, decided, stored, targets)
    # At 64 pixels the last map has 2 cells a side: the map stands on the last layer that has 7.
    chain = None if network.tails[0].channels_last else network.tails[0].chain
    for values, subject in zip(grad_cam(subjects), subjects, strict=True):
        names = ["last_map"] if chain is None else [f"model.{name}" for name in chain]
        fits = [name for name in names if by_hand(subject, name).shape == values.shape]
        assert chain is None or min(values.shape) >= 7 or values.shape == by_hand(subject, "last_map").shape
        near(values, by_hand(subject, fits[-1]))


def test_the_gradients_of_weights_are_not_needed(plan: Make) -> None:
    network, decided, stored, targets = made(plan, "lstm")
    for method in (grad_cam, grad_cam_plus_plus):
        expected = method(together(network.requires_grad_(True), decided, stored, targets))
        found = method(together(network.requires_grad_(False), decided, stored, targets))
        for one, other in zip(found, expected, strict=True):
            near(one, other)
        assert all(parameter.grad is None for parameter in network.parameters())


def test_the_network_keeps_no_hooks(plan: Make) -> None:
    network, decided, stored, targets = made(plan, "binary")
    for method in (grad_cam, grad_cam_plus_plus):
        method(together(network, decided, stored, targets))
    assert not any(module._forward_hooks or module._backward_hooks for module in network.modules())


@pytest.mark.parametrize("kind", ["mean of slices", "lstm", "attention, mirrored"])
def test_a_score_is_what_the_whole_network_says_of_the_changed_case(plan: Make, kind: str) -> None:
    """The other slices are seen once: the answer is that of the case with the slice in its place, judged anew."""
    network, decided, stored, targets = made(plan, kind)
    for subject in together(network, decided, stored, targets):
        changed = subject.stored.copy()
        changed[subject.chosen] = np.random.default_rng(1).random(changed.shape[1:])
        inputs = torch.from_numpy(network_input(changed, subject.recipe))[None]
        with torch.no_grad():
            expected = network(inputs)[0, subject.output] * subject.sign
            found = subject.score(torch.from_numpy(changed[subject.chosen])[None])
        assert found.item() == pytest.approx(expected.item(), rel=1e-4, abs=1e-5)


def test_a_backbone_without_feature_maps_is_refused(plan: Make) -> None:
    decided = plan(backbone="vit_tiny_patch16_224", frozen="all", size=[224, 224], head="last", members=1)
    network = build(decided).eval()
    stored = [np.zeros((1, decided.channels.value, 224, 224), dtype=np.float32)]
    for method in (grad_cam, grad_cam_plus_plus):
        with pytest.raises(UsageError, match="no feature maps"):
            method(together(network, decided, stored, ["yes"]))
