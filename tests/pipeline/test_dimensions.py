"""Whole runs on slices with a sequence, on volumes and on several findings: each trains, predicts, explains and exports."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from hounsfield.cohort import Labelling, Stated
from hounsfield.core import Bundle, Cohort, Predictions
from hounsfield.core import files as writing
from hounsfield.explain import METHODS, explain, methods, write_panels
from hounsfield.phantom import generate
from hounsfield.pipeline.folder import RunFolder
from hounsfield.pipeline.run import External, run_all
from hounsfield.pipeline.stages import Machine, PlanOptions, ScanOptions, explain_stage
from hounsfield.predict import predict

pytestmark = pytest.mark.slow
BRIEF = {"epochs": 2, "patience": 2, "members": 1}
KINDS: dict[str, dict[str, Any]] = {
    "lstm": {
        "dimension": "2.5d", "pooling": "lstm", "slices": 6, "size": [64, 64], "frozen": "all", "adjacent": 1, "channels": 3,
        "windows": [[-500, 1500]],
    },
    "volume": {
        "dimension": "3d", "backbone": "resnet10_half", "region": {"kind": "body", "margin": 5}, "spacing": [8, 6, 6],
        "size": [64, 64], "slices": 16,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stacks") / "images"
    generate(folder, patients_a=44, patients_b=8, slices=16, size=64, seed=2)
    return folder


def _options(stacks: Path) -> ScanOptions:
    return ScanOptions(stacks / "centre-a", Labelling(table=stacks / "labels.csv", label=("nodule",)), Stated(site="A"))


def every_method_explains(run: RunFolder, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each map has the size of its frame and its settings beside it; shares of pixels add up to what they share."""
    monkeypatch.setattr(methods, "QUESTIONS", 64)
    bundle, cohort = Bundle.load(run.bundle), Cohort.load(run.path)
    predictions = Predictions.load(run.predictions("test"))
    case = predictions.table["case"][0]
    found = explain(bundle, cohort, {case: "yes"}, list(METHODS), device="cpu", workers=0)
    for one, frame in zip(found[0].attributions, found[0].frames, strict=True):
        assert one.values.shape == frame.shape[:2] and np.isfinite(one.values).all()
        # Two epochs teach little: there may be nothing that speaks for the label, and Grad-CAM is empty then.
        assert one.scale > 0 or not one.signed
        assert one.signed == (one.method not in ("gradcam", "gradcam++")) and (one.signed or one.values.min() >= 0)
    write_panels(folder, bundle, found, [{"kind": "right", "truth": "yes", "decision": "yes", "probability": 0.5}])
    told = json.loads((folder / "panels.json").read_text())[0]
    assert [item["method"] for item in told["maps"]] == list(METHODS) and told["overlay"] == f"{case}-gradcam.png"
    for item in told["maps"]:
        kept = np.load(folder / item["values"])
        assert json.loads(str(kept["settings"])) == item["settings"] and (folder / item["overlay"]).is_file()


def a_case_has_its_page(run: RunFolder, case: str) -> None:
    """All maps of a case are of one slice, so that they can be laid on one another; it has neighbours, a page and a picture."""
    explain_stage(run, Machine(device="cpu", workers=0), {case: None})
    record = json.loads((run.explain / f"{case}.json").read_text())
    assert len({int(np.load(run.explain / f"{case}-{one['method']}.npz")["slice"]) for one in record["maps"]}) == 1
    assert record["agreement"]["sentence"] and len(record["similar"]["neighbours"]) == 5
    assert (run.explain / f"{case}-page.png").is_file()
    text = (run.explain / f"{case}.html").read_text()
    assert record["agreement"]["sentence"] in text and f"slice {record['slice']} of the {record['slices']}" in text


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_every_kind(stacks: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(device="cpu", workers=0)
    centre = External(stacks / "centre-b", Labelling(table=stacks / "labels.csv", label=("nodule",)))
    run = run_all(
        tmp_path / "run", _options(stacks), PlanOptions(decisions=BRIEF | KINDS[kind]), machine, {"B": centre}
    )
    stored = Predictions.load(run.predictions("test"))
    again, _ = predict(Bundle.load(run.bundle), Cohort.load(run.path), device="cpu", workers=0)
    assert np.abs(again.logits - stored.logits).max() < 1e-5 and stored.logits.std() > 1e-4
    assert Predictions.load(run.predictions("external-B")).table.height == 8
    parity = json.loads((run.export / "parity.json").read_text())
    # Two epochs leave cases so near to the threshold that rounding may decide them; the sums must agree all the same.
    assert parity["images"] >= 20 and parity["logit_difference"] < 1e-3 and parity["probability_difference"] < 1e-4
    panels = json.loads((run.explain / "panels.json").read_text())
    assert panels and all(re.search(r"slice \d+ of the \d+ that the network saw", one["note"]) for one in panels)
    every_method_explains(run, tmp_path / "maps", monkeypatch)
    a_case_has_its_page(run, stored.table["case"][0])
    if kind.startswith("volume"):
        assert "slice_weights" not in stored.table.columns
    else:
        weights = stored.table["slice_weights"]
        assert weights.list.len().to_list() == [6] * stored.table.height
        assert np.allclose(weights.list.sum().to_numpy(), 1, atol=1e-6)


def test_a_run_on_several_findings(stacks: Path, tmp_path: Path) -> None:
    rows = pl.read_csv(stacks / "labels.csv", infer_schema=False)
    generator = np.random.default_rng(0)
    second = np.where(generator.random(rows.height) < 0.1, "", generator.integers(2, size=rows.height).astype(str))
    table = tmp_path / "findings.csv"
    coded = pl.when(pl.col("nodule").is_in(["yes", "1", "nodule", "present"])).then(1).otherwise(0).cast(pl.String)
    with writing.replacing(table) as partial:
        rows.with_columns(coded.alias("nodule"), pl.Series("device", second)).write_csv(partial)
    options = ScanOptions(stacks / "centre-a", Labelling(table=table, label=("nodule", "device")), Stated(site="A"))
    decisions = BRIEF | {"dimension": "2.5d", "pooling": "mean", "slices": 4, "size": [64, 64], "frozen": "all"}
    run = run_all(tmp_path / "run", options, PlanOptions(decisions=decisions), Machine(device="cpu", workers=0))
    bundle = Bundle.load(run.bundle)
    assert bundle.labels == ["nodule", "device"] and bundle.calibration.thresholds is not None
    stored = Predictions.load(run.predictions("test"))
    assert stored.task.multi_label and stored.truth_states.shape == (stored.table.height, 2)
    a_case_has_its_page(run, stored.table["case"][0])
    report = json.loads((run.path / "report" / "report.json").read_text())
    assert set(report["evaluations"]["test"]["per_class"]) <= {"nodule", "device"}
    assert json.loads((run.export / "parity.json").read_text())["probability_difference"] < 1e-4
