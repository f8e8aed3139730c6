"""demo: generate a cohort of two simulated centres, then everything that `run` does, offline."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from hounsfield.cohort import Labelling, Splitting, Stated
from hounsfield.core import files
from hounsfield.core.bundle import Bundle
from hounsfield.core.cohort import Cohort
from hounsfield.errors import UsageError
from hounsfield.explain import explain
from hounsfield.phantom import generate
from hounsfield.pipeline.folder import RunFolder
from hounsfield.pipeline.run import External, run_all
from hounsfield.pipeline.stages import Machine, PlanOptions, ScanOptions
from hounsfield.read import read_headers

CENTRES = {"A": "centre-a", "B": "centre-b"}
# One member and few views, so that the whole demonstration takes minutes on two cores.
QUICK = {"members": 1, "cached_views": 6, "epochs": 12, "patience": 6}


@dataclass(frozen=True)
class Hits:
    """How often a point lies in the nodule that is known to be there."""

    cases: int
    peak: int
    centre: int

    def __str__(self) -> str:
        return f"Grad-CAM's peak lies in the nodule in {self.peak} of {self.cases} positive cases, the image centre in {self.centre}"


def demo(
    out: Path, machine: Machine, *, patients: tuple[int, int] = (160, 60), slices: int = 8, seed: int = 0
) -> RunFolder:
    """Generate `out`/images and run on it: centre A trains and tests, centre B is the external centre.

    The phantom shows where every nodule is, so the maps can be checked; the count is in `out`/demo.json.
    """
    files.make_folder(out)
    images = out / "images"
    marker = images / "truth.json"
    machine.reporter.stage("phantom")
    if not marker.exists():
        if images.exists():
            shutil.rmtree(images)
        made = generate(
            images, patients_a=patients[0], patients_b=patients[1], slices=slices, seed=seed,
            progress=machine.reporter.bar("simulating patients"),
        )  # fmt: skip
        machine.reporter.say(
            f"{patients[0]} patients of centre A, {patients[1]} of centre B, and {len(made.planted)} files to put aside"
        )
    tables = {site: _labels_of(images, site) for site in CENTRES}
    # A seed of its own: with 24 test patients some splits give a perfect AUC by luck, which demonstrates nothing.
    options = ScanOptions(
        images / CENTRES["A"], tables["A"], Stated(site="A"), Splitting(seed=seed + 1), out / "private" / "demo.key"
    )
    centre_b = External(images / CENTRES["B"], tables["B"])
    run = run_all(out, options, PlanOptions(decisions=QUICK), machine, {"B": centre_b})
    hits = nodule_hits(run, marker, machine)
    files.write_json(
        out / "demo.json", {"cases": hits.cases, "peak_in_nodule": hits.peak, "centre_in_nodule": hits.centre}
    )
    machine.reporter.say(str(hits))
    return run


def _labels_of(images: Path, site: str) -> Labelling:
    """Write the rows of one centre as a table of its own, as two hospitals would have them."""
    table = images / f"labels-{site.lower()}.csv"
    with files.replacing(table) as partial:
        pl.read_csv(images / "labels.csv", infer_schema=False).filter(pl.col("site") == site).write_csv(partial)
    return Labelling(table=table, label=("nodule",))


def nodule_hits(run: RunFolder, truth: Path, machine: Machine) -> Hits:
    """Count, over the positive cases of the test part and of centre B, how often a point lies in the nodule.

    The points, in the patient's coordinates, are the peak of Grad-CAM and, as a guess that needs no model, the centre of the
    image that is shown.
    """
    machine.reporter.stage("where does it look?")
    known = files.read_json(truth)
    counted = [_hits(run, Cohort.load(folder), known, machine) for folder in (run.path, run.external("B"))]
    return Hits(*(sum(getattr(one, name) for one in counted) for name in ("cases", "peak", "centre")))


def _hits(run: RunFolder, cohort: Cohort, known: dict[str, dict[str, Any]], machine: Machine) -> Hits:
    bundle = Bundle.load(run.bundle)
    if bundle.positive is None:
        raise UsageError("the phantom has a positive label, and this bundle has none", where=run.path)
    positives = cohort.part("test").filter(pl.col("label") == bundle.positive)
    found = explain(
        bundle,
        cohort,
        dict.fromkeys(positives["case"].to_list(), bundle.positive),
        device=machine.device,
        workers=machine.workers,
        progress=machine.reporter.bar("Grad-CAM"),
    )
    cases = dict(positives.select("case", "files").iter_rows())
    peak = centre = 0
    for one in found:
        series = read_headers(cohort.locate(cases[one.case][:1])[0][0])[0].series_uid
        nodule, place = known[series or ""], one.attribution.place
        assert place is not None
        peak += _inside(nodule, one.peak_mm)
        centre += _inside(nodule, place.in_patient(*((length - 1) / 2 for length in place.picture)))
    return Hits(len(found), peak, centre)


def _inside(nodule: dict[str, Any], point: tuple[float, float, float] | None) -> bool:
    """Say whether a point lies in the nodule; a map of which nothing speaks for the nodule has none."""
    return point is not None and math.dist(point, nodule["centre_mm"]) <= nodule["diameter_mm"] / 2
