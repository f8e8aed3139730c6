"""Two curves on BreastMNIST: validation AUC against seconds of training, and test AUC against training images.

    python benchmarks/curves.py [--counts 25 50 100 200 546] [--seed 0] [--only seconds|images] [--anew] [--write]

Seconds: the default plan, its members one after the other, each point an epoch (`train/history.csv`); before the first comes
the time for the store and the cache. Beside it plain full fine-tuning of the same backbone (benchmarks/plain.py), with the
plan's epochs, schedule, patience and augmentation. Clocks start with the training; scan and plan come before.

Images: nested, stratified subsets of the official training part, drawn with the seed, and the official validation and test
parts whole. The default plan (which sets a part of the subset aside to calibrate) against a logistic regression on the frozen
features of its backbone, C by inner cross-validation, which learns from all that is not test or validation. Pictures
that leak between parts are dropped; how many were trained on is told. Intervals are 95%, over the test images.

What was measured is kept in --cache, so that a second call only draws. Pictures are written to docs/images with --write.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl
from common import (
    DATA,
    ROOT,
    features_of,
    images_of,
    judge,
    logistic,
    logits_of,
    markdown,
    need,
    own_key,
    plain_values,
    subset,
    write,
)

SOURCE = DATA / "medmnist" / "breastmnist.npz"
PICTURES = ROOT / "docs" / "images"
# Okabe & Ito: told apart with any colour vision; and by marker and line without any.
OURS = {"color": "#0072B2", "marker": "o", "linestyle": "-"}
OTHER = {"color": "#D55E00", "marker": "s", "linestyle": "--"}
INK, PALE = "#333333", "#dddddd"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[25, 50, 100, 200, 546])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("seconds", "images"))
    parser.add_argument("--epochs", type=int, help="for a quick look; by default the plan's")
    parser.add_argument("--cache", type=Path, default=ROOT / "runs" / "curves.json")
    parser.add_argument("--anew", action="store_true", help="measure again what the cache holds")
    parser.add_argument("--write", action="store_true", help="draw into docs/images")
    chosen = parser.parse_args()
    need(SOURCE)
    settings = {"seed": chosen.seed, "epochs": chosen.epochs}
    known: dict[str, Any] = json.loads(chosen.cache.read_text()) if chosen.cache.exists() and not chosen.anew else {}
    if known.get("settings") != settings:
        known = {"settings": settings}
    if chosen.only != "images":
        if "seconds" not in known:
            known["seconds"] = in_seconds(chosen.seed, chosen.epochs)
            write(chosen.cache, known)
        print(tell_seconds(known["seconds"]))
    if chosen.only != "seconds":
        points = known.setdefault("images", {})
        for count in chosen.counts:
            if str(count) not in points:
                points[str(count)] = with_images(count, chosen.seed, chosen.epochs)
                write(chosen.cache, known)
        print(tell_images({name: points[name] for name in map(str, chosen.counts)}))
    if chosen.write:
        draw(known, chosen.counts, chosen.only)


def prepared(folder: Path, count: int | None, seed: int, epochs: int | None) -> tuple[Any, Any, Path]:
    """Scan and plan. What the archive cannot say is told (breasts are paired); all but the seed is left to the plan."""
    import hounsfield

    own_key(folder)
    archive, run = folder / "images" / SOURCE.name, folder / "run"
    subset(SOURCE, archive, count, seed)
    cohort = hounsfield.scan(archive, out=run, seed=seed, body_part="BREAST")
    decisions = {"seed": seed} | ({"epochs": epochs} if epochs else {})
    return cohort, hounsfield.plan(cohort, out=run, **decisions), run


def in_seconds(seed: int, epochs: int | None) -> dict[str, Any]:
    """Measure both trainings, one after the other."""
    with tempfile.TemporaryDirectory(prefix="hounsfield-curves-") as folder:
        cohort, plan, run = prepared(Path(folder), None, seed, epochs)
        return {"parts": cohort.parts, "default": by_plan(cohort, plan, run), "plain": by_hand(cohort, plan)}


def by_plan(cohort: Any, plan: Any, run: Path) -> dict[str, Any]:
    """Train as planned; epochs are placed by the seconds of the history, behind what came before the first."""
    from hounsfield.train import Listeners, train

    ended: list[float] = []
    started = time.perf_counter()
    train(cohort, plan, run, listeners=Listeners(news=lambda *_: ended.append(time.perf_counter() - started)))
    total = time.perf_counter() - started
    history = pl.read_csv(run / "train" / "history.csv")
    offset = ended[0] - history["seconds"][0]
    history = history.with_columns(at=offset + pl.col("seconds").cum_sum())
    members = [
        {"seconds": mine["at"].to_list(), "auc": mine["validation_auc"].to_list(), "kept": mine["best"].arg_max()}
        for (_,), mine in history.group_by("member", maintain_order=True)
    ]
    return {"members": members, "before": offset, "total": total}


def by_hand(cohort: Any, plan: Any) -> dict[str, Any]:
    import plain

    started = time.perf_counter()
    training, validation = (images_of(cohort, cohort.part(name), plan) for name in ("train", "validation"))
    before = time.perf_counter() - started
    fitted = plain.fit(training, validation, plain.whole(plan), seed=plan.seed.value)
    seconds = [before + at for at, _ in fitted.history]
    member = {"seconds": seconds, "auc": [area for _, area in fitted.history], "kept": fitted.best}
    return {"members": [member], "before": before, "total": time.perf_counter() - started}


def with_images(count: int, seed: int, epochs: int | None) -> dict[str, Any]:
    """Train on a subset in both ways, and judge the test part."""
    from hounsfield.evaluate import evaluate
    from hounsfield.pipeline.verbs import predict, train

    with tempfile.TemporaryDirectory(prefix="hounsfield-curves-") as folder:
        cohort, plan, run = prepared(Path(folder), count, seed, epochs)
        bundle = train(cohort, plan, run)
        ours = evaluate(predict(bundle, cohort, "test")).estimates["auc"]
        learnt, test = cohort.part("train", "calibration"), cohort.part("test")
        images = images_of(cohort, learnt, plan)
        model = logistic(features_of(images, plan), images.targets, learnt["group"].to_list(), seed)
        logits = logits_of(model, features_of(images_of(cohort, test, plan), plan))
        other = judge(test, logits, plan, "test", {}).estimates["auc"]
    return {"parts": cohort.parts, "default": plain_values(ours), "frozen": plain_values(other)}


def tell_seconds(found: dict[str, Any]) -> str:
    rows = []
    for name, title in (("default", "default plan"), ("plain", "plain full fine-tuning")):
        one = found[name]
        for number, member in enumerate(one["members"]):
            kept = member["kept"]
            at, area = member["seconds"][kept], member["auc"][kept]
            rows.append((title, number, len(member["auc"]), f"{one['before']:.1f}", f"{at:.1f}", f"{area:.3f}"))
        rows.append((title, "all, to the end", "", "", f"{one['total']:.1f}", ""))
    titles = ("training", "member", "epochs", "seconds before", "seconds at the kept epoch", "validation AUC")
    return markdown(titles, rows)


def tell_images(points: dict[str, Any]) -> str:
    rows = []
    for count, point in points.items():
        each = [
            f"{one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})" for one in (point["default"], point["frozen"])
        ]
        rows.append((count, point["parts"]["train"], point["parts"].get("calibration", 0), *each))
    titles = ("images given", "trained on", "calibration", "default plan: test AUC", "frozen features + LR: test AUC")
    return "\n" + markdown(titles, rows)


def draw(known: dict[str, Any], counts: list[int], only: str | None) -> None:
    """Draw what was measured into docs/images."""
    import matplotlib

    matplotlib.use("Agg")
    PICTURES.mkdir(parents=True, exist_ok=True)
    if only != "images":
        draw_seconds(known["seconds"]).savefig(PICTURES / "train-seconds.png")
    if only != "seconds":
        picture = draw_images({count: known["images"][str(count)] for count in sorted(counts)})
        picture.savefig(PICTURES / "learning-curve.png")


def draw_seconds(found: dict[str, Any]) -> Any:
    figure, axes = empty("Seconds since the start of training", "Validation AUC")
    for name, style, title in (
        ("default", OURS, "default plan"),
        ("plain", OTHER, "plain full fine-tuning, one member"),
    ):
        members = found[name]["members"]
        for number, member in enumerate(members):
            several = f", {len(members)} members in turn" if len(members) > 1 else ""
            label = title + several if number == 0 else None
            axes.plot(member["seconds"], member["auc"], **style, markersize=3.5, linewidth=1.2, label=label)
            kept = member["kept"]
            axes.plot(
                member["seconds"][kept], member["auc"][kept], marker="o", markersize=11, linestyle="none",
                markerfacecolor="none", markeredgecolor=INK, label="kept epoch" if name == "plain" else None,
            )  # fmt: skip
    before = found["default"]["before"]
    axes.axvspan(0, before, color=PALE, linewidth=0, label=f"store and cache of the default plan ({before:.0f} s)")
    axes.set_xlim(left=0)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return figure


def draw_images(points: dict[int, Any]) -> Any:
    figure, axes = empty("Training images given (log scale)", "Test AUC, 95% interval")
    axes.set_xscale("log")
    for name, style, title, beside in (
        ("default", OURS, "default plan", 0.98),
        ("frozen", OTHER, "frozen features + logistic regression", 1.02),
    ):
        values = [point[name] for point in points.values()]
        reach = [[one["value"] - one["low"] for one in values], [one["high"] - one["value"] for one in values]]
        places = [count * beside for count in points]  # so that intervals do not hide each other
        middle = [one["value"] for one in values]
        axes.errorbar(places, middle, yerr=reach, **style, markersize=6, linewidth=1.4, capsize=3, label=title)
    axes.set_xticks(list(points), [str(count) for count in points])
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return figure


def empty(across: str, up: str) -> tuple[Any, Any]:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2), dpi=150, layout="constrained")
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=PALE, linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


if __name__ == "__main__":
    main()
