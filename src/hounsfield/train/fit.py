"""The fit of one member with Lightning: early stopping and the best checkpoint, both on validation AUC."""

from __future__ import annotations

import dataclasses
import logging
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from torch import nn

from hounsfield.core.plan import Plan
from hounsfield.measure import auc, auc_error
from hounsfield.models import Tail
from hounsfield.train.batches import Batch, Batches
from hounsfield.train.history import append_history
from hounsfield.train.losses import loss_of
from hounsfield.train.optimise import optimiser, schedule, unfreeze

# The metric that checkpoint and early stopping watch: the epoch's number where it is the one to keep, else -1.
STANDING = "standing"
PRECISIONS: dict[str, Any] = {"single": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


@dataclass(frozen=True)
class EpochNews:
    """What a progress bar can tell after an epoch. `seconds_left` of this member, if it does not stop early."""

    epoch: int
    epochs: int
    loss: float
    validation_auc: float
    images_per_second: float
    seconds_left: float


class Module(lightning.LightningModule):
    """A tail on batches of (activations or images, slice counts, targets)."""

    def __init__(self, tail: Tail, plan: Plan, steps: int) -> None:
        super().__init__()
        self.tail, self.plan, self.steps = tail, plan, steps
        self.standing = Standing()
        self._seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        inputs, counts, target = batch
        logits = self.tail(inputs, counts).float()
        value = loss_of(self.plan.loss.value, self.plan.labels.value, logits, target)
        self.log("train_loss", value, on_step=False, on_epoch=True, batch_size=len(target))
        return value

    def validation_step(self, batch: Batch, _: int) -> None:
        inputs, counts, target = batch
        self._seen.append((self.tail(inputs, counts).float().cpu(), target.cpu()))

    def on_validation_epoch_end(self) -> None:
        logits = torch.cat([logits for logits, _ in self._seen])
        target = torch.cat([target for _, target in self._seen])
        self._seen.clear()
        value = float(loss_of(self.plan.loss.value, self.plan.labels.value, logits, target))
        area, error = validation_auc(logits, target)
        stands = self.standing.after(area, error)
        self.log_dict(
            {"validation_loss": value, "validation_auc": area, STANDING: float(self.current_epoch) if stands else -1.0}
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[STANDING] = dataclasses.asdict(self.standing)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.standing = Standing(**checkpoint[STANDING])

    def train(self, mode: bool = True) -> Module:
        """Set the mode; where the plan freezes batch norm, it keeps its statistics while its scale and shift learn."""
        super().train(mode)
        if mode and self.plan.batch_norm.value == "frozen":
            for module in self.tail.model.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        if mode:
            unfreeze(self.tail, self.plan, self.current_epoch)
        return self

    def configure_optimizers(self) -> Any:
        optimizer = optimiser(self.tail, self.plan)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule(optimizer, self.plan, self.steps), "interval": "step"},
        }


@dataclass
class Standing:
    """Which epoch is kept: the last whose AUC is within one standard error of the best so far.

    With few validation cases the best of many noisy epochs is an early one by luck, taken while the rate was high. Later
    epochs, in which the rate has fallen, are better than they can show there (Breiman 1984, the 1-SE rule). With many
    cases the error is small, and the best is kept.
    """

    best: float = -1.0
    error: float = 0.0
    kept: float = math.nan

    def after(self, area: float, error: float) -> bool:
        """Take in an epoch's AUC and its standard error, and say whether the epoch is the one to keep now."""
        area, error = (area, error) if math.isfinite(area) else (0.0, 0.0)
        if area > self.best:
            self.best, self.error = area, error
        if area < self.best - self.error:
            return False
        self.kept = area
        return True


def validation_auc(logits: torch.Tensor, target: torch.Tensor) -> tuple[float, float]:
    """Return the AUC and its standard error; unweighted over several classes (one against the rest) or over findings."""
    if target.ndim == 1:
        scores = logits if logits.shape[1] == 1 else logits.softmax(dim=1)
        places = [1] if logits.shape[1] == 1 else list(range(logits.shape[1]))
        judged = [((target == place).long(), scores[:, column]) for column, place in enumerate(places)]
    else:
        known = ~target.isnan()
        judged = [(target[mine, column].long(), logits[mine, column]) for column, mine in enumerate(known.T)]
    found = []
    for truth, scores in judged:
        area, positives = float(auc(truth.numpy(), scores.numpy())), int(truth.sum())
        if math.isfinite(area):
            found.append((area, auc_error(area, positives, len(truth) - positives)))
    if not found:
        return math.nan, math.nan
    return sum(area for area, _ in found) / len(found), math.hypot(*(error for _, error in found)) / len(found)


