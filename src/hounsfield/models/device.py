"""Which device computes, and how its work is laid out in memory."""

from __future__ import annotations

import torch

from hounsfield.errors import UsageError

DEVICES = ("auto", "cpu", "cuda", "mps")


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of that name; `auto` takes a GPU where there is one.

    Raises
    ------
    UsageError
        If the name is unknown or the device is not there.
    """
    at_hand = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if at_hand[kind]))
    if name not in at_hand:
        raise UsageError(f"there is no device named {name!r}", fix=f"Choose from: {', '.join(DEVICES)}.")
    if not at_hand[name]:
        raise UsageError(f"this machine has no {name} device", fix="Use --device auto or --device cpu.")
    return torch.device(name)


def laid_out(tensor: torch.Tensor) -> torch.Tensor:
    """Return images in channels-last order, which convolutions on a CPU read about 1.5 times as fast."""
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
