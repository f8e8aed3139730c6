"""A backbone without feature maps is explained all the same, by another method, and says so."""

from __future__ import annotations

import json
from pathlib import Path

from hounsfield.pipeline.folder import RunFolder
from hounsfield.pipeline.stages import (
    Machine,
    PlanOptions,
    explain_stage,
    plan_stage,
    predict_stage,
    scan_stage,
    train_stage,
)
from tests.pipeline.conftest import options

SETTINGS = {
    "backbone": "vit_tiny_patch16_224", "weights": {"source": "none"}, "frozen": "all", "head": "last", "size": [224, 224], "epochs": 1,
    "members": 1, "cached_views": 1, "slices": 1,
}  # fmt: skip


def test_a_transformer_is_explained_by_integrated_gradients(phantom: Path, tmp_path: Path) -> None:
    run, machine = RunFolder(tmp_path), Machine(device="cpu", workers=0)
    scan_stage(run, options(phantom), machine)
    plan_stage(run, PlanOptions(decisions=SETTINGS), machine)
    train_stage(run, machine)
    predict_stage(run, machine)
    explain_stage(run, machine)
    panels = json.loads((run.explain / "panels.json").read_text())
    assert panels and {one["maps"][0]["method"] for one in panels} == {"integrated-gradients"}
    assert json.loads((run.explain / "attention.json").read_text())["method"] == "integrated-gradients"
