"""Grad-CAM (Selvaraju et al., ICCV 2017) of a bundle's network, through Captum; raw values, in the image's own geometry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from captum.attr import LayerGradCam
from torch import nn

from hounsfield.core.recipe import Recipe, Resize
from hounsfield.errors import UsageError
from hounsfield.models import Network, Tail
from hounsfield.prepare import fitted_size, network_input, resize_operator

FINE_ENOUGH = 7


@dataclass(frozen=True)
class Attribution:
    """A map of one slice.

    Attributes
    ----------
    values:
        (height, width) float32 in the geometry of the original frame, not below 0, in the unit of Grad-CAM: change of
        the logit per change of the feature map, summed over its channels.
    scale:
        The largest value of the map before it was resized; 0 means that nothing spoke for the target.
    slice:
        Which of the case's slices this is: the one that spoke most for the target.
    slices:
        How many there are.
    weight:
        How much this slice counted in the case's logit, of 1; None for single images and volumes.
    target:
        The label that the map explains.
    """

    values: np.ndarray
    scale: float
    slice: int
    slices: int
    weight: float | None
    target: str


def grad_cam(
    network: Network,
    stored: np.ndarray,
    sizes: list[tuple[int, int]],
    recipe: Recipe,
    labels: list[str],
    target: str,
    device: torch.device,
) -> Attribution:
    """Explain one case.

    Parameters
    ----------
    stored:
        (slices, channels, H, W) float32 in [0, 1], as the recipe's stored steps give them.
    sizes:
        Height and width of each slice's original frame.
    labels, target:
        The bundle's labels in order, and the one to explain. In a binary task the first label is the absence of the
        second, and is explained by the negative of the one logit.

    Raises
    ------
    UsageError
        If the target is unknown or the backbone has no feature maps.
    """
    if target not in labels:
        raise UsageError(f"there is no label {target!r}", fix=f"Choose from: {', '.join(labels)}.")
    inputs = torch.from_numpy(network_input(stored, recipe)).to(device)[None]
    with torch.inference_mode():
        activation = network.activate(inputs)
        _, weights = network.judge(inputs)
    activation = activation.clone().requires_grad_()
    maps, logits = [], []
    for member in network.members:
        assert isinstance(member, Tail)
        with torch.inference_mode():
            logits.append(_of_each_slice(member, activation))
        # One logit for two labels: the first is the absence of the second.
        single = logits[-1].shape[1] == 1
        output = 0 if single else labels.index(target)
        sign = -1.0 if single and len(labels) == 2 and target == labels[0] else 1.0
        logits[-1] = logits[-1][:, output] * sign
        maps.append(_member_map(member, activation, output) * sign)
    raw = torch.stack(maps).mean(dim=0).clamp_min(0).cpu().numpy()
    if network.volume:
        raw = np.einsum("sd,dhw->shw", resize_operator(len(stored), len(raw)), raw)
        strongest = int(raw.max(axis=(1, 2)).argmax())
    else:
        strongest = int(torch.stack(logits).mean(dim=0).argmax())
    chosen = raw[strongest]
    return Attribution(
        _in_frame(chosen, recipe, sizes[strongest]), float(chosen.max()), strongest, len(stored),
        None if weights is None or len(stored) == 1 else float(weights[0, strongest]), target,
    )  # fmt: skip


def _of_each_slice(member: Tail, activation: torch.Tensor) -> torch.Tensor:
    """Return (slices, outputs), what the member says of each slice alone; of a volume (1, outputs)."""
    return member(activation if member.volume else activation.transpose(0, 1))


def _member_map(member: Tail, activation: torch.Tensor, output: int) -> torch.Tensor:
    """Return the map of every slice, (slices, h, w), or of the cells of a volume, (d, h, w)."""
    layer = _layer(member, activation)
    attribution = LayerGradCam(member, layer).attribute(activation, target=output, relu_attributions=False)
    if not isinstance(attribution, torch.Tensor) or attribution.ndim != (5 if member.volume else 4):
        raise UsageError(
            "this backbone has no feature maps that Grad-CAM could stand on", fix="Use a convolutional backbone."
        )
    return attribution.detach()[0, 0] if member.volume else attribution.detach()[:, 0]


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


def _in_frame(values: np.ndarray, recipe: Recipe, size: tuple[int, int]) -> np.ndarray:
    """Undo the recipe's geometry: enlarge the map to the network's input, take the padding off, and undo the resize."""
    height, width = recipe.size
    enlarged = resize_operator(height, values.shape[0]) @ values @ resize_operator(width, values.shape[1]).T
    resize = next(step for step in recipe.steps if isinstance(step, Resize))
    inner = fitted_size(*size, resize)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    cropped = enlarged[top : top + inner[0], left : left + inner[1]]
    return np.asarray(
        resize_operator(size[0], inner[0]) @ cropped @ resize_operator(size[1], inner[1]).T, dtype=np.float32
    )
