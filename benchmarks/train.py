"""The plain recipe against Hounsfield: BreastMNIST at 224 pixels, early layers frozen, the same settings on both sides.

    python benchmarks/train.py [--rows lite0-all resnet50-stage3 ...] [--images N] [--epochs N] [--size 224]
                               [--weights FILE] [--json FILE]

Plain is the loop of benchmarks/plain.py: no cache; its clock starts before the images are read and ends with the best
weights restored. Hounsfield's clock is around `hounsfield.train`, with the store, the cache, calibration and sealing.
Scan and plan come before both; imports are in neither. Backbone, frozen layers, epochs, optimiser, schedule and
augmentation are the same; plain augments anew in every epoch, Hounsfield shows cached views in turn. The validation AUC
is that of the kept weights on one validation part, of Hounsfield's through its sealed bundle; both keep an epoch by the same
rule. A row whose AUCs differ by more than 0.01 does not count. Memory is that of all processes of a side; each side has a
process of its own.

No weights of ResNet-50 install with Hounsfield, and with random ones an AUC says nothing. Both sides therefore take one file
(`--weights`), which is made where it is not there yet: a ResNet-50 that has learnt PneumoniaMNIST for a few minutes. That is
before both clocks.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common import DATA, ROOT, images_of, markdown, need, on_disk, own_key, subset, watched, write

SOURCE = DATA / "medmnist" / "breastmnist.npz"
BEFORE = DATA / "medmnist" / "pneumoniamnist.npz"  # what ResNet-50 has seen before; no picture of it is in SOURCE
CLOSE = 0.01
TITLES = (
    "row", "backbone", "frozen", "epochs", "views", "plain, s", "Hounsfield, s", "times as fast", "AUC plain",
    "AUC Hounsfield", "memory plain, MB", "memory Hounsfield, MB", "store and cache, MB", "counts",
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """What is fixed on both sides; `views` are Hounsfield's alone."""

    backbone: str
    frozen: str
    epochs: int
    views: int


