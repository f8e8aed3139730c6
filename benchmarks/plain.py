"""A plain training loop, as one writes it by hand with PyTorch: no cache, the frozen layers run anew in every step.

The network, loss, optimiser, schedule and augmentation are those of the plan, so that what differs from Hounsfield is the
way through them. Frozen layers run in evaluation mode and keep no gradients; images lie in memory, prepared once; two
workers augment them; validation follows each epoch, and the epoch is kept that Hounsfield's rule keeps.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from common import Images
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler

from hounsfield.core import Plan
from hounsfield.models import Network, build, renew, stacked
from hounsfield.prepare import network_input, recipe_of
from hounsfield.train.augment import augment, augmenter
from hounsfield.train.fit import Standing, validation_auc
from hounsfield.train.losses import loss_of
from hounsfield.train.optimise import optimiser, schedule

WORKERS = 2
TICKS = 1000  # steps of a schedule that follows the clock

Batch = tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]


@dataclass
class Fitted:
    """The network at its best epoch, and (seconds since the start, validation AUC) after each epoch."""

    network: Network
    history: list[tuple[float, float]] = field(default_factory=list)
    best: int = -1

    @property
    def validation_auc(self) -> float:
        return self.history[self.best][1]


def whole(plan: Plan) -> Plan:
    """The plan of plain full fine-tuning: every layer learns, batch norm too, and a head on the last map, as is usual."""
    return plan.changed(frozen="none", cached_views=0, batch_norm="trained", head="last")


def fit(training: Images, validation: Images, plan: Plan, *, seed: int, seconds: float | None = None) -> Fitted:
    """Train a network of the plan, for its epochs or, where given, for so many seconds (validation included).

    It keeps the epoch that Hounsfield would keep, and stops early after the plan's `patience` epochs without such a one.
    """
    started = time.perf_counter()
    torch.manual_seed(seed)
    network = build(plan, 1)
    tail = network.tails[0]
    renew(tail, plan, seed * 1000)
    loader = _loader(training, plan, seed)
    steps = TICKS if seconds else len(loader) * plan.epochs.value
    optimizer = optimiser(tail, plan)
    scheduler = schedule(optimizer, plan, steps)
    found, best, standing, done = Fitted(network), tail.state_dict(), Standing(), 0
    while True:
        _learn(tail, plan)
        for inputs, counts, targets in loader:
            with torch.no_grad():
                activations = network.activate(inputs, counts)
            loss = loss_of(plan.loss.value, plan.labels.value, tail(activations, counts), targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(tail.parameters(), plan.clip.value)
            optimizer.step()
            done += 1
            spent = time.perf_counter() - started
            _advance(scheduler, round(TICKS * spent / seconds) if seconds else done, steps)
            if seconds and spent >= seconds:
                break
        logits = torch.from_numpy(predict(network, validation, plan))
        area, error = validation_auc(logits, torch.from_numpy(validation.targets))
        found.history.append((time.perf_counter() - started, area))
        if standing.after(area, error):
            best, found.best = copy.deepcopy(tail.state_dict()), len(found.history) - 1
        last = len(found.history) - 1
        over = time.perf_counter() - started >= seconds if seconds else len(found.history) == plan.epochs.value
        if over or last - found.best >= plan.patience.value:
            break
    tail.load_state_dict(best)
    network.eval()
    return found


def predict(network: Network, images: Images, plan: Plan) -> np.ndarray:
    """Return (cases, outputs) logits of the images as they are."""
    network.eval()
    recipe, size, found = recipe_of(plan), plan.batch.value, []
    with torch.inference_mode():
        for start in range(0, len(images.arrays), size):
            cases = [network_input(case, recipe) for case in images.arrays[start : start + size]]
            found.append(network(*stacked(cases)).float().numpy())
    return np.concatenate(found)


def _learn(tail: nn.Module, plan: Plan) -> None:
    """Training mode; where the plan freezes batch norm, its statistics stay."""
    tail.train()
    if plan.batch_norm.value == "frozen":
        for module in tail.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def _advance(scheduler: Any, place: int, steps: int) -> None:
    while scheduler.last_epoch < min(place, steps - 1):
        scheduler.step()


def _loader(images: Images, plan: Plan, seed: int) -> DataLoader[Batch]:
    order = _Order(len(images.arrays), plan.batch.value, seed)
    data = _Augmented(images, plan, seed)
    return DataLoader(
        data, batch_sampler=order, num_workers=WORKERS, collate_fn=_collated, persistent_workers=True, prefetch_factor=4
    )


class _Order(Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, place), shuffled anew in every epoch; a last batch of one is left out."""

    def __init__(self, count: int, size: int, seed: int) -> None:
        self.count, self.size, self.seed, self.epoch = count, size, seed, 0

    def __len__(self) -> int:
        return max(1, (self.count + self.size - 2) // self.size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.count)
        for number in range(len(self)):
            yield [(self.epoch, int(place)) for place in order[number * self.size : (number + 1) * self.size]]
        self.epoch += 1


class _Augmented(Dataset[tuple[np.ndarray, int]]):
    """The network's input of a case, augmented anew in every epoch."""

    def __init__(self, images: Images, plan: Plan, seed: int) -> None:
        self.images, self.seed = images, seed
        self.recipe, self.transforms = recipe_of(plan), augmenter(plan)

    def __getitem__(self, item: tuple[int, int]) -> tuple[np.ndarray, int]:
        epoch, place = item
        shown = augment(self.transforms, self.images.arrays[place], (self.seed, epoch, place))
        return network_input(shown, self.recipe), int(self.images.targets[place])


def _collated(cases: list[tuple[np.ndarray, int]]) -> Batch:
    inputs, counts = stacked([case for case, _ in cases])
    return inputs, counts, torch.tensor([target for _, target in cases])
