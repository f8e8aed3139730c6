"""Against published figures: MedMNIST sets with their official parts, default settings, several seeds.

    python benchmarks/published.py [breastmnist] [pneumoniamnist] [adrenalmnist3d] [--seeds 0 1 2] [--leaks drop] [--json FILE]

Every seed is a whole run: it draws the calibration part, the heads and the order of training anew. The official test part
is predicted once, when the bundle is sealed. Training rows that show a picture of another part are dropped (`--leaks
allow` keeps them, as the published figures do); what was trained on is told. Intervals are 95%, from a bootstrap over the
test cases, for one seed each; they do not hold the variation between seeds, whose range is given beside.

The archives hold pixels and labels alone. What they do not say and a user would is in `FACTS`: breasts are paired and a
mass of the adrenal gland is one on either side, so mirroring is allowed; nothing else is set.

Published: Yang et al., "MedMNIST v2", Scientific Data 10, 41 (2023), AUC on the official test part.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path
from typing import Any, get_args

import numpy as np
from common import DATA, ROOT, markdown, need, plain_values, write
from rich.console import Console

from hounsfield.cohort import Splitting, Stated
from hounsfield.core import Bundle, Cohort, Predictions
from hounsfield.core.cohort import Leaks
from hounsfield.evaluate import evaluate

# Worker processes import this file as well: what loads torch is imported where it is used, so that they start fast.
# Task → method → AUC, as in the paper.
PUBLISHED = {
    "breastmnist": {"Google AutoML Vision": 0.919, "ResNet-18": 0.901},
    "pneumoniamnist": {"Google AutoML Vision": 0.991, "ResNet-50": 0.962},
    "adrenalmnist3d": {"ResNet-18 + ACS": 0.839},
}
# Task → what the scan is told, and whether the label is free of sides (`--body-part`, `--side-free` of the command line).
FACTS = {
    "breastmnist": (Stated(body_part="BREAST"), False),
    "pneumoniamnist": (Stated(), False),
    "adrenalmnist3d": (Stated(), True),
}
EACH = (
    "task",
    "seed",
    "AUC (95% interval)",
    "accuracy",
    "trained on",
    "validation",
    "calibration",
    "test",
    "dropped",
    "minutes",
)
ALL = ("task", "seeds", "mean AUC", "range", "mean accuracy", "mean minutes", "published AUC (Yang et al. 2023)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "tasks", nargs="*", default=[], metavar="TASK", help=f"of {', '.join(PUBLISHED)}; by default all"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--leaks", choices=[name for name in get_args(Leaks) if name != "unchecked"], default="drop")
    parser.add_argument("--epochs", type=int, help="for a quick look; by default the plan's")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "published", help="where the runs are kept")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    tasks = chosen.tasks or list(PUBLISHED)
    strange = sorted(set(tasks) - set(PUBLISHED))
    if strange:
        parser.error(f"there is no task {', '.join(strange)}; choose from {', '.join(PUBLISHED)}")
    need(*(archive(task) for task in tasks))
    found = []
    for task in tasks:
        for seed in chosen.seeds:
            found.append(measure(task, seed, chosen))
            row = found[-1]
            print(f"{task}, seed {seed}: AUC {row['auc']['value']:.3f}, {row['seconds'] / 60:.1f} min", file=sys.stderr)
            write(chosen.json, {"leaks": chosen.leaks, "epochs": chosen.epochs, "runs": found, "published": PUBLISHED})
    print(report(found))


def archive(task: str) -> Path:
    return DATA / "medmnist" / f"{task}.npz"


def measure(task: str, seed: int, chosen: argparse.Namespace) -> dict[str, Any]:
    """Run everything with one seed and judge the test part."""
    from hounsfield.cli.console import Bars
    from hounsfield.pipeline.run import run_all
    from hounsfield.pipeline.stages import Machine, PlanOptions, ScanOptions

    out = chosen.out / f"{task}-{chosen.leaks}-{seed}"
    shutil.rmtree(out, ignore_errors=True)
    decisions = {"seed": seed} | ({"epochs": chosen.epochs} if chosen.epochs else {})
    stated, side_free = FACTS[task]
    options = ScanOptions(archive(task), stated=stated, splitting=Splitting(seed=seed, leaks=chosen.leaks))
    started = time.perf_counter()
    with Bars(Console(stderr=True)) as bars:
        run = run_all(out, options, PlanOptions(side_free, decisions=decisions), Machine(reporter=bars))
    seconds = time.perf_counter() - started
    cohort, plan = Cohort.load(run.path), Bundle.load(run.bundle).plan
    judged = evaluate(Predictions.load(run.predictions("test")))
    aside = [[count, kind, reason] for count, kind, reason in cohort.reasons()]
    return {
        "task": task, "seed": seed, "auc": plain_values(judged.estimates["auc"]),
        "accuracy": plain_values(judged.estimates["accuracy"]), "parts": cohort.parts, "aside": aside,
        "leaks_allowed": cohort.about.leaks_allowed, "split": cohort.about.split_sentence, "seconds": seconds,
        "backbone": plan.backbone.value, "size": plan.size.value, "frozen": plan.frozen.value,
    }  # fmt: skip


def report(found: list[dict[str, Any]]) -> str:
    return f"{markdown(EACH, [line(row) for row in found])}\n\n{markdown(ALL, over_seeds(found))}\n\n{put_aside(found)}"


def line(row: dict[str, Any]) -> tuple[object, ...]:
    auc, parts = row["auc"], row["parts"]
    dropped = sum(count for count, kind, _ in row["aside"] if kind == "case")
    return (
        row["task"], row["seed"], f"{auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})",
        f"{row['accuracy']['value']:.3f}", *(parts.get(name, 0) for name in ("train", "validation", "calibration", "test")),
        dropped, f"{row['seconds'] / 60:.1f}",
    )  # fmt: skip


def over_seeds(found: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    lines: list[tuple[object, ...]] = []
    for task in dict.fromkeys(row["task"] for row in found):
        rows = [row for row in found if row["task"] == task]
        areas = [row["auc"]["value"] for row in rows]
        published = ", ".join(f"{value:.3f} {method}" for method, value in PUBLISHED[task].items())
        accuracy = np.mean([row["accuracy"]["value"] for row in rows])
        minutes = np.mean([row["seconds"] for row in rows]) / 60
        spread = f"{min(areas):.3f} to {max(areas):.3f}"
        lines.append((task, len(rows), f"{np.mean(areas):.3f}", spread, f"{accuracy:.3f}", f"{minutes:.1f}", published))
    return lines


def put_aside(found: list[dict[str, Any]]) -> str:
    """What no part has, and why; leaks that were allowed are told as well."""
    lines = []
    for row in found:
        reasons = (
            "; ".join(f"{count} {kind}(s): {reason}" for count, kind, reason in row["aside"]) or "nothing put aside"
        )
        allowed = f"; {row['leaks_allowed']} leak(s) allowed" if row["leaks_allowed"] else ""
        lines.append(f"- {row['task']}, seed {row['seed']}: {reasons}{allowed}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
