"""Frozen means cached: the frozen front runs once per image and augmented view, and training reads its output.

The cache is a memory-mapped array, of half precision unless the plan says single; its folder is named by a digest of all
that it depends on.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from hounsfield.core import files
from hounsfield.core.digest import digest, digest_array
from hounsfield.core.plan import Plan
from hounsfield.errors import OutputError
from hounsfield.models import Network, counts_of
from hounsfield.models.runtime import fast_front
from hounsfield.prepare import Store, network_input, recipe_of
from hounsfield.read.workers import default_workers
from hounsfield.train.augment import augment, augmenter

# Images from which on a second of exporting is won back, and how many go through together.
WORTH_EXPORTING, TOGETHER = 200, 32
PRECISIONS = {"half": np.float16, "single": np.float32}


@dataclass(frozen=True)
class Activations:
    """Output of the front for every case: view 0 is the plain image, the others are augmented.

    `array` is (cases, 1 + views, slices, …), or (cases, 1 + views, …) of volumes. `counts` says how many slices of each
    case are real; the others were never written. `depth` is what volumes were filled up to.
    """

    array: np.memmap
    counts: np.ndarray
    rows: dict[str, int]
    views: int
    depth: int | None = None

    def read(self, cases: Sequence[str], view: np.ndarray) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return (cases, slices, …) float32, case i in view[i], and the count of real slices (None: all are)."""
        places = [self.rows[case] for case in cases]
        counts = self.counts[places]
        most = slice(int(counts.max())) if self.depth is None else slice(None)
        values = np.stack([self.array[place, number][most] for place, number in zip(places, view, strict=True)])
        return torch.from_numpy(values).float(), counts_of(counts, self.depth)


