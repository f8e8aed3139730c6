"""train: Cohort + Plan → sealed Bundle. Every step leaves files, so that the same command goes on after an interruption."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from hounsfield.core import files
from hounsfield.core.bundle import Bundle
from hounsfield.core.cohort import Cohort
from hounsfield.core.digest import digest
from hounsfield.core.plan import Plan
from hounsfield.core.predictions import Predictions
from hounsfield.errors import LabelError, PlanError, SplitError
from hounsfield.models import Network, build, renew
from hounsfield.models.device import choose_device
from hounsfield.plan import check_plan
from hounsfield.predict import by_torch, files_of, tabulate
from hounsfield.predict.engine import score
from hounsfield.predict.suit import INPUT, noted
from hounsfield.prepare import Preparation, Store, fill, preparation_from, stored_channels
from hounsfield.train.activations import Activations, cache
from hounsfield.train.batches import Batches, CachedSource, ImageSource, Source
from hounsfield.train.calibrate import calibrate
from hounsfield.train.describe import describe
from hounsfield.train.fit import Course, EpochNews, fit
from hounsfield.train.history import joined_history
from hounsfield.train.members import Parts, parts_of_members, targets_of
from hounsfield.train.tracking import mlflow_logger

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Trained:
    """What training gives: the bundle, the cohort with unreadable cases put aside, and out-of-fold predictions if any."""

    bundle: Bundle
    cohort: Cohort
    out_of_fold: Predictions | None


@dataclass(frozen=True)
class Listeners:
    """Who hears of a training: of counts (what, done, total), of a member's epochs, of lines to say; and of its metrics.

    `mlflow` is the tracking URI of an MLflow server, or a folder.
    """

    progress: Progress = lambda *_: None
    news: Callable[[int, EpochNews], None] | None = None
    say: Callable[[str], None] = lambda _: None
    mlflow: str | None = None


def train(
    cohort: Cohort,
    plan: Plan,
    run: Path,
    *,
    device: str = "auto",
    workers: int | None = None,
    listeners: Listeners | None = None,
) -> Trained:
    """Train and seal a bundle in `run`/bundle.

    Parameters
    ----------
    run:
        The run folder; `store`, `train` and `bundle` are written in it, and read when a run is resumed.

    Raises
    ------
    PlanError
        If the plan was made for another cohort.
    LabelError, SplitError
        If too few cases can be read.
    UsageError
        If MLflow is asked for and not installed.
    """
    if plan.cohort != cohort.digest:
        raise PlanError(
            "the plan was made for another cohort", where=run / "plan.yaml", fix="Plan again: hounsfield plan RUN"
        )
    check_plan(plan)
    heard = listeners or Listeners()
    started = time.time()
    files.make_folder(run / "train")
    preparation = preparation_from(plan)
    table = cohort.part("train", "validation")
    store = fill(
        run / "store", files_of(cohort, table), preparation, stored_channels(plan), workers=workers,
        progress=lambda done, total: heard.progress("reading images", done, total),
    )  # fmt: skip
    cohort = cohort.put_aside(store.refused, stage="store")
    table = cohort.part("train", "validation")
    _all_labels_left(table, cohort)
    target = choose_device(device)
    network = build(plan).to(target)
    activations = None
    if plan.cached_views.value and plan.frozen.value != "none":
        activations = cache(
            run / "train" / "cache", store, table["case"].to_list(), network, plan, target, say=heard.say,
            progress=lambda done, total: heard.progress("running the frozen layers", done, total),
        )  # fmt: skip
    home = _member_folder(run, plan, store, table)
    parts = parts_of_members(table, plan, cohort.about.folds, cohort.about.repeats)
    fits = _Fits(network, plan, store, activations, table, home, target, heard, _deadlines(plan, started, len(parts)))
    kept = [fits.member(number, part) for number, part in enumerate(parts)]
    histories = [home / f"member-{number}" / "history.csv" for number in range(len(parts))]
    with files.replacing(run / "train" / "history.csv") as partial:
        joined_history(histories, kept).write_csv(partial)
    network.save(run / "train" / "weights.safetensors")
    cases = cohort.part("train")["case"].to_list()
    seen = fits.source(cases, plan.seed.value)
    described = describe(
        network, store, cases, seen, plan.slices.value, colour=plan.conditioning.value == "colour"
    ) if cases else {}  # fmt: skip
    return _seal(network, cohort, plan, preparation, parts, store, described, run, target, workers, heard)


@dataclass(frozen=True)
class _Fits:
    """The fits of a run's members, one after the other, and what they share."""

    network: Network
    plan: Plan
    store: Store
    activations: Activations | None
    table: pl.DataFrame
    home: Path
    device: torch.device
    heard: Listeners
    deadlines: Sequence[float | None]

    def member(self, number: int, part: Parts) -> int:
        """Fit one member in place and return the kept epoch; a member that was finished earlier is loaded."""
        tail: Any = self.network.members[number]
        folder = self.home / f"member-{number}"
        finished = folder / "finished.json"
        if finished.exists():
            tail.load_state_dict(torch.load(folder / "tail.pt", map_location=self.device, weights_only=True))
            return int(files.read_json(finished)["epoch"])
        seed = self.plan.seed.value * 1000 + number
        renew(tail, self.plan, seed)
        files.make_folder(folder)
        news = self.heard.news
        course = Course(
            news=None if news is None else lambda epoch_news: news(number, epoch_news),
            deadline=self.deadlines[number],
            loggers=() if self.heard.mlflow is None else (mlflow_logger(self.heard.mlflow, self.plan, number),),
        )
        epoch, area = fit(
            tail, self.plan, self._batches(part.train, seed, True), self._batches(part.validation, seed, False), folder,
            seed=seed, device=self.device, course=course,
        )  # fmt: skip
        tail.to(self.device)
        torch.save(tail.state_dict(), folder / "tail.pt")
        files.write_json(finished, {"epoch": epoch, "validation_auc": area, "fold": part.fold, "repeat": part.repeat})
        for checkpoint in folder.glob("*.ckpt"):
            checkpoint.unlink()
        return epoch

    def source(self, cases: list[str], seed: int) -> Source:
        """What the frozen front sees of cases: cached where there is a cache."""
        if self.activations:
            return CachedSource(self.activations, cases, seed)
        return ImageSource(self.store, cases, self.plan, seed, self.network)

    def _batches(self, cases: list[str], seed: int, training: bool) -> Batches:
        plan = self.plan
        source = self.source(cases, seed)
        place = {case: row for row, case in enumerate(self.table["case"])}
        targets = targets_of(self.table[[place[case] for case in cases]], plan)
        balanced = training and plan.sampler.value == "balanced"
        return Batches(source, targets, plan.batch.value, seed=seed if training else None, balanced=balanced)


