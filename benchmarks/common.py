"""What several benchmarks share: data, watched processes, subsets, frozen features with a logistic regression, tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hounsfield.core import Cohort, Plan
from hounsfield.evaluate import Evaluation, evaluate
from hounsfield.measure import Estimate

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("HOUNSFIELD_DATA", ROOT.parent / "shared" / "data"))
LOOK = 0.25  # seconds between two looks at the memory: each takes some of the time that is measured
INNER_FOLDS = 5
TOGETHER = 16  # cases that go through the backbone at a time
STRENGTHS = 10.0 ** np.arange(-4, 3)  # the C of logistic regressions; the features are standardised


@dataclass(frozen=True)
class Images:
    """Cases in memory, as a store keeps them: (slices, channels, H, W) each, in [0, 1]; and their class index."""

    arrays: list[np.ndarray]
    targets: np.ndarray

    def only(self, places: Sequence[int]) -> Images:
        return Images([self.arrays[place] for place in places], self.targets[list(places)])


def need(*places: Path) -> None:
    """End with a word where the data are not there."""
    for place in places:
        if not place.exists():
            name = place.relative_to(DATA) if place.is_relative_to(DATA) else place.name
            sys.exit(f"skipped: the data have no {name}; set HOUNSFIELD_DATA")


def own_key(folder: Path) -> None:
    """Let this process and its children make a project key of their own, and not use that of whoever runs this."""
    os.environ["HOUNSFIELD_KEY_FILE"] = str(folder / "project.key")


def watched(command: Sequence[str]) -> float:
    """Run a process to its end and return the peak memory of its whole tree in MB (shared pages counted once)."""
    from scan import memory

    process, peak = subprocess.Popen(command), 0.0
    while process.poll() is None:
        peak = max(peak, memory(process.pid))
        time.sleep(LOOK)
    if process.returncode:
        sys.exit(f"a measured process failed with exit code {process.returncode}")
    return peak


def on_disk(folder: Path) -> float:
    """Return the MB that the files of a folder take on the disk; what was never written takes none."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file()) / 1e6


def subset(source: Path, target: Path, count: int | None, seed: int) -> int:
    """Write a MedMNIST archive with `count` of its training images (None: all), stratified, and return how many they are.

    Of each class the first of one random order are taken, so that a smaller subset of the same seed lies in a larger one.
    """
    content = dict(np.load(source))
    labels = content["train_labels"].reshape(len(content["train_labels"]), -1)[:, 0]
    if count is not None and count < len(labels):
        order = np.random.default_rng(seed).permutation(len(labels))
        chosen: list[int] = []
        for kind in np.unique(labels):
            mine = order[labels[order] == kind]
            chosen += mine[: max(1, round(count * len(mine) / len(labels)))].tolist()
        for name in ("train_images", "train_labels"):
            content[name] = content[name][sorted(chosen)]
    target.parent.mkdir(parents=True, exist_ok=True)
    np.savez(target, **content)
    return len(content["train_labels"])


def random_weights(backbone: str, path: Path) -> Path:
    """Write new weights of a backbone to a file."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    save_file(timm.create_model(backbone).state_dict(), path)
    return path


def images_of(cohort: Cohort, rows: pl.DataFrame, plan: Plan) -> Images:
    """Read the cases of a table as a plan prepares them, one after the other, into memory."""
    from hounsfield.predict import files_of
    from hounsfield.prepare import case_array, preparation_from
    from hounsfield.train.members import targets_of

    preparation = preparation_from(plan)
    arrays = [case_array(files, preparation) for files in files_of(cohort, rows)]
    return Images(arrays, targets_of(rows, plan))


def features_of(images: Images, plan: Plan) -> np.ndarray:
    """(cases, features): what the pretrained backbone's last map holds on average, the mean over slices."""
    import torch

    from hounsfield.models.device import laid_out
    from hounsfield.models.weights import pretrained
    from hounsfield.prepare import network_input, recipe_of

    model = pretrained(plan.backbone.value, plan.weights.value, num_classes=1, in_chans=plan.channels.value).eval()
    model.reset_classifier(0)
    recipe = recipe_of(plan)
    found = []
    with torch.inference_mode():
        for start in range(0, len(images.arrays), TOGETHER):
            cases = [network_input(case, recipe) for case in images.arrays[start : start + TOGETHER]]
            features = model(laid_out(torch.from_numpy(np.concatenate(cases)))).double().numpy()
            ends = np.cumsum([len(case) for case in cases])[:-1]
            found += [part.mean(axis=0) for part in np.split(features, ends)]
    return np.stack(found)


def logistic(features: np.ndarray, targets: np.ndarray, groups: Sequence[str], seed: int) -> Any:
    """Fit a logistic regression on standardised features, its C chosen by cross-validation that parts no group."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = min(INNER_FOLDS, int(np.bincount(targets).min()))
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)),
        {"logisticregression__C": STRENGTHS},
        scoring="roc_auc" if len(np.unique(targets)) == 2 else "roc_auc_ovr",
        cv=StratifiedGroupKFold(max(2, folds), shuffle=True, random_state=seed),
    )
    return search.fit(features, targets, groups=np.asarray(groups))


def logits_of(model: Any, features: np.ndarray) -> np.ndarray:
    """(cases, outputs): one logit for two classes, else one per class."""
    values = model.decision_function(features)
    return values.reshape(len(features), -1)


def judge(
    rows: pl.DataFrame,
    logits: np.ndarray,
    plan: Plan,
    name: str,
    weights: Mapping[str, float],
    fold: np.ndarray | None = None,
) -> Evaluation:
    """Judge logits as `hounsfield evaluate` judges its own: intervals from a bootstrap over patients.

    With `fold`, the fold of each row, its logits are calibrated by those of the other folds, as `train` does it.
    """
    from hounsfield.predict import tabulate
    from hounsfield.train.calibrate import calibrate
    from hounsfield.train.members import targets_of

    truth = targets_of(rows, plan)
    if fold is None:
        found: Any = calibrate(plan, logits, truth, weights, "the same cases: read the AUC alone")
    else:
        crossed = {
            one: calibrate(plan, logits[fold != one], truth[fold != one], weights, "the other folds")
            for one in np.unique(fold)
        }
        found = [crossed[one] for one in fold]
    return evaluate(tabulate(rows, logits, plan, found, "0" * 64, name))


def told(estimate: Estimate) -> str:
    """An estimate with its 95% interval."""
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def plain_values(estimate: Estimate) -> dict[str, float]:
    return {"value": float(estimate.value), "low": float(estimate.low), "high": float(estimate.high)}


def markdown(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table of Markdown; numbers that are text already stay as they are."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def write(path: Path | None, content: object) -> None:
    """Write JSON where a file was asked for."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n")
