"""Where the map of a trained network peaks in the patient, against a nodule that is known to be there."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hounsfield.cohort import Labelling, scan, scan_for_prediction
from hounsfield.core import Bundle, files
from hounsfield.explain import explain, write_panels
from hounsfield.measure.intervals import share
from hounsfield.phantom import generate
from hounsfield.plan import make_plan
from hounsfield.predict import files_of, preparation_of
from hounsfield.prepare import seen
from hounsfield.read import read_headers
from hounsfield.train import train

pytestmark = pytest.mark.slow
TILT = (17.0, -12.0, 23.0)
# By how much the lower end of the interval of hits must lie above chance.
MARGIN = 0.05
BODY_HU = -300.0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """One slice of each patient, the middle one, through the pretrained backbone; the last stages are trained."""
    folder = tmp_path_factory.mktemp("nodules")
    made = generate(folder / "images", patients_a=140, patients_b=0, slices=3, seed=0)
    cohort = scan(made.centre_a, Labelling(made.labels, label=("nodule",)), run=folder / "scan")
    decisions = {
        "dimension": "2d",
        "slices": 1,
        "epochs": 20,
        "patience": 20,
        "members": 1,
        "cached_views": 6,
        "seed": 0,
    }
    plan = make_plan(cohort, decisions=decisions, place=folder / "run")
    return train(cohort, plan, folder / "run", device="cpu", workers=0).bundle


@pytest.mark.parametrize("tilt", [(0.0, 0.0, 0.0), TILT], ids=["axial", "oblique"])
def test_the_peak_lies_in_the_nodule_more_often_than_by_chance(
    bundle: Bundle, tmp_path: Path, tilt: tuple[float, float, float]
) -> None:
    """Both centres, of which one lies on the front and stores its pixels turned; in mm, by the truth of the phantom."""
    made = generate(tmp_path / "images", patients_a=30, patients_b=30, slices=3, seed=7, tilt_deg=tilt)
    table = Labelling(made.labels, label=("nodule",))
    cohort = scan_for_prediction(tmp_path / "images", bundle.labels, bundle.positive, table)
    positives = cohort.usable.filter(pl.col("label") == "yes")
    found = explain(bundle, cohort, dict.fromkeys(positives["case"].to_list(), "yes"), device="cpu", workers=0)
    truth, of_case = files.read_json(made.truth), {case.case: case for case in files_of(cohort, positives)}
    hits, chances = [], []
    for one in found:
        nodule = truth[read_headers(of_case[one.case].sources[0].path)[0].series_uid]
        radius, centre = nodule["diameter_mm"] / 2, np.array(nodule["centre_mm"])
        hits.append(one.peak_mm is not None and math.dist(one.peak_mm, centre) <= radius)
        given = seen(of_case[one.case], preparation_of(bundle))
        rows, columns = np.nonzero(given.pictures[0] > BODY_HU)
        # Of points drawn from the body alone: without its lungs the share is too large, if anything.
        points = np.stack([columns, rows, np.ones_like(rows)], axis=1) @ given.places[0].plane.T
        chances.append(float((np.linalg.norm(points - centre, axis=1) <= radius).mean()))
    everyone = np.ones(len(hits), dtype=bool)
    rate = share(np.array(hits), everyone, np.arange(len(hits)))
    assert len(hits) >= 26
    assert rate.low > np.mean(chances) + MARGIN, f"{rate}, chance {np.mean(chances):.3f}"

    facts = {"kind": "right", "truth": "yes", "decision": "yes", "probability": 0.5}
    written = json.loads(write_panels(tmp_path / "maps", bundle, found[:3], [facts] * 3).read_text())
    for one, panel in zip(found, written, strict=False):
        (told,) = panel["maps"]
        kept = np.load(tmp_path / "maps" / told["values"])
        assert kept["peak_mm"].tolist() == pytest.approx(list(one.peak_mm or []))
        assert told["peak_mm"] == (None if one.peak_mm is None else pytest.approx(one.peak_mm, abs=0.006))
        assert told["frame"] == kept["frame"] == 1 and kept["values"].shape == (128, 128)
        assert tuple(told["peak"]) == tuple(kept["peak"]) or one.peak_mm is None
