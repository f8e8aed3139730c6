"""The network: a frozen front that all members share, and one trained tail per member; their logits are averaged.

One member is the ordinary case. Several are the seeds or the folds of one run; since the front is shared and its output
can be cached, they cost little more than one.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from hounsfield.core.plan import Plan, Weights
from hounsfield.errors import BundleError
from hounsfield.models.stages import frozen_groups, stage_names
from hounsfield.models.weights import pretrained


class Features(nn.Module):
    """A whole backbone up to its last feature map."""

    model: Any  # a timm model: nn.Module with forward_features, forward_head and get_classifier

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.model.forward_features(inputs)


class Tail(nn.Module):
    """What is trained: the stages that are not frozen, and the head.

    `model` is the timm model with its frozen modules taken out; `chain` names the modules that are left, or is None
    where the backbone can only be run whole (then `whole` says whether its features belong to the tail).
    """

    model: Any

    def __init__(self, model: nn.Module, chain: list[str] | None, whole: bool) -> None:
        super().__init__()
        self.model = model
        self.chain = chain
        self.whole = whole
        # The last feature map, as a module of its own, so that Grad-CAM has a place to stand whatever is frozen.
        self.last_map = nn.Identity()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(N, …) activations of the front → (N, outputs) logits."""
        if self.chain is not None:
            for name in self.chain:
                inputs = self.model.get_submodule(name)(inputs)
        elif self.whole:
            inputs = self.model.forward_features(inputs)
        return self.model.forward_head(self.last_map(inputs))


class Network(nn.Module):
    """Front and tails as one module: (N, channels, height, width) → (N, outputs), the mean of the members' logits."""

    def __init__(self, front: nn.Module, members: list[Tail]) -> None:
        super().__init__()
        self.front = front
        self.members = nn.ModuleList(members)
        for parameter in self.front.parameters():
            parameter.requires_grad_(False)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        activation = self.front(inputs)
        return torch.stack([member(activation) for member in self.members]).mean(dim=0)

    def train(self, mode: bool = True) -> Network:
        """Set the mode; the frozen front stays in evaluation mode, its batch norm untouched."""
        super().train(mode)
        self.front.eval()
        return self

    def save(self, path: Path) -> None:
        save_file({name: value.contiguous() for name, value in self.state_dict().items()}, path)

    def load(self, path: Path) -> Network:
        """Load weights that `save` wrote.

        Raises
        ------
        BundleError
            If the file is no safetensors file or does not fit the plan.
        """
        try:
            self.load_state_dict(load_file(path))
        except (SafetensorError, RuntimeError, OSError) as error:
            raise BundleError("the weights do not fit the plan of this bundle", where=path) from error
        return self.eval()


def build(plan: Plan, members: int | None = None, *, blank: bool = False) -> Network:
    """Build the network of a plan: pretrained (or `blank`, where weights are loaded next), head sized to the outputs.

    Members start as copies of each other; give each its own head with `fresh_head`.

    Raises
    ------
    WeightsError, PlanError
        If the weights are not at hand, or the backbone cannot be frozen as the plan says.
    """
    weights = Weights(source="none") if blank else plan.weights.value
    model = pretrained(
        plan.backbone.value,
        weights,
        num_classes=len(plan.outputs),
        in_chans=plan.channels.value,
        drop_rate=plan.dropout.value,
    ).eval()
    front, tail = cut(model, plan.frozen.value, channels=plan.channels.value)
    count = plan.members.value if members is None else members
    return Network(front, [copy.deepcopy(tail) for _ in range(count)]).eval()


def cut(model: Any, frozen: str, *, channels: int) -> tuple[nn.Module, Tail]:
    """Cut a timm model into its frozen front and a tail; together they equal the model.

    Raises
    ------
    PlanError
        If `frozen` names no possible place to cut.
    """
    groups = stage_names(model)
    if groups is not None and not _is_chain(model, [name for group in groups for name in group], channels):
        groups = None
    place = frozen_groups(frozen, groups)
    if place == 0:
        return nn.Identity(), Tail(model, None, whole=True)
    if place == -1:
        front = copy.deepcopy(model)
        front.reset_classifier(0)
        _empty(model, _only_in_features(model, channels))
        return Features(front), Tail(model, None, whole=False)
    assert groups is not None
    frozen_names = [name for group in groups[:place] for name in group]
    front = nn.Sequential(*(copy.deepcopy(model.get_submodule(name)) for name in frozen_names))
    _empty(model, frozen_names)
    return front, Tail(model, [name for group in groups[place:] for name in group], whole=True)


def fresh_head(tail: Tail, generator: torch.Generator) -> None:
    """Give a tail's head new small weights; a head that starts near 0 answers "undecided" and loses no early epochs."""
    classifier = tail.model.get_classifier()
    with torch.no_grad():
        for name, parameter in classifier.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            else:
                parameter.normal_(0.0, 0.01, generator=generator)


def _is_chain(model: Any, names: list[str], channels: int) -> bool:
    """Say whether the named modules, one after the other, equal forward_features; proved on one small input."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(1, channels, 64, 64, generator=generator)
    with torch.inference_mode():
        try:
            whole = chained = inputs
            whole = model.forward_features(inputs)
            for name in names:
                chained = model.get_submodule(name)(chained)
        except (RuntimeError, TypeError, AssertionError):
            return False
    return whole.shape == chained.shape and torch.allclose(whole, chained, atol=1e-5)


def _only_in_features(model: Any, channels: int) -> list[str]:
    """Return the children that run for the features and not for the head; found by watching which ones are called."""
    called: set[str] = set()
    hooks = [
        child.register_forward_hook(lambda _module, _inputs, _output, name=name: called.add(name))
        for name, child in model.named_children()
    ]
    size = model.default_cfg["input_size"][-1]
    with torch.inference_mode():
        features = model.forward_features(torch.zeros(1, channels, size, size))
        called.clear()
        model.forward_head(features)
    for hook in hooks:
        hook.remove()
    return [name for name, _ in model.named_children() if name not in called]


def _empty(model: Any, names: list[str]) -> None:
    """Replace modules by nothing, so that a tail neither stores nor trains what the front already holds."""
    for name in names:
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, nn.Identity())
