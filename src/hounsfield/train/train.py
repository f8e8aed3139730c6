"""train: Cohort + Plan → sealed Bundle. Every step leaves files, so that the same command goes on after an interruption."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from hounsfield.cohort.split import split_patients
from hounsfield.core import files
from hounsfield.core.bundle import Bundle, Calibration
from hounsfield.core.cohort import Cohort
from hounsfield.core.digest import digest
from hounsfield.core.plan import Plan
from hounsfield.core.predictions import Predictions
from hounsfield.errors import LabelError, PlanError, SplitError
from hounsfield.models import Network, build, fresh_head
from hounsfield.models.device import choose_device
from hounsfield.plan import check_plan
from hounsfield.predict import files_of, tabulate
from hounsfield.predict.engine import score
from hounsfield.prepare import Preparation, Store, fill, recipe_of, stored_channels
from hounsfield.train.activations import Activations, cache
from hounsfield.train.batches import Batches, CachedSource, ImageSource
from hounsfield.train.calibrate import calibrate
from hounsfield.train.fit import EpochNews, fit
from hounsfield.train.history import joined_history

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Trained:
    """What training gives: the bundle, the cohort with unreadable cases put aside, and out-of-fold predictions if any."""

    bundle: Bundle
    cohort: Cohort
    out_of_fold: Predictions | None


@dataclass(frozen=True)
class _Parts:
    """Which cases train and which validate a member; the division and the fold in it that judge it, or -1."""

    train: list[str]
    validation: list[str]
    fold: int
    repeat: int = 0


def train(
    cohort: Cohort,
    plan: Plan,
    run: Path,
    *,
    device: str = "auto",
    workers: int | None = None,
    progress: Progress | None = None,
    news: Callable[[int, EpochNews], None] | None = None,
) -> Trained:
    """Train and seal a bundle in `run`/bundle.

    Parameters
    ----------
    run:
        The run folder; `store`, `train` and `bundle` are written in it, and read when a run is resumed.
    progress, news:
        Called with (what, done, total), and with (member, news of an epoch).

    Raises
    ------
    PlanError
        If the plan was made for another cohort.
    LabelError, SplitError
        If too few cases can be read.
    """
    if plan.cohort != cohort.digest:
        raise PlanError(
            "the plan was made for another cohort", where=run / "plan.yaml", fix="Plan again: hounsfield plan RUN"
        )
    check_plan(plan)
    target = choose_device(device)
    tell = progress or (lambda *_: None)
    files.make_folder(run / "train")
    preparation = Preparation(plan.conditioning.value, plan.slices.value, recipe_of(plan), tuple(plan.clean.value))
    table = cohort.part("train", "validation")
    store = fill(
        run / "store", files_of(cohort, table), preparation, stored_channels(plan), workers=workers,
        progress=lambda done, total: tell("reading images", done, total),
    )  # fmt: skip
    cohort = cohort.put_aside(store.refused, stage="store")
    table = cohort.part("train", "validation")
    _two_classes_left(table, cohort)
    network = build(plan).to(target)
    activations = None
    if plan.cached_views.value and plan.frozen.value != "none":
        activations = cache(
            run / "train" / "cache", store, table["case"].to_list(), network.front, plan, target,
            progress=lambda done, total: tell("running the frozen layers", done, total),
        )  # fmt: skip
    home = _member_folder(run, plan, store, table)
    parts = _parts_of_members(table, plan, cohort.about.folds, cohort.about.repeats)
    kept = [
        _fit_member(network, number, part, plan, store, activations, table, home / f"member-{number}", target, news)
        for number, part in enumerate(parts)
    ]
    histories = [home / f"member-{number}" / "history.csv" for number in range(len(parts))]
    with files.replacing(run / "train" / "history.csv") as partial:
        joined_history(histories, kept).write_csv(partial)
    network.save(run / "train" / "weights.safetensors")
    return _seal(network, cohort, plan, preparation, parts, store, run, target, workers, tell)


def _fit_member(
    network: Network, number: int, part: _Parts, plan: Plan, store: Store, activations: Activations | None,
    table: pl.DataFrame, folder: Path, device: torch.device, news: Callable[[int, EpochNews], None] | None,
) -> int:  # fmt: skip
    """Fit one member in place and return the kept epoch; a member that was finished earlier is loaded."""
    tail: Any = network.members[number]
    finished = folder / "finished.json"
    if finished.exists():
        tail.load_state_dict(torch.load(folder / "tail.pt", map_location=device, weights_only=True))
        return int(files.read_json(finished)["epoch"])
    seed = plan.seed.value * 1000 + number
    fresh_head(tail, torch.Generator().manual_seed(seed))
    index = {name: place for place, name in enumerate(plan.labels.value)}
    label = dict(table.select("case", "label").iter_rows())

    def batches(cases: list[str], shuffle: int | None) -> Batches:
        source = CachedSource(activations, cases, seed) if activations else ImageSource(store, cases, plan, seed)
        targets = np.array([index[label[case]] for case in cases], dtype=np.int64)
        return Batches(source, targets, plan.batch.value, seed=shuffle)

    files.make_folder(folder)
    epoch, area = fit(
        tail, plan, batches(part.train, seed), batches(part.validation, None), folder, seed=seed, device=device,
        news=None if news is None else lambda epoch_news: news(number, epoch_news),
    )  # fmt: skip
    tail.to(device)
    torch.save(tail.state_dict(), folder / "tail.pt")
    files.write_json(finished, {"epoch": epoch, "validation_auc": area, "fold": part.fold, "repeat": part.repeat})
    for checkpoint in folder.glob("*.ckpt"):
        checkpoint.unlink()
    return epoch


def _parts_of_members(table: pl.DataFrame, plan: Plan, folds: int, repeats: int) -> list[_Parts]:
    cases = {name: table.filter(pl.col("split") == name)["case"].to_list() for name in ("train", "validation")}
    if not folds:
        return [_Parts(cases["train"], cases["validation"], -1)] * plan.members.value
    if plan.members.value != folds * repeats:
        raise PlanError(
            f"members: {plan.members.value} do not fit {folds} folds, {repeats} time(s)",
            fix=f"Set members to {folds * repeats}.",
        )
    parts = []
    for repeat, fold in itertools.product(range(repeats), range(folds)):
        rest = table.filter(pl.col("folds").list.get(repeat) != fold)
        seed = plan.seed.value + repeat * folds + fold
        made = split_patients(rest["group"].to_list(), rest["label"].to_list(), {"train": 5, "validation": 1}, seed)
        given = dict(zip(rest["case"].to_list(), made, strict=True))
        chosen = {
            wanted: [case for case, name in given.items() if name == wanted] for wanted in ("train", "validation")
        }
        parts.append(_Parts(chosen["train"], chosen["validation"], fold, repeat))
    return parts


def _seal(
    network: Network, cohort: Cohort, plan: Plan, preparation: Preparation, parts: list[_Parts], store: Store, run: Path,
    device: torch.device, workers: int | None, tell: Progress,
) -> Trained:  # fmt: skip
    folds = cohort.about.folds
    table = cohort.part("train" if folds else "calibration")
    network.eval()
    scored = score(
        network, files_of(cohort, table), preparation, device=device, workers=workers,
        progress=lambda done, total: tell("predicting out of fold" if folds else "calibrating", done, total),
    )  # fmt: skip
    cohort = cohort.put_aside(scored.refused, stage="calibrate")
    rows = table.filter(pl.col("case").is_in(list(scored.logits)))
    if rows.height == 0:
        raise SplitError("no case of the calibration part can be read", fix="See quarantine.csv.")
    truth = np.array([plan.labels.value.index(name) for name in rows["label"]])
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
    calibration = calibrate(plan, logits, truth, told)
    bundle = Bundle.seal(
        run / "bundle", plan=plan, recipe=preparation.recipe, calibration=calibration, reference=_reference(cohort, plan, store),
        weights=run / "train" / "weights.safetensors",
    )  # fmt: skip
    if not folds:
        return Trained(bundle, cohort, None)
    crossed = _cross_fitted(plan, logits, truth, rows["folds"].list.first().to_numpy())
    return Trained(bundle, cohort, tabulate(rows, logits, plan, crossed, bundle.core_digest, "folds"))


def _cross_fitted(plan: Plan, logits: np.ndarray, truth: np.ndarray, folds: np.ndarray) -> list[Calibration]:
    """Calibrate each fold with the other folds' logits, so that no case helps to set its own threshold."""
    made = {
        fold: calibrate(plan, logits[folds != fold], truth[folds != fold], "the other folds")
        for fold in np.unique(folds)
    }
    return [made[fold] for fold in folds]