def _deadlines(plan: Plan, started: float, members: int) -> list[float | None]:
    """When each member must end, so that all have the same share of the minutes that the plan allows."""
    minutes = plan.limits.value.minutes
    if minutes is None:
        return [None] * members
    now, end = time.time(), started + minutes * 60
    return [now + (end - now) * (number + 1) / members for number in range(members)]


def _seal(
    network: Network, cohort: Cohort, plan: Plan, preparation: Preparation, parts: list[Parts], store: Store,
    described: dict[str, Any], run: Path, device: torch.device, workers: int | None, heard: Listeners,
) -> Trained:  # fmt: skip
    folds = cohort.about.folds
    table = cohort.part("train" if folds else "calibration")
    network.eval()
    scored = score(
        by_torch(network, device), files_of(cohort, table), preparation, workers=workers,
        progress=lambda done, total: heard.progress("predicting out of fold" if folds else "calibrating", done, total),
    )  # fmt: skip
    cohort = cohort.put_aside(scored.refused, stage="calibrate")
    rows = table.filter(pl.col("case").is_in(list(scored.logits)))
    if rows.height == 0:
        raise SplitError("no case of the calibration part can be read", fix="See quarantine.csv.")
    truth, weights = targets_of(rows, plan), _weights(plan, cohort)
    if folds:
        member = {(part.repeat, part.fold): number for number, part in enumerate(parts)}
        judged = [[member[place] for place in enumerate(of_case)] for of_case in rows["folds"]]
        logits = np.stack([
            scored.logits[case][numbers].mean(axis=0) for case, numbers in zip(rows["case"], judged, strict=True)
        ])  # fmt: skip
        told = f"out-of-fold logits of {folds} folds" + (
            f", {cohort.about.repeats} times" if cohort.about.repeats > 1 else ""
        )
    else:
        logits = np.stack([scored.logits[case].mean(axis=0) for case in rows["case"]])
        told = "the calibration part"
    calibration = calibrate(plan, logits, truth, weights, told)
    reference = _reference(cohort, plan, store, described)
    bundle = Bundle.seal(
        run / "bundle", plan=plan, recipe=preparation.recipe, calibration=calibration, reference=reference,
        weights=run / "train" / "weights.safetensors",
    )  # fmt: skip
    if not folds:
        return Trained(bundle, cohort, None)
    first = rows["folds"].list.first().to_numpy()
    # Each fold is calibrated by the others, so that no case helps to set its own threshold.
    crossed = {
        fold: calibrate(plan, logits[first != fold], truth[first != fold], weights, "the other folds")
        for fold in np.unique(first)
    }
    each = [crossed[fold] for fold in first]
    return Trained(bundle, cohort, tabulate(rows, logits, plan, each, bundle.core_digest, "folds"))


