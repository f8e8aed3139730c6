"""The history survives interruptions; batches follow from seed and epoch alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import torch

from hounsfield.train.batches import Batches
from hounsfield.train.history import append_history, joined_history


def _row(epoch: int, loss: float) -> dict[str, float]:
    return {
        "epoch": epoch, "train_loss": loss, "validation_loss": loss, "validation_auc": 0.5, "learning_rate": 1e-3,
        "images_per_second": 10.0, "seconds": 1.0,
    }  # fmt: skip


def test_an_epoch_that_is_run_again_replaces_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    for epoch, loss in ((0, 1.0), (1, 0.9), (2, 0.8), (1, 0.7)):
        append_history(path, _row(epoch, loss))
    table = pl.read_csv(path)
    assert table["epoch"].to_list() == [0, 1]
    assert table["train_loss"].to_list() == [1.0, 0.7]
    joined = joined_history([path, path], [0, 1])
    assert joined.filter(pl.col("best")).select("member", "epoch").rows() == [(0, 0), (1, 1)]


class _Numbers:
    """Gives the places themselves, and notes the epochs it was asked for."""

    def __init__(self) -> None:
        self.epochs: list[int | None] = []

    def read(self, places: list[int], epoch: int | None) -> tuple[torch.Tensor, None]:
        self.epochs.append(epoch)
        return torch.tensor(places, dtype=torch.float32)[:, None, None], None


def test_batches_depend_on_seed_and_epoch_only() -> None:
    targets = np.arange(11) % 2

    def order(seed: int | None, epoch: int) -> list[float]:
        batches = Batches(_Numbers(), targets, 4, seed=seed)
        batches.epoch = epoch
        return [float(value) for inputs, _, _ in batches for value in inputs.flatten()]

    assert order(5, 3) == order(5, 3)
    assert order(5, 3) != order(5, 4) != order(6, 4)
    assert sorted(order(5, 0)) == list(range(11))
    assert order(None, 7) == list(range(11))


def test_validation_reads_the_plain_image_and_every_case_once() -> None:
    source = _Numbers()
    batches = Batches(source, np.zeros(9, dtype=np.int64), 4, seed=None)
    assert sum(len(target) for _, _, target in batches) == 9 and set(source.epochs) == {None}
    # In training a last batch of one is left to the next epoch's shuffle.
    training = Batches(_Numbers(), np.zeros(9, dtype=np.int64), 4, seed=1)
    assert [len(target) for _, _, target in training] == [4, 4]
    assert len(list(training)) == len(training)


def test_a_balanced_sampler_draws_every_class_equally_often() -> None:
    targets = np.array([0] * 180 + [1] * 20)
    batches = Batches(_Numbers(), targets, 10, seed=3, balanced=True)
    drawn = []
    for epoch in range(20):
        batches.epoch = epoch
        drawn += [int(value) for _, _, target in batches for value in target]
    assert len(drawn) == 20 * len(targets)
    assert abs(np.mean(drawn) - 0.5) < 0.03
    batches.epoch = 0
    again = [int(value) for _, _, target in batches for value in target]
    assert again == drawn[: len(targets)], "the same seed and epoch draw the same cases"
