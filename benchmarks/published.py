"""Against published figures, with default settings: BreastMNIST (official split) and siim-ct-contrast (5 folds by patient).

    python benchmarks/published.py [breastmnist] [siim] [--out runs/published]

Baselines: ResNet-18 at 28 pixels has AUC 0.901 on BreastMNIST (MedMNIST v2, Yang et al. 2023, table 3); frozen Lite0
features with a logistic regression by patient have 0.77 on siim-ct-contrast (measured when the data were collected).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path

from rich.console import Console

from hounsfield.cli.console import Bars
from hounsfield.cohort import Labelling, Splitting
from hounsfield.pipeline.run import run_all
from hounsfield.pipeline.stages import Machine, PlanOptions, ScanOptions

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("HOUNSFIELD_DATA", ROOT.parent / "shared" / "data"))
TASKS = {
    "breastmnist": (ScanOptions(DATA / "medmnist" / "breastmnist.npz"), 0.901),
    "siim": (
        ScanOptions(
            DATA / "siim-ct-contrast",
            Labelling(DATA / "siim-ct-contrast" / "labels.csv", label=("contrast",)),
            splitting=Splitting(folds=5),
        ),
        0.77,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", default=[], metavar="TASK", help=f"of {', '.join(TASKS)}; by default all")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "published")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"skipped: there is no data at {DATA}; set HOUNSFIELD_DATA")
    for name in arguments.tasks or TASKS:
        options, baseline = TASKS[name]
        shutil.rmtree(arguments.out / name, ignore_errors=True)
        started = time.perf_counter()
        with Bars(Console()) as bars:
            run = run_all(arguments.out / name, options, PlanOptions(), Machine(reporter=bars))
        minutes = (time.perf_counter() - started) / 60
        report = json.loads((run.path / "report" / "report.json").read_text())
        found = report["evaluations"][report["main"]]["estimates"]["auc"]
        value, low, high = found["value"], found["low"], found["high"]
        print(
            f"{name}: AUC {value:.3f} ({low:.3f} to {high:.3f}), baseline {baseline}, ratio {value / baseline:.3f}, "
            f"{minutes:.1f} minutes for the whole run"
        )


if __name__ == "__main__":
    main()
