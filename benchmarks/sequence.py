"""Ways to look at a series: mean over slices, LSTM and attention over slices, a 3D network; on simulated series.

    python benchmarks/sequence.py [--patients 160 60] [--slices 24] [--seeds 0 1 2] [--epochs N] [--ways ...] [--json FILE]

Series are those of `hounsfield.phantom.generate` with its own settings of difficulty: a nodule lies anywhere in the stack.
Centre A trains, centre B is never seen before the bundle is sealed. Every way gets the same series and the same slices of
them, and the default plan otherwise: `mean`, `lstm` and `attention` through the pretrained 2D backbone (2.5d), `3d` with a
3D network on the crop around the body, which has no pretrained weights. The AUC is that on centre B; the interval is of a bootstrap
over its patients. The time is that of plan, training and prediction of centre B. A 3D network needs at least 16 slices.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from common import markdown, own_key, plain_values, write

from hounsfield.cohort import Labelling, Looking, Splitting, Stated, scan, scan_for_prediction
from hounsfield.core import Cohort
from hounsfield.evaluate import evaluate
from hounsfield.phantom import generate

# Worker processes import this file as well: what loads torch is imported where it is used, so that they start fast.
WAYS: dict[str, dict[str, Any]] = {
    "mean": {"dimension": "2.5d", "pooling": "mean"},
    "lstm": {"dimension": "2.5d", "pooling": "lstm"},
    "attention": {"dimension": "2.5d", "pooling": "attention"},
    "3d": {"dimension": "3d", "region": {"kind": "body", "margin": 5.0}},
}
SHALLOWEST = 16
TITLES = ("seed", "way", "backbone", "slices", "AUC, unseen centre", "95% interval", "AUC, own test part", "seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, nargs=2, default=(160, 60), metavar=("A", "B"))
    parser.add_argument("--slices", type=int, default=24)
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0], help="each has its own patients, split and weights"
    )
    parser.add_argument("--epochs", type=int, help="of every way; by default the plan's")
    parser.add_argument("--members", type=int, help="of every way; by default the plan's")
    parser.add_argument("--backbone3d", choices=("resnet10", "resnet18", "densenet121"), default="resnet18")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    if "3d" in chosen.ways and chosen.slices < SHALLOWEST:
        sys.exit(f"a 3D network needs at least {SHALLOWEST} slices: give --slices, or leave 3d out of --ways")
    found: list[dict[str, Any]] = []
    for seed in chosen.seeds:
        with tempfile.TemporaryDirectory(prefix="hounsfield-sequence-") as folder:
            own_key(Path(folder))
            inside, outside = centres(Path(folder), chosen, seed)
            for way in chosen.ways:
                found.append(measure(Path(folder) / way, inside, outside, way, chosen, seed))
                print(f"seed {seed}, {way}: {found[-1]['auc']['value']:.3f}", file=sys.stderr, flush=True)
                write(chosen.json, {"patients": chosen.patients, "rows": found})
    print(report(found))


def centres(folder: Path, chosen: argparse.Namespace, seed: int) -> tuple[Cohort, Cohort]:
    """Simulate both centres and scan them: A is split, B is only to be predicted."""
    made = generate(
        folder / "images", patients_a=chosen.patients[0], patients_b=chosen.patients[1], slices=chosen.slices, seed=seed
    )
    tables = {}
    for site in ("A", "B"):
        tables[site] = Labelling(folder / f"labels-{site.lower()}.csv", label=("nodule",))
        rows = pl.read_csv(made.labels, infer_schema=False).filter(pl.col("site") == site)
        rows.write_csv(folder / f"labels-{site.lower()}.csv")
    inside = scan(
        made.centre_a, tables["A"], stated=Stated(site="A"), splitting=Splitting(seed=seed), run=folder / "scan-a"
    )
    outside = scan_for_prediction(
        made.centre_b, inside.about.labels, inside.about.positive, tables["B"], stated=Stated(site="B"),
        looking=Looking(pixels=False), run=folder / "scan-b",
    )  # fmt: skip
    return inside, outside


def measure(
    run: Path, inside: Cohort, outside: Cohort, way: str, chosen: argparse.Namespace, seed: int
) -> dict[str, Any]:
    """Train one way at centre A and judge it at centre B."""
    from hounsfield.plan import make_plan
    from hounsfield.predict import predict
    from hounsfield.train import train

    decisions: dict[str, Any] = {**WAYS[way], "slices": chosen.slices, "seed": seed}
    if way == "3d":
        decisions["backbone"] = chosen.backbone3d
    for name in ("epochs", "members"):
        if getattr(chosen, name):
            decisions[name] = getattr(chosen, name)
    started = time.perf_counter()
    plan = make_plan(inside, decisions=decisions, place=run)
    trained = train(inside, plan, run)
    predictions = predict(trained.bundle, outside, "test", name="external-B")[0]
    seconds = time.perf_counter() - started
    own = evaluate(predict(trained.bundle, trained.cohort, "test")[0], resamples=100).estimates["auc"]
    judged = evaluate(predictions)
    return {
        "seed": seed, "way": way, "backbone": plan.backbone.value, "slices": plan.slices.value, "size": plan.size.value,
        "frozen": plan.frozen.value, "epochs": plan.epochs.value, "members": plan.members.value,
        "auc": plain_values(judged.estimates["auc"]), "own": float(own.value), "seconds": seconds,
        "cases": judged.cases, "patients": judged.patients,
    }  # fmt: skip


def report(found: list[dict[str, Any]]) -> str:
    """One line per seed and way; with several seeds also the mean and the range of each way."""
    lines = [
        (
            row["seed"], row["way"], row["backbone"], row["slices"], f"{row['auc']['value']:.3f}",
            f"{row['auc']['low']:.3f} to {row['auc']['high']:.3f}", f"{row['own']:.3f}", f"{row['seconds']:.0f}",
        )
        for row in found
    ]  # fmt: skip
    told = markdown(TITLES, lines)
    if len({row["seed"] for row in found}) == 1:
        return told
    ways = []
    for way in dict.fromkeys(row["way"] for row in found):
        areas = [row["auc"]["value"] for row in found if row["way"] == way]
        seconds = [row["seconds"] for row in found if row["way"] == way]
        spread = f"{min(areas):.3f} to {max(areas):.3f}"
        ways.append((way, len(areas), f"{np.mean(areas):.3f}", spread, f"{np.mean(seconds):.0f}"))
    return told + "\n\n" + markdown(("way", "seeds", "mean AUC, unseen centre", "range", "mean seconds"), ways)


if __name__ == "__main__":
    main()
