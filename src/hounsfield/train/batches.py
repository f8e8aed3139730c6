"""Batches for the fit: cached activations where the front is frozen, augmented images where it is not.

What a batch holds follows from (seed, epoch) alone, so that a resumed run sees what an uninterrupted one would.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch

from hounsfield.core.plan import Plan
from hounsfield.prepare import Store, network_input, recipe_of
from hounsfield.train.activations import Activations
from hounsfield.train.augment import augment, augmenter

Batch = tuple[torch.Tensor, torch.Tensor]


class Source(Protocol):
    """Gives the tail's input for cases: (cases, slices, …) float32. `epoch` None means the plain image."""

    def read(self, places: Sequence[int], epoch: int | None) -> torch.Tensor: ...


class CachedSource:
    """Reads activations; every epoch takes another view of each case, in an order of the case's own."""

    def __init__(self, activations: Activations, cases: Sequence[str], seed: int) -> None:
        self.activations, self.cases, self.seed = activations, list(cases), seed

    def read(self, places: Sequence[int], epoch: int | None) -> torch.Tensor:
        views = self.activations.views
        if epoch is None or views == 0:
            chosen = np.zeros(len(places), dtype=np.int64)
        else:
            offsets = np.random.default_rng((self.seed, 7)).integers(views, size=len(self.cases))
            chosen = 1 + (offsets[list(places)] + epoch) % views
        return self.activations.read([self.cases[place] for place in places], chosen)


class ImageSource:
    """Reads stored images and augments them anew in every epoch."""

    def __init__(self, store: Store, cases: Sequence[str], plan: Plan, seed: int) -> None:
        self.store, self.rows, self.seed = store, store.rows(cases), seed
        self.recipe, self.transforms = recipe_of(plan), augmenter(plan.augmentation.value)

    def read(self, places: Sequence[int], epoch: int | None) -> torch.Tensor:
        return torch.stack([self._case(place, epoch) for place in places])

    def _case(self, place: int, epoch: int | None) -> torch.Tensor:
        stored = self.store.read(int(self.rows[place]))
        if epoch is not None:
            stored = np.stack([
                augment(self.transforms, image, (self.seed, epoch, place, piece)).numpy() for piece, image in enumerate(stored)
            ])  # fmt: skip
        return torch.from_numpy(network_input(stored, self.recipe))


class Batches:
    """An epoch of (input, target) batches; shuffled by (seed, epoch) when training, in order otherwise."""

    def __init__(self, source: Source, targets: np.ndarray, size: int, *, seed: int | None = None) -> None:
        self.source, self.targets, self.size, self.seed = source, torch.from_numpy(targets), size, seed
        self.epoch = 0

    def __len__(self) -> int:
        full, rest = divmod(len(self.targets), self.size)
        # A last batch of one would give batch norm nothing to average over.
        return full + int(rest > 1 or (rest == 1 and (self.seed is None or full == 0)))

    def __iter__(self) -> Iterator[Batch]:
        count = len(self.targets)
        order = self._order(count)
        for start in range(0, len(self) * self.size, self.size):
            places = order[start : start + self.size]
            yield self.source.read(places.tolist(), None if self.seed is None else self.epoch), self.targets[places]

    def _order(self, count: int) -> np.ndarray:
        if self.seed is None:
            return np.arange(count)
        return np.random.default_rng((self.seed, self.epoch)).permutation(count)
