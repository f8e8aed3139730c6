"""The demonstration at full size: difficulty is real, rescale matters, and the map looks at the nodule."""

from __future__ import annotations

import json
from pathlib import Path

import pydicom
import pytest

from hounsfield.cohort import Labelling, scan_for_prediction
from hounsfield.core import Bundle
from hounsfield.measure import auc
from hounsfield.pipeline.demo import demo
from hounsfield.pipeline.stages import Machine
from hounsfield.predict import predict


@pytest.mark.slow
def test_demo(tmp_path: Path) -> None:
    run = demo(tmp_path / "demo", Machine(device="cpu", workers=0))
    report = json.loads((run.path / "report" / "report.json").read_text())
    home = report["evaluations"]["test"]["estimates"]["auc"]["value"]
    away = report["evaluations"]["external-B"]["estimates"]["auc"]["value"]
    hits = json.loads((run.path / "demo.json").read_text())
    # Of 24 test cases one pair is 0.007, and processors round otherwise: 0.97 on one is 0.99 on another. The other centre has 60.
    assert 0.85 <= home < 1 and 0.6 <= away <= 0.95
    assert report["drops"][0]["sentence"]
    assert hits["peak_in_nodule"] > hits["centre_in_nodule"]

    # The same files of centre B, read as if stored values were Hounsfield units.
    bundle, images = Bundle.load(run.bundle), run.path / "images"
    for path in (images / "centre-b").rglob("*"):
        if path.is_file():
            dataset = pydicom.dcmread(path)
            dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
            dataset.save_as(path)
    table = Labelling(table=images / "labels-b.csv", label=("nodule",))
    ignored = scan_for_prediction(images / "centre-b", bundle.labels, bundle.positive, table)
    predictions, _ = predict(bundle, ignored, device="cpu")
    assert auc(predictions.truth, predictions.logits[:, 0]) <= away - 0.1
