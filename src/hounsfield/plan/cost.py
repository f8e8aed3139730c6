"""What a plan costs on this machine: measured on a few batches, then multiplied out."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import nn

from hounsfield.core.plan import Cost, Decision, Plan, Weights
from hounsfield.models import build
from hounsfield.models.device import choose_device, laid_out
from hounsfield.plan.fingerprint import Fingerprint
from hounsfield.prepare import stored_channels
from hounsfield.read.workers import default_workers

# Early stopping ends most runs before the last epoch; two thirds was the mean over the data sets tried.
EPOCHS_RUN = 0.67
BASE_MEMORY_GIB = 1.2


def measure_cost(plan: Plan, found: Fingerprint, device: str = "auto") -> Decision[Cost]:
    """Time this plan's front and tail on random input, and add up the run. Takes a few seconds.

    Assumes that every image is read once for the store and once more for prediction.
    """
    target = choose_device(device)
    # Random weights cost the same sums as pretrained ones.
    network = build(plan.model_copy(update={"weights": Decision(value=Weights(source="none"))}), members=1).to(target)
    count, batch = plan.slices.value, plan.batch.value
    height, width = plan.size.value
    inputs = laid_out(torch.rand(max(1, 32 // count) * count, plan.channels.value, height, width, device=target))
    with torch.inference_mode():
        front = _seconds(lambda: network.front(inputs)) / len(inputs)
        activation = network.front(inputs)
    activation = activation.clone()
    tail = network.members[0].train()
    step = _seconds(lambda: _train_step(tail, activation)) / len(inputs)
    views = plan.cached_views.value
    read = found.seconds_per_frame * 2 / default_workers()
    epochs = plan.epochs.value * EPOCHS_RUN
    cases = found.cases * count
    seconds = {
        "read": read * min(found.frames_to_read, 4 * cases),
        "cache": front * cases * (1 + views) if views else 0.0,
        "train": step * cases * epochs * plan.members.value,
    }
    cached = activation[0].numel() * 2 * cases * (1 + views) if views else 0
    stored = 1.6 * cases * stored_channels(plan) * height * width * 2
    memory = BASE_MEMORY_GIB + 4 * batch * count * activation[0].numel() * 30 / 2**30 + 0.25 * default_workers()
    value = Cost(
        minutes=round(sum(seconds.values()) / 60, 2),
        memory=round(memory, 2),
        disk=round((cached + stored) / 2**30, 2),
        measured={"front_images_per_second": round(1 / front, 1), "tail_images_per_second": round(1 / step, 1)},
    )
    told = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
    return Decision(value=value, reason=f"measured on this machine ({target.type}): {told}")


def _train_step(tail: nn.Module, activation: torch.Tensor) -> None:
    tail(activation).square().mean().backward()
    tail.zero_grad(set_to_none=True)


def _seconds(function: Callable[[], object]) -> float:
    function()
    started = time.perf_counter()
    function()
    return max(1e-6, time.perf_counter() - started)