def _reference(cohort: Cohort, plan: Plan, store: Store) -> dict[str, Any]:
    """What training images were like, for whoever asks whether a new image is one of theirs. No patient data."""
    train = cohort.part("train")
    rows = store.rows(train["case"].to_list())
    sample = np.stack([store.read(int(row)) for row in rows[:: max(1, len(rows) // 64)]])
    counts = dict(train.group_by("label").len().sort("label").iter_rows())
    return {
        "unit": plan.unit.value,
        "modality": train["modality"].drop_nulls().mode().sort().to_list()[:1],
        "body_part": train["body_part"].drop_nulls().mode().sort().to_list()[:1],
        "cases": train.height,
        "patients": train["patient"].n_unique(),
        "counts": counts,
        "mean": [round(float(value), 5) for value in sample.mean(axis=(0, 1, 3, 4))],
        "std": [round(float(value), 5) for value in sample.std(axis=(0, 1, 3, 4))],
    }


def _two_classes_left(table: pl.DataFrame, cohort: Cohort) -> None:
    if table.is_empty():
        reasons = cohort.table["quarantine"].drop_nulls().value_counts(sort=True)["quarantine"].head(3)
        raise LabelError(
            f"no case can be used: {'; '.join(reasons.to_list())}", fix="See quarantine.csv for all the reasons."
        )
    for part in table["split"].unique():
        found = set(table.filter(pl.col("split") == part)["label"])
        missing = set(cohort.about.labels) - found
        if missing:
            raise LabelError(
                f"no readable {part} case is labelled {', '.join(sorted(missing))}",
                fix="See quarantine.csv for the reasons.",
            )


def _member_folder(run: Path, plan: Plan, store: Store, table: pl.DataFrame) -> Path:
    """Return the folder of this very training; what another plan left behind is removed."""
    key = digest(
        {"plan": plan.digest, "store": store.digest, "cases": table.select("case", "split", "folds", "label").rows()}
    )[:16]
    home = run / "train" / f"members-{key}"
    for other in (run / "train").glob("members-*"):
        if other != home:
            shutil.rmtree(other)
    return files.make_folder(home)
