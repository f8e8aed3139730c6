"""Hounsfield against two baselines on real images: five folds by patient, the same folds and the same images for all.

    python benchmarks/baselines.py [head-ct] [busi] [siim-ct-contrast] [--set name=value ...] [--json FILE]

Hounsfield: the default plan, 5 folds. Then, on that run's cohort, folds and store:

- frozen features + logistic regression: the pooled features of the plan's backbone, standardised, scikit-learn; C is
  chosen by an inner cross-validation that parts no patient, within the training folds;
- plain full fine-tuning: the loop of benchmarks/plain.py with every layer trained, for the wall time that Hounsfield took
  (plan and train, a fifth per fold), the schedule over that time, the plan's augmentation, and early stopping on the
  validation part that Hounsfield's member of that fold had.

AUCs are of the out-of-fold predictions of all cases, the logits of a fold calibrated by the other folds for all three; of
more than two classes the unweighted mean of one against the rest. Intervals are a bootstrap over patients (over images
where there are no patients). Scanning is shared, and in nobody's time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml
from common import (
    DATA,
    Images,
    features_of,
    judge,
    logistic,
    logits_of,
    markdown,
    need,
    own_key,
    plain_values,
    told,
    write,
)

from hounsfield.cohort import Labelling, Splitting, Stated, scan
from hounsfield.core import Cohort, Plan, Predictions
from hounsfield.evaluate import Evaluation, evaluate
from hounsfield.prepare import fill, preparation_from, recipe_of, stored_channels

# Worker processes import this file as well: what loads torch is imported where it is used, so that they start fast.
FOLDS = 5
TITLES = ("data", "method", "cases", "patients", "AUC (95% interval)", "mean AUC of the folds", "seconds")
METHODS = ("Hounsfield", "frozen features + logistic regression", "plain full fine-tuning")


@dataclass(frozen=True)
class Run:
    """What all three share: the cohort, its plan, its cases in memory."""

    cohort: Cohort
    plan: Plan
    table: pl.DataFrame
    images: Images

    @property
    def folds(self) -> np.ndarray:
        return self.table["folds"].list.first().to_numpy()


@dataclass(frozen=True)
class Told:
    """One method's line."""

    method: str
    evaluation: Evaluation
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", default=[], metavar="DATA", help=f"of {', '.join(SETS)}; by default all")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="decisions, for a quick look")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    names = chosen.data or list(SETS)
    need(*(DATA / name for name in names))
    decisions = {name: yaml.safe_load(value) for name, _, value in (item.partition("=") for item in chosen.set)}
    found: dict[str, list[Told]] = {}
    for name in names:
        with tempfile.TemporaryDirectory(prefix="hounsfield-baselines-") as folder:
            own_key(Path(folder))
            found[name] = measure(name, Path(folder) / "run", decisions, chosen.seed)
        print(report({name: found[name]}), flush=True)
        write(chosen.json, {"decisions": decisions, "seed": chosen.seed, "data": as_json(found)})
    if len(found) > 1:
        print("\n" + report(found))


SETS: dict[str, Callable[[Path], tuple[Path, Labelling, Stated]]] = {
    "head-ct": lambda home: (home, Labelling(home / "labels.csv"), Stated(modality="CT", body_part="HEAD")),
    "busi": lambda home: (home / "images", Labelling(), Stated(modality="US", body_part="BREAST")),
    "siim-ct-contrast": lambda home: (home, Labelling(home / "labels.csv", label=("contrast",)), Stated()),
}


def measure(name: str, run: Path, decisions: dict[str, Any], seed: int) -> list[Told]:
    """Run all three on one set."""
    from hounsfield.plan import make_plan
    from hounsfield.train import train

    images, labelling, stated = SETS[name](DATA / name)
    cohort = scan(images, labelling, splitting=Splitting(folds=FOLDS, seed=seed), stated=stated, run=run)
    cohort.save(run)
    started = time.perf_counter()
    plan = make_plan(cohort, decisions={"seed": seed, **decisions}, place=run)
    trained = train(cohort, plan, run)
    seconds = time.perf_counter() - started
    assert trained.out_of_fold is not None
    shared = opened(trained.cohort, plan, run, trained.out_of_fold)
    ours = Told(METHODS[0], evaluate(trained.out_of_fold), seconds)
    return [ours, frozen_features(shared, seed), fine_tuning(shared, seed, seconds / FOLDS)]


