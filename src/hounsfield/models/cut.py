"""Cutting a backbone in two: a frozen front, and a tail that is trained."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from hounsfield.models.masking import depth_table
from hounsfield.models.stages import frozen_groups, stage_names
from hounsfield.models.tail import Tail


class Features(nn.Module):
    """A whole backbone up to its last feature map."""

    model: Any  # a timm model: nn.Module with forward_features, forward_head and get_classifier

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.model.forward_features(inputs)


def cut(model: Any, frozen: str, *, shape: tuple[int, ...]) -> tuple[nn.Module, Tail]:
    """Cut a model into its frozen front and a tail; together they equal the model.

    Parameters
    ----------
    shape:
        Of one input: (channels, H, W), or (channels, D, H, W) for a 3D network.

    Raises
    ------
    PlanError
        If `frozen` names no possible place to cut.
    """
    groups = stage_names(model)
    chained = groups is not None and _is_chain(model, [name for group in groups for name in group], shape)
    place = frozen_groups(frozen, groups if chained else None)
    if place == 0:
        return nn.Identity(), Tail(model, groups, chained=chained, whole=True, depths=_depths(nn.Identity(), shape))
    if place == -1:
        whole = copy.deepcopy(model)
        whole.reset_classifier(0)
        _empty(model, _only_in_features(model, shape))
        front: nn.Module = Features(whole)
        return front, Tail(model, None, chained=False, whole=False, depths=_depths(front, shape))
    assert groups is not None
    frozen_names = [name for group in groups[:place] for name in group]
    front = nn.Sequential(*(copy.deepcopy(model.get_submodule(name)) for name in frozen_names))
    _empty(model, frozen_names)
    return front, Tail(model, groups[place:], chained=True, whole=True, depths=_depths(front, shape))


def _depths(front: nn.Module, shape: tuple[int, ...]) -> torch.Tensor | None:
    """For volumes, how many cells the front makes of every number of slices; it alone knows, and the tail must."""
    return depth_table(front, shape[1], shape[0]) if len(shape) == 4 else None


def _is_chain(model: Any, names: list[str], shape: tuple[int, ...]) -> bool:
    """Say whether the named modules, one after the other, equal forward_features; proved on one small input."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(1, *(shape if len(shape) == 4 else (shape[0], 64, 64)), generator=generator)
    with torch.inference_mode():
        try:
            whole = chained = inputs
            whole = model.forward_features(inputs)
            for name in names:
                chained = model.get_submodule(name)(chained)
        except (RuntimeError, TypeError, AssertionError):
            return False
    return whole.shape == chained.shape and torch.allclose(whole, chained, atol=1e-5)


def _only_in_features(model: Any, shape: tuple[int, ...]) -> list[str]:
    """Return the children that run for the features and not for the head; found by watching which ones are called."""
    called: set[str] = set()
    hooks = [
        child.register_forward_hook(lambda _module, _inputs, _output, name=name: called.add(name))
        for name, child in model.named_children()
    ]
    size = model.default_cfg["input_size"][-1]
    with torch.inference_mode():
        features = model.forward_features(torch.zeros(1, *(shape if len(shape) == 4 else (shape[0], size, size))))
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
