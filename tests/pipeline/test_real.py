"""Whole runs on real images, short trainings: they end, torch equals ONNX, and the labels are what they should be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hounsfield.cohort import Labelling, Stated
from hounsfield.core import Bundle
from hounsfield.pipeline.run import run_all
from hounsfield.pipeline.stages import Machine, PlanOptions, ScanOptions

SHORT = {"size": [96, 96], "epochs": 2, "members": 1, "cached_views": 2, "frozen": "through stage 5"}


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
        pytest.param("busi", ["benign", "malignant", "normal"], None, "arbitrary", marks=pytest.mark.slow),
    ],
)
def test_run(data: Path, tmp_path: Path, name: str, labels: list[str], positive: str | None, unit: str) -> None:
    run = run_all(tmp_path / "run", _options(data, name), PlanOptions(decisions=SHORT), Machine(device="cpu"))
    bundle = Bundle.load(run.bundle)
    assert (bundle.labels, bundle.positive, bundle.plan.unit.value) == (labels, positive, unit)
    parity = json.loads((run.export / "parity.json").read_text())
    assert parity["passed"] and parity["images"] >= 20 and len(parity["sizes"]) >= 5
    assert parity["logit_difference"] <= 1e-3 and parity["probability_difference"] <= 1e-4
    assert parity["logit_standard_deviation"] > 0.01
    report = json.loads((run.path / "report" / "report.json").read_text())
    estimates = report["evaluations"]["test"]["estimates"]
    assert {"auc", "f1", "sensitivity", "specificity", "ppv", "npv", "balanced_accuracy"} <= set(estimates)
    # A short training is no good model, but one that learnt nothing at all would stand at 0.5.
    assert estimates["auc"]["value"] > 0.55