def cache(
    folder: Path,
    store: Store,
    cases: Sequence[str],
    network: Network,
    plan: Plan,
    device: torch.device,
    *,
    progress: Callable[[int, int], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Activations:
    """Run the front over all cases and views, or complete what an interrupted run left.

    `say` hears how much room it takes, before anything is written.

    Raises
    ------
    OutputError
        If there is no room on the disk, or the plan allows less.
    """
    views = plan.cached_views.value
    home = files.make_folder(folder) / _name(store, cases, network.front, plan)
    for other in folder.iterdir():
        if other.is_dir() and other != home:
            shutil.rmtree(other)
    shape = (len(cases), 1 + views, *_shape(network, plan, device))
    done = _create(home, shape, plan, say)
    array = np.lib.format.open_memmap(home / "activations.npy", mode="r+")
    counts = np.lib.format.open_memmap(home / "counts.npy", mode="r+")
    todo = [int(place) for place in np.flatnonzero(done == 0)]
    # Augmentation runs in worker processes of one thread each: small sums gain nothing from more, and lose much.
    loader = DataLoader(
        _Views(store, store.rows(cases), todo, plan),
        batch_size=None,
        num_workers=default_workers() if len(todo) > 8 else 0,
    )
    run = _runner(network, plan, device, len(todo) * (1 + views) * plan.slices.value)
    for number, (place, inputs) in enumerate(loader, start=1):
        count = inputs.shape[1]
        values = run(inputs)
        if network.volume:
            array[place] = values
        else:
            array[place, :, :count] = values
        counts[place] = count
        done[place] = 1
        if progress is not None:
            progress(number, len(todo))
    for written in (array, counts, done):
        written.flush()
    readable = np.lib.format.open_memmap(home / "activations.npy", mode="r")
    rows = {case: row for row, case in enumerate(cases)}
    return Activations(
        readable, np.array(counts, dtype=np.int64), rows, views, plan.slices.value if network.volume else None
    )


class _Views(Dataset[tuple[int, torch.Tensor]]):
    """The network's input for every view of a case: (1 + views, slices, channels, H, W)."""

    def __init__(self, store: Store, rows: np.ndarray, todo: Sequence[int], plan: Plan) -> None:
        self.store, self.rows, self.todo, self.plan = store, rows, todo, plan
        self.recipe, self.transforms = recipe_of(plan), augmenter(plan)

    def __len__(self) -> int:
        return len(self.todo)

    def __getitem__(self, number: int) -> tuple[int, torch.Tensor]:
        place = self.todo[number]
        stored = self.store.read(int(self.rows[place]))
        views = [stored]
        for view in range(1, 1 + self.plan.cached_views.value):
            views.append(augment(self.transforms, stored, (self.plan.seed.value, place, view)))
        inputs = torch.from_numpy(network_input(np.concatenate(views), self.recipe))
        return place, inputs.unflatten(0, (len(views), len(stored)))


def _runner(network: Network, plan: Plan, device: torch.device, images: int) -> Callable[[torch.Tensor], np.ndarray]:
    """Return what runs the front over the views of a case.

    ONNX Runtime adds up in another order than torch, which half precision hides; with single precision the cache is to
    hold exactly what training without it would see.
    """
    kind = PRECISIONS[plan.cache_precision.value]
    half = plan.cache_precision.value == "half"
    if device.type == "cpu" and half and not network.volume and images >= WORTH_EXPORTING:
        fast = fast_front(network.front, (plan.channels.value, *plan.size.value))
        if fast is not None:
            return lambda inputs: (
                torch.cat([fast(piece) for piece in inputs.flatten(0, 1).split(TOGETHER)])
                .unflatten(0, inputs.shape[:2])
                .numpy()
                .astype(kind)
            )
    return lambda inputs: _run(network, inputs, plan, device)


def _run(network: Network, inputs: torch.Tensor, plan: Plan, device: torch.device) -> np.ndarray:
    """(views, slices, channels, H, W) → what the array keeps of them."""
    counts = None
    if network.volume and inputs.shape[1] < plan.slices.value:
        counts = torch.full((len(inputs),), inputs.shape[1], device=device)
        inputs = functional.pad(inputs, (0, 0, 0, 0, 0, 0, 0, plan.slices.value - inputs.shape[1]))
    with torch.inference_mode():
        values = network.activate(inputs.to(device), counts)
    return values.float().cpu().numpy().astype(PRECISIONS[plan.cache_precision.value])


def _shape(network: Network, plan: Plan, device: torch.device) -> tuple[int, ...]:
    slices = plan.slices.value
    probe = torch.zeros(1, slices if network.volume else 1, plan.channels.value, *plan.size.value)
    shape = _run(network, probe, plan, device).shape[1:]
    return shape if network.volume else (slices, *shape[1:])


def _name(store: Store, cases: Sequence[str], front: nn.Module, plan: Plan) -> str:
    weights = {name: digest_array(value.cpu().numpy()) for name, value in front.state_dict().items()}
    settings = {
        name: plan.decisions[name].model_dump(mode="json")["value"]
        for name in ("augmentation", "cached_views", "cache_precision", "seed")
    }
    return digest(
        {"store": store.digest, "cases": list(cases), "front": weights, "late": plan.normalisation.value, **settings}
    )[:16]


def _create(home: Path, shape: tuple[int, ...], plan: Plan, say: Callable[[str], None] | None) -> np.memmap:
    if not (home / "done.npy").exists():
        kind = np.dtype(PRECISIONS[plan.cache_precision.value])
        need, free = int(np.prod(shape)) * kind.itemsize, shutil.disk_usage(home.parent).free
        limit = plan.limits.value.disk
        told = f"{need / 2**30:.2f} GiB"
        if need > free * 0.9 or (limit is not None and need > limit * 2**30):
            room = f"{free / 2**30:.1f} GiB are free" if need > free * 0.9 else f"the plan allows {limit:g} GiB"
            raise OutputError(
                f"the cache of frozen activations needs {told}, and {room}", where=home.parent,
                fix="Lower cached_views in plan.yaml, or free some room.",
            )  # fmt: skip
        if say is not None:
            say(f"the frozen activations of {shape[0]} cases in {shape[1]} views will take at most {told} on the disk")
        files.make_folder(home)
        np.lib.format.open_memmap(home / "activations.npy", mode="w+", dtype=kind, shape=shape).flush()
        np.lib.format.open_memmap(home / "counts.npy", mode="w+", dtype=np.uint16, shape=shape[:1]).flush()
        np.lib.format.open_memmap(home / "done.npy", mode="w+", dtype=np.uint8, shape=shape[:1]).flush()
    return np.lib.format.open_memmap(home / "done.npy", mode="r+")
