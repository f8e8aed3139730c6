"""Grad-CAM (Selvaraju et al., ICCV 2017) and Grad-CAM++ (Chattopadhyay et al., WACV 2018), through Captum and MONAI; raw values."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from captum.attr import LayerGradCam
from monai.visualize import GradCAMpp
from torch import nn

from hounsfield.errors import UsageError
from hounsfield.explain.subject import Subject
from hounsfield.models import Tail
from hounsfield.prepare import network_input, resize_operator

FINE_ENOUGH = 7


def grad_cam(subject: Subject) -> np.ndarray:
    """Return the map of the chosen slice, (h, w), or of a volume, (slices, h, w): of h × w cells, not below 0, of several members the mean.

    Raises
    ------
    UsageError
        If the backbone has no feature maps.
    """
    return _of_members(subject, _captum_map)


def grad_cam_plus_plus(subject: Subject) -> np.ndarray:
    """As `grad_cam`; cells that alone speak for the target count as much as many together."""
    return _of_members(subject, _monai_map)


def _of_members(subject: Subject, of: Callable[[_Signed, nn.Module, torch.Tensor, int], torch.Tensor]) -> np.ndarray:
    inputs = torch.from_numpy(network_input(subject.stored, subject.recipe)).to(subject.device)[None]
    with torch.no_grad():
        activation = subject.network.activate(inputs)
    activation = activation.clone().requires_grad_()
    maps = []
    for member in subject.network.tails:
        found = of(_Signed(member, subject.sign), _layer(member, activation), activation, subject.output)
        if not isinstance(found, torch.Tensor) or found.ndim != (5 if member.volume else 4):
            raise UsageError(
                "this backbone has no feature maps that Grad-CAM could stand on", fix="Use a convolutional backbone."
            )
        maps.append(found.detach()[0, 0] if member.volume else found.detach()[:, 0])
    raw = torch.stack(maps).mean(dim=0).clamp_min(0).cpu().numpy()
    if subject.chosen is not None:
        return np.asarray(raw[subject.chosen])
    return np.einsum("sd,dhw->shw", resize_operator(len(subject.stored), len(raw)), raw)


class _Signed(nn.Module):
    """A member whose logit is that of the target, also where the target is an absence."""

    def __init__(self, member: Tail, sign: float) -> None:
        super().__init__()
        self.member, self.sign = member, sign

    def forward(self, activation: torch.Tensor) -> torch.Tensor:
        return self.member(activation) * self.sign


def _captum_map(member: _Signed, layer: nn.Module, activation: torch.Tensor, output: int) -> torch.Tensor:
    return LayerGradCam(member, layer).attribute(activation, target=output, relu_attributions=False)


def _monai_map(member: _Signed, layer: nn.Module, activation: torch.Tensor, output: int) -> torch.Tensor:
    name = next(name for name, module in member.named_modules() if module is layer)
    # MONAI leaves its hooks in the network that it is given.
    found: torch.Tensor = GradCAMpp(copy.deepcopy(member), name).compute_map(activation, class_idx=output)
    return found


def _layer(member: Tail, activation: torch.Tensor) -> nn.Module:
    """Return the last layer whose map has at least 7 cells a side, as the last one has at the customary 224 pixels.

    A smaller input leaves the very last map too coarse to point at anything: 4 x 4 cells at 128 pixels.
    """
    chosen: nn.Module = member.last_map
    if member.chain is None:
        return chosen
    axes = 5 if member.volume else 4
    with torch.inference_mode():
        values = activation if member.volume else activation[0, :1]
        for name in member.chain:
            module = member.model.get_submodule(name)
            values = module(values)
            if values.ndim == axes and min(values.shape[-2:]) >= FINE_ENOUGH:
                chosen = module
        fine = values.ndim != axes or min(values.shape[-2:]) >= FINE_ENOUGH
    return member.last_map if fine else chosen
