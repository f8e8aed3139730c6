"""The fit of one member: Lightning, AdamW with one cycle, early stopping and best checkpoint on validation AUC."""

from __future__ import annotations

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
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn

from hounsfield.core.plan import Plan
from hounsfield.measure import auc
from hounsfield.models import Tail
from hounsfield.models.device import laid_out
from hounsfield.train.batches import Batches
from hounsfield.train.history import append_history
from hounsfield.train.losses import loss_of

WARM_UP = 0.15


@dataclass(frozen=True)
class EpochNews:
    """What a progress bar can tell after an epoch."""

    epoch: int
    epochs: int
    loss: float
    validation_auc: float
    images_per_second: float


class Module(lightning.LightningModule):
    """A tail on batches of (cases, slices, …); a case's logit is the mean over its slices."""

    def __init__(self, tail: Tail, plan: Plan, steps: int) -> None:
        super().__init__()
        self.tail, self.plan, self.steps = tail, plan, steps
        self._seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        cases, slices = inputs.shape[:2]
        return self.tail(laid_out(inputs.flatten(0, 1))).view(cases, slices, -1).mean(dim=1)

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> torch.Tensor:
        inputs, target = batch
        value = loss_of(self.plan.loss.value, self.plan.labels.value, self.logits(inputs), target)
        self.log("train_loss", value, on_step=False, on_epoch=True, batch_size=len(target))
        return value

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> None:
        self._seen.append((self.logits(batch[0]).float().cpu(), batch[1].cpu()))

    def on_validation_epoch_end(self) -> None:
        logits = torch.cat([logits for logits, _ in self._seen])
        target = torch.cat([target for _, target in self._seen])
        self._seen.clear()
        value = float(loss_of(self.plan.loss.value, self.plan.labels.value, logits, target))
        scores = logits[:, 0].numpy() if logits.shape[1] == 1 else logits.softmax(dim=1).numpy()
        area = float(auc(target.numpy(), scores))
        # With few cases many epochs share one AUC; among those the smaller loss is the better fit.
        selection = (area if math.isfinite(area) else 0.0) - 1e-4 * math.tanh(value)
        self.log_dict({"validation_loss": value, "validation_auc": area, "selection": selection})

    def train(self, mode: bool = True) -> Module:
        """Set the mode; where the plan freezes batch norm, it keeps its statistics while its scale and shift learn."""
        super().train(mode)
        if mode and self.plan.batch_norm.value == "frozen":
            for module in self.tail.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def configure_optimizers(self) -> Any:
        groups = _groups(self.tail, self.plan)
        optimizer = torch.optim.AdamW(groups)
        rates = [group["lr"] for group in groups]
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=self.steps, pct_start=WARM_UP)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class _Epochs(Callback):
    """Seeds every epoch by its number, tells the batches which epoch it is, writes the history, and reports."""

    def __init__(self, batches: Batches, seed: int, folder: Path, news: Callable[[EpochNews], None] | None) -> None:
        self.batches, self.seed, self.folder, self.news, self.started = batches, seed, folder, news, 0.0

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: Any) -> None:
        self.batches.epoch = trainer.current_epoch
        torch.manual_seed(int(np.random.SeedSequence((self.seed, trainer.current_epoch)).generate_state(1)[0]))
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        pace = len(self.batches.targets) * module.plan.slices.value / max(1e-9, time.perf_counter() - self.started)
        found = {name: float(value) for name, value in trainer.callback_metrics.items()}
        row = {
            "epoch": trainer.current_epoch, "train_loss": found["train_loss"], "validation_loss": found["validation_loss"],
            "validation_auc": found["validation_auc"], "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "images_per_second": round(pace, 2),
        }  # fmt: skip
        append_history(self.folder / "history.csv", row)
        if self.news is not None:
            epochs = module.plan.epochs.value
            self.news(EpochNews(trainer.current_epoch + 1, epochs, row["train_loss"], row["validation_auc"], pace))


def fit(
    tail: Tail,
    plan: Plan,
    training: Batches,
    validation: Batches,
    folder: Path,
    *,
    seed: int,
    device: torch.device,
    news: Callable[[EpochNews], None] | None = None,
) -> tuple[int, float]:
    """Train a tail in place, ending with the weights of its best epoch; continue from `folder` where it holds a start.

    Returns
    -------
    The kept epoch (from 0) and its validation AUC.
    """
    epochs = plan.epochs.value
    module = Module(tail, plan, max(1, len(training)) * epochs)
    keep = ModelCheckpoint(
        folder, "best-{epoch}", monitor="selection", mode="max", save_last=True, enable_version_counter=False,
        save_on_train_epoch_end=True,
    )  # fmt: skip
    stop = EarlyStopping("selection", mode="max", patience=plan.patience.value, check_on_train_epoch_end=True)
    last = folder / "last.ckpt"
    with _quiet(), _interruptible(), torch.random.fork_rng(devices=[]):
        trainer = lightning.Trainer(
            accelerator=device.type if device.type != "cuda" else "gpu", devices=1, max_epochs=epochs,
            callbacks=[_Epochs(training, seed, folder, news), stop, keep],
            logger=TensorBoardLogger(folder, name="", version="tensorboard"),
            enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, log_every_n_steps=10_000,
            gradient_clip_val=1.0, deterministic="warn" if device.type == "cuda" else False,
        )  # fmt: skip
        trainer.fit(module, training, validation, ckpt_path=last if last.exists() else None, weights_only=True)
    best = torch.load(keep.best_model_path, map_location="cpu", weights_only=True)
    tail.load_state_dict({name.removeprefix("tail."): value for name, value in best["state_dict"].items()})
    tail.eval()
    return int(best["epoch"]), float(keep.best_model_score or math.nan)


def _groups(tail: Tail, plan: Plan) -> list[dict[str, Any]]:
    """Return the optimizer's groups: the head first, at the full rate; then the backbone, at a share of it.

    Weight decay is for matrices and kernels; norms and biases have no size to keep small.
    """
    head = {id(parameter) for parameter in tail.model.get_classifier().parameters()}
    groups = []
    for is_head, share in ((True, 1.0), (False, plan.backbone_rate.value)):
        for is_kernel, decay in ((True, plan.weight_decay.value), (False, 0.0)):
            chosen = [p for p in tail.parameters() if (id(p) in head) == is_head and (p.ndim > 1) == is_kernel]
            if chosen:
                groups.append({"params": chosen, "lr": plan.learning_rate.value * share, "weight_decay": decay})
    return groups


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
