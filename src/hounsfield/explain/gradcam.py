"""Grad-CAM (Selvaraju et al., ICCV 2017) and Grad-CAM++ (Chattopadhyay et al., WACV 2018), through Captum and MONAI; raw values.

Cases go through the network together. Of several slices only the chosen one is seen anew: the gradient of the case's logit
by its map does not pass through the others.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

import numpy as np
import torch
from captum.attr import LayerGradCam
from monai.visualize import GradCAMpp, ModelWithHooks
from torch import nn

from hounsfield.errors import UsageError
from hounsfield.explain.subject import Subject
from hounsfield.models import Network, Tail
from hounsfield.models.device import laid_out
from hounsfield.prepare import resize_operator

OTHERWISE = "integrated-gradients"
FINE_ENOUGH = 7
# The name of the layer, by network and by what it sees: it takes a look through the network to find it, and one is enough.
_LAYERS: WeakKeyDictionary[Network, dict[torch.Size, str]] = WeakKeyDictionary()


class NoFeatureMapsError(UsageError):
    """A network that Grad-CAM cannot look into, such as a transformer."""


def grad_cam(subjects: Sequence[Subject]) -> list[np.ndarray]:
    """Return the map of each case: of the chosen slice, (h, w), or of a volume, (slices, h, w).

    Maps have h × w cells and are not below 0; of several members they are the mean. All subjects are of one network.

    Raises
    ------
    NoFeatureMapsError
        If the backbone has no feature maps.
    """
    return _of_members(subjects, _captum_maps)


def grad_cam_plus_plus(subjects: Sequence[Subject]) -> list[np.ndarray]:
    """As `grad_cam`; cells that alone speak for the target count as much as many together."""
    return _of_members(subjects, _monai_maps)


class _Member(nn.Module):
    """A member whose logit is that of the target of each case, also where the target is an absence."""

    def __init__(self, tail: Tail) -> None:
        super().__init__()
        self.tail = tail

    def forward(
        self, activation: torch.Tensor, output: torch.Tensor, sign: torch.Tensor, features: torch.Tensor | None = None,
        chosen: torch.Tensor | None = None, counts: torch.Tensor | None = None,
    ) -> torch.Tensor:  # fmt: skip
        """(n, …) activations of the chosen slices, or of volumes → (n, 1).

        `features` are what the tail made of all slices, (n, most slices, values); None where each case is a single image.
        """
        if self.tail.volume:
            logits = self.tail(activation)
        elif features is None or chosen is None or counts is None:
            logits = self.tail.join(self.tail.frames(laid_out(activation))[:, None])[0]
        else:
            places = torch.arange(features.shape[1], device=features.device)
            own = (places == chosen[:, None])[..., None]
            seen = torch.where(own, self.tail.frames(laid_out(activation))[:, None], features)
            logits = self.tail.join(seen, places < counts[:, None])[0]
        return logits.gather(1, output[:, None]) * sign[:, None]


Context = tuple[torch.Tensor | None, ...]
Maps = Callable[[_Member, nn.Module, torch.Tensor, Context], torch.Tensor]


def _of_members(subjects: Sequence[Subject], maps: Maps) -> list[np.ndarray]:
    network = subjects[0].network
    if network.volume:  # one at a time: a volume takes as much memory as a batch of images
        return [_of_volume(subject, _mean_maps([subject], maps)[0]) for subject in subjects]
    return list(_mean_maps(subjects, maps))


def _of_volume(subject: Subject, raw: np.ndarray) -> np.ndarray:
    return np.einsum("sd,dhw->shw", resize_operator(len(subject.stored), len(raw)), raw)


def _mean_maps(subjects: Sequence[Subject], maps: Maps) -> np.ndarray:
    network, device = subjects[0].network, subjects[0].device
    activation = torch.stack([subject.activation for subject in subjects])
    output = torch.tensor([subject.output for subject in subjects], device=device)
    sign = torch.tensor([subject.sign for subject in subjects], device=device)
    several = any(subject.chosen is not None and len(subject.stored) > 1 for subject in subjects)
    found = []
    for place, tail in enumerate(network.tails):
        context: Context = (output, sign, *(_slices(subjects, place, device) if several else ()))
        one = maps(_Member(tail), tail.get_submodule(_layer(network, activation)), activation, context)
        if not isinstance(one, torch.Tensor) or one.ndim != (5 if tail.volume else 4):
            raise NoFeatureMapsError(
                "this backbone has no feature maps that Grad-CAM could stand on",
                fix=f"Use another method: --method {OTHERWISE}.",
            )
        found.append(one.detach()[:, 0])
    return np.asarray(torch.stack(found).mean(dim=0).clamp_min(0).cpu().numpy())


def _slices(subjects: Sequence[Subject], place: int, device: torch.device) -> tuple[torch.Tensor, ...]:
    """What a member makes of all slices, padded to the most of them; which one is chosen, and how many there are."""
    each = [subject.features_of(mirrored=False)[place][0] for subject in subjects]
    chosen = torch.tensor([subject.chosen or 0 for subject in subjects], device=device)
    counts = torch.tensor([len(features) for features in each], device=device)
    return nn.utils.rnn.pad_sequence(each, batch_first=True), chosen, counts


def _captum_maps(member: _Member, layer: nn.Module, activation: torch.Tensor, context: Context) -> torch.Tensor:
    cam = LayerGradCam(member, layer)
    return cam.attribute(activation, target=0, additional_forward_args=context, relu_attributions=False)


def _monai_maps(member: _Member, layer: nn.Module, activation: torch.Tensor, context: Context) -> torch.Tensor:
    name = next(name for name, module in member.named_modules() if module is layer)
    names = ("output", "sign", "features", "chosen", "counts")
    # A copy, because MONAI leaves its hooks in the network that it is given.
    watched = _EachScore(copy.deepcopy(member), name, register_forward=True, register_backward=True)
    cam = GradCAMpp(watched, name)  # type: ignore[arg-type]  # it takes both
    found: torch.Tensor = cam.compute_map(
        activation.clone().requires_grad_(), class_idx=0, **dict(zip(names, context, strict=False))
    )
    return found


class _EachScore(ModelWithHooks):
    """A score per case: what MONAI makes of several would be laid along the columns of the maps."""

    def class_score(self, logits: torch.Tensor, class_idx: int) -> torch.Tensor:
        return logits[:, class_idx].reshape(-1, 1, 1, 1)


def _layer(network: Network, activation: torch.Tensor) -> str:
    """Return the name of the last layer whose map has at least 7 cells a side, as the last one has at the customary 224 pixels.

    A smaller input leaves the very last map too coarse to point at anything: 4 x 4 cells at 128 pixels.
    """
    known = _LAYERS.setdefault(network, {})
    shape = activation.shape[1:]
    if shape not in known:
        known[shape] = _found(network.tails[0], activation[:1])
    return known[shape]


def _found(tail: Tail, values: torch.Tensor) -> str:
    chosen = "last_map"
    if tail.chain is None or tail.channels_last:
        return chosen
    axes = 5 if tail.volume else 4
    with torch.inference_mode():
        for name in tail.chain:
            values = tail.model.get_submodule(name)(values)
            if values.ndim == axes and min(values.shape[-2:]) >= FINE_ENOUGH:
                chosen = f"model.{name}"
        fine = values.ndim != axes or min(values.shape[-2:]) >= FINE_ENOUGH
    return "last_map" if fine else chosen