def opened(cohort: Cohort, plan: Plan, run: Path, predictions: Predictions) -> Run:
    """Take the store's arrays of the cases that Hounsfield was judged on; the store was filled by the training.

    The store is named by the cases that training began with, those that it refused included.
    """
    from hounsfield.predict import files_of
    from hounsfield.train.members import targets_of

    begun = cohort.table.filter(pl.col("split").is_in(["train", "validation"]))
    refused_later = pl.col("quarantine").is_null() | pl.col("case").is_in(_later(cohort))
    begun = begun.filter(refused_later)
    store = fill(run / "store", files_of(cohort, begun), preparation_from(plan, recipe_of(plan)), stored_channels(plan))
    table = cohort.part("train").filter(pl.col("case").is_in(predictions.table["case"].to_list()))
    arrays = [store.read(int(row)) for row in store.rows(table["case"].to_list())]
    return Run(cohort, plan, table, Images(arrays, targets_of(table, plan)))


def _later(cohort: Cohort) -> list[str]:
    return cohort.quarantine.filter(pl.col("stage").is_in(["store", "calibrate"]))["item"].to_list()


def frozen_features(run: Run, seed: int) -> Told:
    started = time.perf_counter()
    features, folds = features_of(run.images, run.plan), run.folds
    logits = np.zeros((len(folds), len(run.plan.outputs)))
    groups = run.table["group"].to_numpy()
    for fold in range(FOLDS):
        rest = folds != fold
        model = logistic(features[rest], run.images.targets[rest], groups[rest], seed)
        logits[~rest] = logits_of(model, features[~rest])
    seconds = time.perf_counter() - started
    return Told(METHODS[1], judge(run.table, logits, run.plan, "folds", {}, folds), seconds)


def fine_tuning(run: Run, seed: int, seconds: float) -> Told:
    """Fine-tune everything for so many seconds per fold; prediction of the fold comes on top."""
    import plain

    from hounsfield.train.members import parts_of_members

    started = time.perf_counter()
    plan, folds = plain.whole(run.plan), run.folds
    place = {case: row for row, case in enumerate(run.table["case"])}
    logits = np.zeros((len(folds), len(plan.outputs)))
    for part in parts_of_members(run.table, run.plan, FOLDS, 1):
        training, validation = (
            run.images.only([place[case] for case in cases]) for cases in (part.train, part.validation)
        )
        fitted = plain.fit(training, validation, plan, seed=seed * FOLDS + part.fold, seconds=seconds)
        judged = np.flatnonzero(folds == part.fold)
        logits[judged] = plain.predict(fitted.network, run.images.only(judged.tolist()), plan)
    weights = plan.loss.value.class_weights
    spent = time.perf_counter() - started
    return Told(METHODS[2], judge(run.table, logits, plan, "folds", weights, folds), spent)


def report(found: dict[str, list[Told]]) -> str:
    rows = []
    for name, methods in found.items():
        for one in methods:
            judged, mean = one.evaluation, one.evaluation.mean_fold_auc
            inside = "not known" if mean is None else f"{mean:.3f}"
            auc = told(judged.estimates["auc"])
            rows.append((name, one.method, judged.cases, judged.patients, auc, inside, f"{one.seconds:.0f}"))
    return markdown(TITLES, rows)


def as_json(found: dict[str, list[Told]]) -> dict[str, Any]:
    return {
        name: [
            {
                "method": one.method, "seconds": one.seconds, "auc": plain_values(one.evaluation.estimates["auc"]),
                "folds": one.evaluation.folds, "cases": one.evaluation.cases, "patients": one.evaluation.patients,
            }
            for one in methods
        ]
        for name, methods in found.items()
    }  # fmt: skip


if __name__ == "__main__":
    main()