class _Epochs(Callback):
    """Seeds every epoch by its number, tells the batches which epoch it is, writes the history, reports, and minds the clock."""

    def __init__(self, batches: Batches, seed: int, folder: Path, course: Course) -> None:
        self.batches, self.seed, self.folder, self.course = batches, seed, folder, course
        self.started, self.spent = 0.0, []  # type: float, list[float]

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: Any) -> None:
        self.batches.epoch = trainer.current_epoch
        torch.manual_seed(int(np.random.SeedSequence((self.seed, trainer.current_epoch)).generate_state(1)[0]))
        module.train()
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        self.spent.append(time.perf_counter() - self.started)
        pace = len(self.batches.targets) * module.plan.slices.value / max(1e-9, self.spent[-1])
        found = {name: float(value) for name, value in trainer.callback_metrics.items()}
        epoch, epochs = trainer.current_epoch + 1, module.plan.epochs.value
        left = (epochs - epoch) * float(np.median(self.spent))
        row = {
            "epoch": trainer.current_epoch, "train_loss": found["train_loss"], "validation_loss": found["validation_loss"],
            "validation_auc": found["validation_auc"], "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "images_per_second": round(pace, 2), "seconds": round(self.spent[-1], 3),
        }  # fmt: skip
        append_history(self.folder / "history.csv", row)
        if self.course.news is not None:
            self.course.news(EpochNews(epoch, epochs, row["train_loss"], row["validation_auc"], pace, left))
        if self.course.deadline is not None and time.time() + max(self.spent) > self.course.deadline:
            trainer.should_stop = True


@dataclass(frozen=True)
class Course:
    """What accompanies a fit: who hears of its epochs, when it must end (seconds of `time.time`), further loggers."""

    news: Callable[[EpochNews], None] | None = None
    deadline: float | None = None
    loggers: tuple[Logger, ...] = ()


def fit(
    tail: Tail,
    plan: Plan,
    training: Batches,
    validation: Batches,
    folder: Path,
    *,
    seed: int,
    device: torch.device,
    course: Course | None = None,
) -> tuple[int, float]:
    """Train a tail in place, ending with the weights of its best epoch; continue from `folder` where it holds a start.

    A deadline ends the fit before the first epoch that would probably overrun it, but never before one epoch is done.

    Returns
    -------
    The kept epoch (from 0) and its validation AUC.
    """
    course = course or Course()
    epochs, together = plan.epochs.value, plan.accumulate.value
    module = Module(tail, plan, max(1, math.ceil(len(training) / together)) * epochs)
    keep = ModelCheckpoint(
        folder, "best-{epoch}", monitor=STANDING, mode="max", save_last=True, enable_version_counter=False,
        save_on_train_epoch_end=True,
    )  # fmt: skip
    stop = EarlyStopping(STANDING, mode="max", patience=plan.patience.value, check_on_train_epoch_end=True)
    last = folder / "last.ckpt"
    with _quiet(), _interruptible(), _algorithms(plan), torch.random.fork_rng(devices=[]):
        trainer = lightning.Trainer(
            accelerator=device.type if device.type != "cuda" else "gpu", devices=1, max_epochs=epochs,
            callbacks=[_Epochs(training, seed, folder, course), stop, keep],
            logger=[TensorBoardLogger(folder, name="", version="tensorboard"), *course.loggers],
            enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, log_every_n_steps=10_000,
            gradient_clip_val=plan.clip.value, accumulate_grad_batches=together, precision=PRECISIONS[plan.precision.value],
        )  # fmt: skip
        trainer.fit(module, training, validation, ckpt_path=last if last.exists() else None, weights_only=True)
    for parameter in tail.parameters():
        parameter.requires_grad_(True)
    best = torch.load(keep.best_model_path, map_location="cpu", weights_only=True)
    tail.load_state_dict({name.removeprefix("tail."): value for name, value in best["state_dict"].items()})
    tail.eval()
    return int(best["epoch"]), float(best[STANDING]["kept"])


@contextmanager
def _algorithms(plan: Plan) -> Iterator[None]:
    """Choose deterministic algorithms where the plan asks for them, and give back what was set before."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(plan.deterministic.value)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's notes about workers and devices from a user who cannot act on them; give all back afterwards."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Give Ctrl-C back to the caller: Lightning ends the process, and leaves the signal switched off."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stop:
        raise KeyboardInterrupt from stop
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)
