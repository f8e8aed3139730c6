"""Weights of 3D networks: their own, from a file, or inflated from the 2D network of the same name.

Inflation (Carreira and Zisserman, CVPR 2017, "I3D"): a 2D kernel is repeated along depth and divided by its depth, so
that a volume whose slices are all equal gives, away from its ends, what one slice gives in 2D.
"""

from __future__ import annotations

import re
from pathlib import Path

import timm
import torch

from hounsfield.core.plan import Weights
from hounsfield.errors import WeightsError
from hounsfield.models.volume import VolumeNetwork, volume_model
from hounsfield.models.weights import adapted_stem, hub_tensors, read_tensors, weights_file

Tensors = dict[str, torch.Tensor]

_HEADS = ("fc.", "classifier.", "class_layers.", "head.", "conv_seg.")
_STEMS = ("conv1.weight", "features.conv0.weight")
_NAMED = 3  # names that a message quotes
# Dense layers: `norm1` in timm, `norm.1` in torchvision's first files, `layers.norm1` in MONAI.
_DENSE_LAYER = re.compile(r"(denselayer\d+)\.(norm|conv)\.?([12])\.")


def pretrained_volume(
    backbone: str,
    weights: Weights,
    *,
    size: tuple[int, ...],
    num_classes: int,
    in_chans: int,
    drop_rate: float = 0.0,
) -> VolumeNetwork:
    """Return a 3D network with pretrained weights and a new head.

    Parameters
    ----------
    backbone, size, num_classes, in_chans, drop_rate:
        As for `volume_model`.
    weights:
        `file` holds the 3D network itself (as MONAI or MedicalNet write it), which is loaded, or its 2D namesake, which
        is inflated; `cache` and `hub` mean the weights that timm has for the 2D namesake; `none`, new weights.

    Raises
    ------
    PlanError
        If there is no such 3D backbone, or the volume is too small.
    WeightsError
        If the weights are not at hand, or one tensor (but for the head's) finds no place or leaves one empty.

    Notes
    -----
    The first convolution is adapted to `in_chans` as in 2D (`adapted_stem`). In small volumes the stem's strides are
    reduced (`stem_strides`): kernels then see a finer grid than the one that they learnt, so that the stages that are
    trained have more to adapt.
    """
    model = volume_model(backbone, num_classes=num_classes, in_chans=in_chans, drop_rate=drop_rate, size=size)
    if weights.source == "none":
        return model
    if weights.source == "file":
        path = Path(weights.path or "")
        if not path.is_file():
            raise WeightsError(f"the weights of {backbone} are not at hand (file)", where=path, fix="Check the path.")
        load_volume(model, read_tensors(path), path)
        return model
    if not timm.is_model(backbone):
        raise WeightsError(
            f"{backbone} has no 2D namesake in timm whose weights could be inflated",
            fix="Use --weights FILE, --weights none, or resnet18.",
        )
    source = weights_file(backbone, weights)
    load_volume(model, hub_tensors(backbone) if source is None else read_tensors(source), source)
    return model


def load_volume(model: VolumeNetwork, tensors: Tensors, where: Path | None) -> None:
    """Load 3D weights, or inflate 2D ones, into everything but the head.

    Tensors are matched by name, or, where an author used other names, by order if every shape agrees.

    Raises
    ------
    WeightsError
        Naming what does not fit.
    """
    wanted = _body(model.state_dict())
    given = _plain_shortcuts(_body({_monai_name(name): value for name, value in tensors.items()}), wanted)
    kernels = {value.ndim for value in given.values() if value.ndim > 2}
    if kernels not in ({4}, {5}):
        raise WeightsError("the file holds neither the kernels of a 2D nor those of a 3D network", where=where)
    if given.keys() == wanted.keys():
        fitted = {name: _fitted(name, given[name], wanted[name]) for name in wanted}
    else:
        by_order = zip(wanted, given.values(), strict=False)
        fitted = {name: _fitted(name, value, wanted[name]) for name, value in by_order}
        if len(given) != len(wanted) or _misfits(fitted, wanted):
            raise WeightsError(f"the weights do not fit the 3D backbone: {_difference(given, wanted)}", where=where)
    if misfits := _misfits(fitted, wanted):
        shapes = f"{tuple(given[misfits[0]].shape)} for {tuple(wanted[misfits[0]].shape)}"
        raise WeightsError(f"the weights do not fit the 3D backbone: {misfits[0]} has shape {shapes}", where=where)
    model.load_state_dict(fitted, strict=False)


def inflated(kernel: torch.Tensor, depth: int) -> torch.Tensor:
    """(outputs, inputs, height, width) → (outputs, inputs, depth, height, width), the sum along depth unchanged."""
    return kernel[:, :, None].repeat(1, 1, depth, 1, 1) / depth


def _fitted(name: str, value: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    if name in _STEMS and value.ndim > 3 and value.shape[1] in (1, 3):
        value = adapted_stem(value, wanted.shape[1])
    if value.ndim == 4 and wanted.ndim == 5:
        value = inflated(value, wanted.shape[2])
    return value


def _body(tensors: Tensors) -> Tensors:
    """Everything but the head, and but the counters of batch norms, which old files lack and nothing reads."""
    return {name: value for name, value in tensors.items() if value.ndim > 0 and not name.startswith(_HEADS)}


def _monai_name(name: str) -> str:
    return _DENSE_LAYER.sub(r"\1.layers.\2\3.", name)


def _plain_shortcuts(given: Tensors, wanted: Tensors) -> Tensors:
    """Turn the other kinds of a ResNet's shortcut into ours, which is a convolution without bias and a norm.

    MONAI's default has a bias, which is the same as a smaller running mean of the norm. MedicalNet's ResNets 18 and 34
    have none at all (type A of He 2016: every second voxel, new channels zero), which is a convolution by the identity
    and a norm that does nothing.
    """
    given = dict(given)
    for name in [name for name in given if name.endswith("downsample.0.bias")]:
        mean = name.replace("0.bias", "1.running_mean")
        if mean in given:
            given[mean] = given[mean] - given.pop(name)
    shortcuts = {name: value for name, value in wanted.items() if ".downsample." in name}
    if not shortcuts or given.keys() != wanted.keys() - shortcuts.keys():
        return given
    for name, value in shortcuts.items():
        plain = torch.zeros_like(value)
        if name.endswith("0.weight"):
            plain[: value.shape[1]] = torch.eye(value.shape[1])[..., None, None, None]
        elif name.endswith("running_var"):
            plain += 1 - 1e-5  # what the norm adds before its root
        elif name.endswith("1.weight"):
            plain += 1
        given[name] = plain if given[_STEMS[0]].ndim == 5 or value.ndim < 5 else plain[:, :, 0]
    return {name: given[name] for name in wanted}


def _misfits(fitted: Tensors, wanted: Tensors) -> list[str]:
    return [name for name, value in fitted.items() if value.shape != wanted[name].shape]


def _difference(given: Tensors, wanted: Tensors) -> str:
    parts = []
    for verb, names in (("it lacks", wanted.keys() - given.keys()), ("it has besides", given.keys() - wanted.keys())):
        if names:
            quoted = ", ".join(sorted(names)[:_NAMED])
            parts.append(f"{verb} {quoted}" + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""))
    return "; ".join(parts)