def _weights(plan: Plan, cohort: Cohort) -> dict[str, float]:
    """How much a case of each label weighed in training: by the loss, or by a sampler that draws rare classes more often."""
    if plan.sampler.value == "shuffled":
        return plan.loss.value.class_weights
    counts = dict(cohort.part("train").group_by("label").len().iter_rows())
    return {
        label: plan.loss.value.class_weights.get(label, 1.0) / max(1, counts.get(label, 0))
        for label in plan.labels.value
    }


def _reference(cohort: Cohort, plan: Plan, store: Store, described: dict[str, Any]) -> dict[str, Any]:
    """What training images were like, for whoever asks whether a new image is one of theirs. No patient data."""
    train = cohort.part("train")
    rows = store.rows(train["case"].to_list())
    sample = np.concatenate([store.read(int(row)) for row in rows[:: max(1, len(rows) // 64)]])
    counts = {
        name: int(
            (train["states"].list.get(place) == 1).sum() if cohort.about.multi_label else (train["label"] == name).sum()
        )
        for place, name in enumerate(cohort.about.labels)
    }
    return {
        INPUT: noted(train, described),
        "unit": plan.unit.value,
        "modality": train["modality"].drop_nulls().mode().sort().to_list()[:1],
        "body_part": train["body_part"].drop_nulls().mode().sort().to_list()[:1],
        "cases": train.height,
        "patients": train["patient"].n_unique(),
        "counts": counts,
        "mean": [round(float(value), 5) for value in sample.mean(axis=(0, 2, 3))],
        "std": [round(float(value), 5) for value in sample.std(axis=(0, 2, 3))],
    }


def _all_labels_left(table: pl.DataFrame, cohort: Cohort) -> None:
    if table.is_empty():
        reasons = cohort.table["quarantine"].drop_nulls().value_counts(sort=True)["quarantine"].head(3)
        raise LabelError(
            f"no case can be used: {'; '.join(reasons.to_list())}", fix="See quarantine.csv for all the reasons."
        )
    for part in table["split"].unique():
        mine = table.filter(pl.col("split") == part)
        found = set(mine["label"])
        if cohort.about.multi_label:
            found = {
                name for place, name in enumerate(cohort.about.labels) if (mine["states"].list.get(place) == 1).any()
            }
        missing = set(cohort.about.labels) - found
        if missing and (part == "train" or not cohort.about.multi_label):
            raise LabelError(
                f"no readable {part} case is labelled {', '.join(sorted(missing))}",
                fix="See quarantine.csv for the reasons.",
            )


def _member_folder(run: Path, plan: Plan, store: Store, table: pl.DataFrame) -> Path:
    """Return the folder of this very training; what another plan left behind is removed."""
    key = digest(
        {
            "plan": plan.digest,
            "store": store.digest,
            "cases": table.select("case", "split", "folds", "label", "states").rows(),
        }
    )[:16]
    home = run / "train" / f"members-{key}"
    for other in (run / "train").glob("members-*"):
        if other != home:
            shutil.rmtree(other)
    return files.make_folder(home)