ROWS = {
    "lite0-all": Setting("tf_efficientnet_lite0", "all", 30, 2),
    "resnet50-all": Setting("resnet50", "all", 30, 2),
    "lite0-stage3": Setting("tf_efficientnet_lite0", "through stage 3", 50, 4),
    "resnet50-stage3": Setting("resnet50", "through stage 3", 50, 4),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--images", type=int, help="training images, stratified; by default all")
    parser.add_argument("--epochs", type=int, help="in place of each row's own")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", type=Path, default=ROOT / "runs" / "bench" / "resnet50.safetensors")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=2, metavar=("SIDE", "FOLDER"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        child(chosen.child[0], Path(chosen.child[1]))
        return
    need(SOURCE)
    if any(ROWS[name].backbone == "resnet50" for name in chosen.rows) and not chosen.weights.exists():
        need(BEFORE)
        learnt_weights("resnet50", chosen.weights)
    found = []
    for name in chosen.rows:
        with tempfile.TemporaryDirectory(prefix="hounsfield-train-") as folder:
            found.append(measure(Path(folder), name, ROWS[name], chosen))
        print(f"{name}: {found[-1]['ratio']:.1f} times as fast", file=sys.stderr, flush=True)
        write(chosen.json, {"size": chosen.size, "seed": chosen.seed, "rows": found})
    report(found, chosen.size)


def measure(folder: Path, name: str, setting: Setting, chosen: argparse.Namespace) -> dict[str, Any]:
    """Measure both sides of a row."""
    own_key(folder)
    archive = folder / "images" / SOURCE.name
    subset(SOURCE, archive, chosen.images, chosen.seed)
    epochs = chosen.epochs or setting.epochs
    parts = prepare(folder, archive, setting, epochs, chosen)
    row: dict[str, Any] = {"row": name, **asdict(setting), "epochs": epochs, "parts": parts}
    for side in ("plain", "hounsfield"):
        peak = watched([sys.executable, __file__, "--child", side, str(folder)])
        row[side] = json.loads((folder / f"{side}.json").read_text()) | {"memory": peak}
    row["ratio"] = row["plain"]["seconds"] / row["hounsfield"]["seconds"]
    row["difference"] = row["hounsfield"]["auc"] - row["plain"]["auc"]
    row["counts"] = abs(row["difference"]) <= CLOSE
    return row


def prepare(folder: Path, archive: Path, setting: Setting, epochs: int, chosen: argparse.Namespace) -> dict[str, int]:
    """Scan and plan into `folder`/run, which both sides read; return the cases of each part."""
    import hounsfield

    cohort = hounsfield.scan(archive, out=folder / "run", seed=chosen.seed)
    decisions: dict[str, Any] = {
        "backbone": setting.backbone, "frozen": setting.frozen, "size": [chosen.size, chosen.size], "epochs": epochs,
        "patience": epochs, "cached_views": setting.views, "members": 1, "seed": chosen.seed, "head": "last",
    }  # fmt: skip
    if setting.backbone == "resnet50":
        decisions["weights"] = str(chosen.weights.resolve())
    hounsfield.plan(cohort, out=folder / "run", **decisions)
    return cohort.parts


def learnt_weights(backbone: str, path: Path, epochs: int = 3, size: int = 96) -> None:
    """Train a new backbone on the official training part of PneumoniaMNIST, and write it to a file."""
    import numpy as np
    import timm
    import torch
    from safetensors.torch import save_file
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(0)
    content = np.load(BEFORE)
    images = torch.from_numpy(content["train_images"]).float()[:, None] / 255
    shown = TensorDataset(images, torch.from_numpy(content["train_labels"]).float())
    batches = DataLoader(shown, batch_size=32, shuffle=True, drop_last=True)
    model = timm.create_model(backbone).to(memory_format=torch.channels_last)
    head = nn.Linear(model.num_features, 1)
    mean, std = (torch.tensor(model.pretrained_cfg[name])[None, :, None, None] for name in ("mean", "std"))
    optimizer = torch.optim.AdamW([*model.parameters(), *head.parameters()], weight_decay=0.01)
    steps = epochs * len(batches)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-3, total_steps=steps)
    for epoch in range(epochs):
        for inputs, targets in batches:
            inputs = nn.functional.interpolate(inputs, size=(size, size), mode="bilinear", antialias=True)
            features = model.forward_features(((inputs - mean) / std).contiguous(memory_format=torch.channels_last))
            loss = nn.functional.binary_cross_entropy_with_logits(head(features.mean((2, 3))), targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
        print(
            f"{backbone} on {BEFORE.stem}: epoch {epoch + 1} of {epochs}, loss {loss:.3f}", file=sys.stderr, flush=True
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)


def child(side: str, folder: Path) -> None:
    """Train one side in this process and write down the seconds and the AUC on the validation part."""
    import plain  # noqa: F401  # with torch, MONAI and Lightning: neither side's clock counts imports

    from hounsfield.core import Cohort, Plan

    run = folder / "run"
    cohort, plan = Cohort.load(run), Plan.load(run / "plan.yaml")
    told = train_plain(cohort, plan) if side == "plain" else train_hounsfield(cohort, plan, run)
    (folder / f"{side}.json").write_text(json.dumps(told))


def train_plain(cohort: Any, plan: Any) -> dict[str, float]:
    import plain

    started = time.perf_counter()
    training, validation = (images_of(cohort, cohort.part(name), plan) for name in ("train", "validation"))
    fitted = plain.fit(training, validation, plan, seed=plan.seed.value)
    return {"seconds": time.perf_counter() - started, "auc": fitted.validation_auc}


def train_hounsfield(cohort: Any, plan: Any, run: Path) -> dict[str, float]:
    from hounsfield.evaluate import evaluate
    from hounsfield.pipeline.verbs import predict, train

    started = time.perf_counter()
    bundle = train(cohort, plan, run)
    seconds = time.perf_counter() - started
    disk = on_disk(run / "store") + on_disk(run / "train" / "cache")
    area = evaluate(predict(bundle, cohort, "validation"), resamples=100).estimates["auc"].value
    return {"seconds": seconds, "auc": float(area), "disk": disk}


def report(found: list[dict[str, Any]], size: int) -> None:
    parts = ", ".join(f"{count} {name}" for name, count in found[0]["parts"].items())
    print(f"BreastMNIST at {size} × {size}: {parts}\n")
    rows = []
    for row in found:
        plain, ours = row["plain"], row["hounsfield"]
        rows.append((
            row["row"], row["backbone"], row["frozen"], row["epochs"], row["views"], f"{plain['seconds']:.1f}",
            f"{ours['seconds']:.1f}", f"{row['ratio']:.1f}", f"{plain['auc']:.3f}", f"{ours['auc']:.3f}",
            f"{plain['memory']:.0f}", f"{ours['memory']:.0f}", f"{ours['disk']:.0f}",
            "yes" if row["counts"] else "does not count: AUCs differ",
        ))  # fmt: skip
    print(markdown(TITLES, rows))
    if any(row["backbone"] == "resnet50" for row in found):
        print(f"\nResNet-50 has learnt {BEFORE.stem} before, the same weights on both sides.")


if __name__ == "__main__":
    main()
