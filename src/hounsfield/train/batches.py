"""Batches for the fit: cached activations where the front is frozen, augmented images where it is not.

What a batch holds follows from (seed, epoch) alone, so that a resumed run sees what an uninterrupted one would.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch

from hounsfield.core.plan import Plan
from hounsfield.models import Network, stacked
from hounsfield.prepare import Store, network_input, recipe_of
from hounsfield.train.activations import Activations
from hounsfield.train.augment import augment, augmenter

Batch = tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]


class Source(Protocol):
    """Gives the tail's input for cases, and how many slices of each are real (None: all). `epoch` None: the plain image."""

    def read(self, places: Sequence[int], epoch: int | None) -> tuple[torch.Tensor, torch.Tensor | None]: ...


class CachedSource:
    """Reads activations; every epoch takes another view of each case, in an order of the case's own."""

    def __init__(self, activations: Activations, cases: Sequence[str], seed: int) -> None:
        self.activations, self.cases, self.seed = activations, list(cases), seed

    def read(self, places: Sequence[int], epoch: int | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        views = self.activations.views
        if epoch is None or views == 0:
            chosen = np.zeros(len(places), dtype=np.int64)
        else:
            offsets = np.random.default_rng((self.seed, 7)).integers(views, size=len(self.cases))
            chosen = 1 + (offsets[list(places)] + epoch) % views
        return self.activations.read([self.cases[place] for place in places], chosen)


class ImageSource:
    """Reads stored images and augments them anew in every epoch; the frozen front, if there is any, runs on each batch."""

    def __init__(self, store: Store, cases: Sequence[str], plan: Plan, seed: int, network: Network) -> None:
        self.store, self.rows, self.seed, self.network = store, store.rows(cases), seed, network
        self.recipe, self.transforms = recipe_of(plan), augmenter(plan)

    def read(self, places: Sequence[int], epoch: int | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        inputs, counts = stacked([self._case(place, epoch) for place in places])
        device = next(self.network.parameters()).device
        inputs, counts = inputs.to(device), None if counts is None else counts.to(device)
        with torch.no_grad():
            return self.network.activate(inputs, counts), counts

    def _case(self, place: int, epoch: int | None) -> np.ndarray:
        stored = self.store.read(int(self.rows[place]))
        if epoch is not None:
            stored = augment(self.transforms, stored, (self.seed, epoch, place))
        return network_input(stored, self.recipe)


class Batches:
    """An epoch of (input, counts, target) batches.

    Parameters
    ----------
    targets:
        (cases,) class index, or (cases, findings) floats with NaN where a finding is not known.
    seed:
        Where given, cases are shuffled by (seed, epoch) and augmented; else they come in order, and plain.
    balanced:
        Every class is drawn equally often, with replacement, instead of every case once.
    """

    def __init__(
        self, source: Source, targets: np.ndarray, size: int, *, seed: int | None = None, balanced: bool = False
    ) -> None:
        self.source, self.targets, self.size, self.seed = source, torch.from_numpy(targets), size, seed
        self.shares = _equal_shares(targets) if balanced else None
        self.epoch = 0

    def __len__(self) -> int:
        full, rest = divmod(len(self.targets), self.size)
        # A last batch of one would give batch norm nothing to average over.
        return full + int(rest > 1 or (rest == 1 and (self.seed is None or full == 0)))

    def __iter__(self) -> Iterator[Batch]:
        order = self._order(len(self.targets))
        for start in range(0, len(self) * self.size, self.size):
            places = order[start : start + self.size]
            inputs, counts = self.source.read(places.tolist(), None if self.seed is None else self.epoch)
            yield inputs, counts, self.targets[places]

    def _order(self, count: int) -> np.ndarray:
        if self.seed is None:
            return np.arange(count)
        generator = np.random.default_rng((self.seed, self.epoch))
        return generator.permutation(count) if self.shares is None else generator.choice(count, count, p=self.shares)


def _equal_shares(targets: np.ndarray) -> np.ndarray:
    """(cases,) probabilities of being drawn that give every class the same total."""
    counts = np.bincount(targets)
    shares = 1.0 / counts[targets]
    return np.asarray(shares / shares.sum())
