"""Frozen means cached: the frozen front runs once per image and augmented view, and training reads its output.

The cache is a memory-mapped half-precision array; its folder is named by a digest of all that it depends on.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from hounsfield.core import files
from hounsfield.core.digest import digest, digest_array
from hounsfield.core.plan import Plan
from hounsfield.errors import OutputError
from hounsfield.models.device import laid_out
from hounsfield.prepare import Store, network_input, recipe_of
from hounsfield.read.workers import default_workers
from hounsfield.train.augment import augment, augmenter

_TOGETHER = 32


@dataclass(frozen=True)
class Activations:
    """Output of the front for every case: view 0 is the plain image, the others are augmented.

    `array` is (cases, 1 + views, slices, …), float16.
    """

    array: np.memmap
    rows: dict[str, int]
    views: int

    def read(self, cases: Sequence[str], view: np.ndarray) -> torch.Tensor:
        """Return (cases, slices, …) float32, case i in view[i]."""
        places = [self.rows[case] for case in cases]
        return torch.from_numpy(
            np.stack([self.array[place, number] for place, number in zip(places, view, strict=True)])
        ).float()


def cache(
    folder: Path,
    store: Store,
    cases: Sequence[str],
    front: nn.Module,
    plan: Plan,
    device: torch.device,
    progress: Callable[[int, int], None] | None = None,
) -> Activations:
    """Run the front over all cases and views, or complete what an interrupted run left.

    Raises
    ------
    OutputError
        If there is no room on the disk.
    """
    views = plan.cached_views.value
    home = files.make_folder(folder) / _name(store, cases, front, plan)
    for other in folder.iterdir():
        if other.is_dir() and other != home:
            shutil.rmtree(other)
    shape = (len(cases), 1 + views, plan.slices.value, *_shape(front, plan, device))
    done = _create(home, shape)
    array = np.lib.format.open_memmap(home / "activations.npy", mode="r+")
    todo = [int(place) for place in np.flatnonzero(done == 0)]
    # Augmentation runs in worker processes of one thread each: small sums gain nothing from more, and lose much.
    loader = DataLoader(
        _Views(store, store.rows(cases), todo, plan),
        batch_size=None,
        num_workers=default_workers() if len(todo) > 8 else 0,
    )
    for number, (place, inputs) in enumerate(loader, start=1):
        array[place] = _run(front, inputs, device).reshape(shape[1:]).numpy().astype(np.float16)
        done[place] = 1
        if progress is not None:
            progress(number, len(todo))
    array.flush()
    done.flush()
    readable = np.lib.format.open_memmap(home / "activations.npy", mode="r")
    return Activations(readable, {case: row for row, case in enumerate(cases)}, views)


class _Views(Dataset[tuple[int, torch.Tensor]]):
    """The network's input for every view of a case: ((1 + views) * slices, channels, H, W)."""

    def __init__(self, store: Store, rows: np.ndarray, todo: Sequence[int], plan: Plan) -> None:
        self.store, self.rows, self.todo, self.plan = store, rows, todo, plan
        self.recipe, self.transforms = recipe_of(plan), augmenter(plan.augmentation.value)

    def __len__(self) -> int:
        return len(self.todo)

    def __getitem__(self, number: int) -> tuple[int, torch.Tensor]:
        place = self.todo[number]
        stored = self.store.read(int(self.rows[place]))
        views = [stored]
        for view in range(1, 1 + self.plan.cached_views.value):
            seeds = [(self.plan.seed.value, place, view, piece) for piece in range(len(stored))]
            views.append(
                np.stack([augment(self.transforms, *pair).numpy() for pair in zip(stored, seeds, strict=True)])
            )
        return place, torch.from_numpy(network_input(np.concatenate(views), self.recipe))


def _run(front: nn.Module, inputs: torch.Tensor, device: torch.device) -> torch.Tensor:
    with torch.inference_mode():
        pieces = [front(laid_out(piece.to(device))).float().cpu() for piece in inputs.split(_TOGETHER)]
    return torch.cat(pieces)


def _shape(front: nn.Module, plan: Plan, device: torch.device) -> tuple[int, ...]:
    height, width = plan.size.value
    return tuple(_run(front, torch.zeros(1, plan.channels.value, height, width), device).shape[1:])


def _name(store: Store, cases: Sequence[str], front: nn.Module, plan: Plan) -> str:
    weights = {name: digest_array(value.cpu().numpy()) for name, value in front.state_dict().items()}
    settings = {
        name: plan.decisions[name].model_dump(mode="json")["value"] for name in ("augmentation", "cached_views", "seed")
    }
    return digest(
        {"store": store.digest, "cases": list(cases), "front": weights, "late": plan.normalisation.value, **settings}
    )[:16]


def _create(home: Path, shape: tuple[int, ...]) -> np.memmap:
    if not (home / "done.npy").exists():
        need, free = int(np.prod(shape)) * 2, shutil.disk_usage(home.parent).free
        if need > free * 0.9:
            raise OutputError(
                f"the cache of frozen activations needs {need / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free",
                where=home.parent, fix="Lower cached_views in plan.yaml, or free some room.",
            )  # fmt: skip
        files.make_folder(home)
        np.lib.format.open_memmap(home / "activations.npy", mode="w+", dtype=np.float16, shape=shape).flush()
        np.lib.format.open_memmap(home / "done.npy", mode="w+", dtype=np.uint8, shape=shape[:1]).flush()
    return np.lib.format.open_memmap(home / "done.npy", mode="r+")
