"""The pace of this machine at a plan's shape: a few seconds of measurement on random input, per case."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from hounsfield.core.plan import Plan
from hounsfield.models import Network, build
from hounsfield.models.device import choose_device
from hounsfield.plan.fingerprint import Fingerprint
from hounsfield.prepare import apply_stored, recipe_of

# Enough slices to keep the cores busy, few enough to measure in a second or two; time grows with their number.
IMAGES, VOLUMES, SLICES = 16, 2, 8
REPEATS, ENOUGH_SECONDS = 3, 1.0
# One augmented image takes as long as a fixed part of Python and these many bilinear warps with noise, on one core:
# measured from 128² to 224² with one and three channels, within 4%.
AUGMENT_SECONDS, AUGMENT_WARPS = 0.0016, 1.7
# What decides the pace; a plan that differs in other decisions is as fast.
_DECIDING = (
    "dimension", "slices", "adjacent", "spacing", "size", "channels", "backbone", "frozen", "pooling", "precision",
    "conditioning", "windows", "labels",
)  # fmt: skip
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Pace:
    """Seconds and sizes at a plan's shape.

    Attributes
    ----------
    device:
        cpu, cuda or mps.
    front, tail, step:
        Seconds per case: the frozen front, one tail without gradient, one training step of a tail.
    augment:
        Seconds to augment a case once, on one core.
    prepare:
        Seconds to window and resize one slice, on one core.
    activation:
        Numbers per case that the front gives.
    saved:
        Bytes per case that a training step keeps for its gradient.
    largest:
        Bytes per slice (of a volume: per case) of the two largest maps in the front, held at once.
    front_bytes, tail_bytes:
        Bytes of the parameters of the front, and of one tail.
    """

    device: str
    front: float
    tail: float
    step: float
    augment: float
    prepare: float
    activation: int
    saved: float
    largest: float
    front_bytes: int
    tail_bytes: int


Measure = Callable[[Plan, Fingerprint, str], Pace]


class Meter:
    """Measures each shape once, however many plans ask for it."""

    def __init__(self, measure: Measure, found: Fingerprint, device: str) -> None:
        self.measure, self.found, self.device = measure, found, device
        self.known: dict[str, Pace] = {}

    def __call__(self, plan: Plan) -> Pace:
        key = repr([plan.decisions[name].value for name in _DECIDING])
        if key not in self.known:
            self.known[key] = self.measure(plan, self.found, self.device)
        return self.known[key]


def measure(plan: Plan, found: Fingerprint, device: str = "auto") -> Pace:
    """Time this plan's front and tail on random input of its shape. Takes a few seconds."""
    target = choose_device(device)
    # Random weights cost the same sums as pretrained ones.
    network = build(plan, members=1, blank=True).to(target)
    volume = plan.dimension.value == "3d"
    shown = plan.slices.value if volume else min(SLICES, plan.slices.value)
    cases = VOLUMES if volume else max(1, IMAGES // shown)
    more = plan.slices.value / shown
    inputs = torch.rand(cases, shown, plan.channels.value, *plan.size.value, device=target)
    precision = _AUTOCAST.get(plan.precision.value)
    with torch.autocast(target.type, dtype=precision or torch.bfloat16, enabled=precision is not None):
        with torch.inference_mode():
            front = _seconds(lambda: network.activate(inputs), target)
            activations = network.activate(inputs)
            tail = _seconds(lambda: network.members[0](activations), target)
            largest = _largest_maps(network, inputs)
        activations = activations.clone()
        trained = network.members[0].train()
        step = _seconds(lambda: _train_step(trained, activations), target)
        saved = _saved_bytes(trained, activations)
    return Pace(
        device=target.type,
        front=front / cases * more, tail=tail / cases * more, step=step / cases * more,
        augment=_augment_seconds(plan), prepare=_prepare_seconds(plan, found),
        activation=round(activations[0].numel() * more), saved=saved / cases * more,
        largest=largest / (cases if volume else cases * shown),
        front_bytes=_bytes(network.front), tail_bytes=_bytes(trained),
    )  # fmt: skip


def _train_step(tail: nn.Module, activations: torch.Tensor) -> None:
    tail(activations).float().square().mean().backward()
    tail.zero_grad(set_to_none=True)


def _seconds(function: Callable[[], object], device: torch.device) -> float:
    """The median of up to three runs after a first one, which is not counted."""

    def timed() -> float:
        started = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return max(1e-6, time.perf_counter() - started)

    if timed() > ENOUGH_SECONDS:
        return timed()
    return float(np.median([timed() for _ in range(REPEATS)]))


def _saved_bytes(tail: nn.Module, activations: torch.Tensor) -> float:
    """Bytes that autograd keeps for the gradient of one batch, the parameters left out."""
    own = {parameter.data_ptr() for parameter in tail.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        _train_step(tail, activations)
    return float(sum(kept.values()))


def _largest_maps(network: Network, inputs: torch.Tensor) -> float:
    sizes = [inputs.numel() * inputs.element_size()]

    def note(_module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor):
            sizes.append(output.numel() * output.element_size())

    hooks = [module.register_forward_hook(note) for module in network.modules()]
    network.members[0](network.activate(inputs))
    for hook in hooks:
        hook.remove()
    return float(sum(sorted(sizes)[-2:]))


def _bytes(module: nn.Module) -> int:
    return sum(value.numel() * value.element_size() for value in module.state_dict().values())


def _augment_seconds(plan: Plan) -> float:
    """What augmenting a case costs on one core, from a warp of its shape; training itself is a later room's work."""
    volume = plan.dimension.value == "3d"
    sides = ((plan.slices.value,) if volume else ()) + plan.size.value
    image = torch.rand(1, plan.channels.value, *sides)
    turn = torch.eye(len(sides), len(sides) + 1)[None]

    def warp() -> None:
        grid = functional.affine_grid(turn, list(image.shape), align_corners=False)
        warped = functional.grid_sample(image, grid, align_corners=False)
        warped.clamp_min(1e-6).pow(1.1).add_(torch.randn(image.shape))

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = _seconds(warp, torch.device("cpu"))
    finally:
        torch.set_num_threads(threads)
    return (AUGMENT_SECONDS + AUGMENT_WARPS * seconds) * (1 if volume else plan.slices.value)


def _prepare_seconds(plan: Plan, found: Fingerprint) -> float:
    """Window and resize one frame of the size that the files have."""
    deep = (3,) if plan.conditioning.value == "colour" else (2 * plan.adjacent.value + 1,) * bool(plan.adjacent.value)
    frame = np.random.default_rng(0).random((found.height, found.width, *deep), dtype=np.float32)
    recipe = recipe_of(plan)
    return _seconds(lambda: apply_stored(recipe, frame), torch.device("cpu"))
