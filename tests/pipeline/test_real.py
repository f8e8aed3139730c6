"""Whole runs on real images, short trainings: they end, torch equals ONNX, and the labels are what they should be."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image as Picture
from PIL import ImageOps

from hounsfield.cohort import Labelling, Looking, Splitting, Stated, scan_for_prediction
from hounsfield.core import Bundle, Cohort, Predictions
from hounsfield.evaluate import evaluate
from hounsfield.pipeline.folder import RunFolder
from hounsfield.pipeline.run import External, run_all
from hounsfield.pipeline.stages import Machine, PlanOptions, ScanOptions, scan_stage
from hounsfield.predict import predict

# Two tests run at a time, and fill both cores: starting worker processes would only cost.
MACHINE = Machine(device="cpu", workers=0)
SHORT = {"size": [96, 96], "epochs": 2, "members": 1, "cached_views": 2, "frozen": "through stage 5"}

PLACES = {"home/train": "guangzhou/train", "home/test": "guangzhou/test", "nih": "nih"}


def _options(data: Path, name: str) -> ScanOptions:
    folder = data / name
    return {
        "head-ct": ScanOptions(folder, Labelling(folder / "labels.csv"), Stated(modality="CT", body_part="HEAD")),
        "siim-ct-contrast": ScanOptions(folder, Labelling(folder / "labels.csv")),
        "busi": ScanOptions(folder / "images", stated=Stated(modality="US", body_part="BREAST")),
    }[name]


@pytest.mark.parametrize(
    ("name", "labels", "positive", "unit"),
    [
        ("head-ct", ["no", "yes"], "yes", "arbitrary"),
        pytest.param("siim-ct-contrast", ["no", "yes"], "yes", "HU", marks=pytest.mark.slow),
    ],
)
def test_run(data: Path, tmp_path: Path, name: str, labels: list[str], positive: str | None, unit: str) -> None:
    run = run_all(tmp_path / "run", _options(data, name), PlanOptions(decisions=SHORT), MACHINE)
    assert_sound(run, labels, positive, unit)
    # A short training is no good model, and a dozen test cases cannot tell; but what it was shown it must rank better than chance.
    shown, _ = predict(Bundle.load(run.bundle), Cohort.load(run.path), "train", device="cpu", workers=0)
    assert evaluate(shown, resamples=0).estimates["auc"].value > 0.65


def assert_sound(run: RunFolder, labels: list[str], positive: str | None, unit: str) -> None:
    bundle = Bundle.load(run.bundle)
    assert (bundle.labels, bundle.positive, bundle.plan.unit.value) == (labels, positive, unit)
    parity = json.loads((run.export / "parity.json").read_text())
    assert parity["passed"] and parity["images"] >= 20 and len(parity["sizes"]) >= 5
    assert parity["logit_difference"] <= 1e-3 and parity["probability_difference"] <= 1e-4
    assert parity["logit_standard_deviation"] > 0.01
    report = json.loads((run.path / "report" / "report.json").read_text())
    estimates = report["evaluations"]["test"]["estimates"]
    assert {"auc", "f1", "sensitivity", "specificity", "ppv", "npv", "balanced_accuracy"} <= set(estimates)


def abstained(bundle: Bundle, folder: Path) -> float:
    """The share of a folder's pictures, of which no header tells anything, that the bundle does not answer."""
    cohort = scan_for_prediction(
        folder, bundle.labels, bundle.positive, Labelling(), looking=Looking(pixels=False), workers=0
    )
    found, _ = predict(bundle, cohort, device="cpu", workers=0)
    assert found.table.height == len(list(folder.iterdir()))
    return 1 - found.table["abstention"].null_count() / found.table.height


@pytest.mark.slow
@pytest.mark.parametrize("name", ["head-ct", "busi"])
def test_what_the_model_does_not_know_it_does_not_answer(data: Path, tmp_path: Path, name: str) -> None:
    """Of proper test images at most one in twenty is refused (by chance a little more of few); other images nearly all."""
    options = replace(_options(data, name), splitting=Splitting(seed=1))
    scanned = scan_stage(RunFolder(tmp_path / "run"), options, MACHINE)
    run = run_all(tmp_path / "run", options, PlanOptions(decisions=SHORT | {"epochs": 1}), MACHINE)
    bundle = Bundle.load(run.bundle)
    if name == "busi":
        assert_sound(run, ["benign", "malignant", "normal"], None, "arbitrary")
    own = Predictions.load(run.predictions("test")).table
    refused = len(own) - own["abstention"].null_count()
    assert refused <= 0.05 * len(own) + 2, own["abstention"].drop_nulls().to_list()
    test = scanned.part("test")
    sources = {
        "proper": [path for path, _ in scanned.locate([keys[0] for keys in test["files"].to_list()])],
        "other": sorted((data / "busi" / "images").rglob("*.png"))[::13] if name == "head-ct" else
        sorted((data / "head-ct" / "images").iterdir())[::3],
        "chest": sorted((data / "cxr-pneumonia" / "nih").rglob("*.jp*g"))[:60],
    }  # fmt: skip
    changes: dict[str, tuple[str, Callable[[Picture.Image], Picture.Image]]] = {
        "turned": ("proper", ImageOps.flip),
        "inverted": ("proper", ImageOps.invert),
        "other": ("other", lambda picture: picture),
        "chest": ("chest", lambda picture: picture),
    }
    shares = {}
    for kind, (source, change) in changes.items():
        folder = tmp_path / kind
        folder.mkdir()
        for number, path in enumerate(sources[source]):
            change(Picture.open(path).convert("L")).save(folder / f"{number}.png")
        shares[kind] = abstained(bundle, folder)
    assert shares["other"] >= 0.95 and shares["chest"] >= 0.95, shares
    assert shares["turned"] >= 0.8 and shares["inverted"] >= 0.8, shares


@pytest.mark.slow
def test_another_hospital_is_worse_and_thirty_cases_of_it_conclude_nothing(data: Path, tmp_path: Path) -> None:
    """Children's chest X-rays of one hospital, adults' of another; a part of the images, so that it ends in minutes."""
    source = data / "cxr-pneumonia"
    for kind in ("normal", "pneumonia"):
        given = {name: sorted((source / place / kind).iterdir()) for name, place in PLACES.items()}
        for name, count in {"home/train": 150, "home/test": 60, "nih": 100, "few": 15}.items():
            folder = tmp_path / name / kind
            folder.mkdir(parents=True)
            paths = given["nih" if name == "few" else name]
            for path in paths[:: len(paths) // count][:count]:
                (folder / path.name).symlink_to(path)
    options = ScanOptions(tmp_path / "home", stated=Stated(modality="CR", body_part="CHEST"))
    centres = {name: External(tmp_path / name, Labelling()) for name in ("nih", "few")}
    run = run_all(tmp_path / "run", options, PlanOptions(decisions=SHORT | {"epochs": 4}), MACHINE, centres)
    report = json.loads((run.path / "report" / "report.json").read_text())
    home, drops = report["evaluations"]["test"], {drop["away"]: drop for drop in report["drops"]}
    assert home["cases"] >= 110 and home["estimates"]["auc"]["low"] > 0.75
    fall = drops["external-nih"]
    assert fall["conclusion"] == "worse" and fall["changes"]["auc"]["difference"]["high"] < -0.1
    assert any("unfit for this model" in text for text in report["shifts"]["external-nih"]["causes"])
    assert drops["external-few"]["conclusion"] == "too few to conclude"
    page = (run.path / "report" / "index.html").read_text()
    assert fall["sentence"] in page and "too few to conclude, with 30 patients there" in page
