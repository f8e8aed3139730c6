"""Does Grad-CAM peak in the nodule? On simulated series whose nodule is known in millimetres, against chance.

    python benchmarks/nodules.py [--kinds 2d sequence 3d] [--patients 160 60] [--seed 0] [--epochs N] [--json FILE]

Series are those of `hounsfield.phantom.generate` with its own settings of difficulty. Each kind trains on centre A and is asked
about other patients of both centres, twice: axial series, and series of yet other patients who lay turned in the scanner
(oblique slices). The peak of Grad-CAM is taken in the patient's coordinates (mm), in every case with a nodule, found or missed:
`inside` counts the peaks within the nodule's sphere, `+5 mm` those within 5 mm of it. An empty map is a miss.

- `2d` sees one slice, the plan's own choice: the middle one, which in series of 8 slices always cuts the nodule;
- `sequence` sees 16 slices through the pretrained 2D backbone, with attention over slices; the peak is that of the slice that
  speaks most for the nodule;
- `3d` sees a region of interest that the label table gives, a block of 96 mm, resampled to 3 mm, with a 3D network of random
  weights; the peak is taken in the volume. The region lies anywhere within 24 mm of the nodule in each direction of the
  slice; without a nodule, at the same place of the chest as that of another patient.

`chance` is a point drawn evenly from the body in what the network saw: the exact share of pixels that lie in the nodule, the
mean over cases. `centre` is the centre of the middle slice. The margin is the lower end of the 95% interval (Wilson) of
`inside` minus chance: above 0, the peak is no accident.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from common import markdown, own_key, write
from scipy import ndimage

from hounsfield.cohort import Labelling, Looking, Splitting, scan, scan_for_prediction
from hounsfield.core import Cohort, files
from hounsfield.measure import auc
from hounsfield.measure.intervals import share
from hounsfield.phantom import PhantomCohort, generate
from hounsfield.prepare import Seen, seen
from hounsfield.read import read_headers, read_image

NEAR_MM = 5.0
BODY_HU = -300.0
AWAY_MM = 24.0  # of the centre of a region from the nodule, at the most, in each direction
TILT = (17.0, -12.0, 23.0)
# Worker processes import this file as well: what loads torch is imported where it is used, so that they start fast.
KINDS: dict[str, dict[str, Any]] = {
    "2d": {"dimension": "2d", "slices": 1, "members": 1, "region": {"kind": "none"}},
    "sequence": {"dimension": "2.5d", "pooling": "attention", "slices": 16, "members": 1, "region": {"kind": "none"}},
    "3d": {
        "dimension": "3d", "backbone": "resnet10_half", "region": {"kind": "centre", "size": [60.0, 96.0, 96.0]}, "slices": 16,
        "spacing": [3.0, 3.0, 3.0], "size": [32, 32], "members": 1, "epochs": 24, "patience": 24,
    },
}  # fmt: skip
SLICES = {"2d": 8, "sequence": 16, "3d": 16}
TITLES = (
    "kind", "series", "AUC", "nodules", "inside", "chance", "margin", "+5 mm", "chance +5 mm", "centre", "median mm to the centre",
    "seconds to train",
)  # fmt: skip


@dataclass(frozen=True)
class Look:
    """Of one case with a nodule: mm from its centre to the peak (None: an empty map) and to the image centre; chances."""

    radius: float
    peak: float | None
    centre: float
    chance: float
    chance_near: float

    def hit(self, room: float = 0.0) -> bool:
        return self.peak is not None and self.peak <= self.radius + room


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--patients", type=int, nargs=2, default=(160, 60), metavar=("TRAIN", "TEST"),
                        help="of centre A to train on; of each centre to ask about")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="of every kind; by default the plan's")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    found: list[dict[str, Any]] = []
    for kind in chosen.kinds:
        with tempfile.TemporaryDirectory(prefix="hounsfield-nodules-") as folder:
            own_key(Path(folder))
            for row in measure(Path(folder), kind, chosen):
                found.append(row)
                print(markdown(TITLES, [line(row)]).splitlines()[-1], file=sys.stderr, flush=True)
                write(chosen.json, {"patients": chosen.patients, "seed": chosen.seed, "tilt": TILT, "rows": found})
    print(markdown(TITLES, [line(row) for row in found]))


def measure(folder: Path, kind: str, chosen: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Train one kind on centre A, and look where it looks in other patients, axial and oblique."""
    from hounsfield.plan import make_plan
    from hounsfield.predict import predict
    from hounsfield.train import train

    made = generate(
        folder / "train", patients_a=chosen.patients[0], patients_b=0, slices=SLICES[kind], seed=chosen.seed
    )
    table = Labelling(labelled(made, chosen.seed), label=("nodule",))
    cohort = scan(made.centre_a, table, splitting=Splitting(seed=chosen.seed), run=folder / "scan")
    decisions = KINDS[kind] | {"seed": chosen.seed} | ({"epochs": chosen.epochs} if chosen.epochs else {})
    started = time.perf_counter()
    plan = make_plan(cohort, decisions=decisions, place=folder / "run")
    bundle = train(cohort, plan, folder / "run").bundle
    seconds = time.perf_counter() - started
    for number, series in enumerate(("axial", "oblique"), start=1):
        made = generate(
            folder / series, patients_a=chosen.patients[1], patients_b=chosen.patients[1], slices=SLICES[kind],
            seed=chosen.seed + 1000 * number, tilt_deg=TILT if series == "oblique" else (0.0, 0.0, 0.0),
        )  # fmt: skip
        table = Labelling(labelled(made, chosen.seed + number), label=("nodule",))
        asked = scan_for_prediction(
            folder / series, bundle.labels, bundle.positive, table, looking=Looking(pixels=False), run=folder / f"scan-{series}"
        )  # fmt: skip
        predictions = predict(bundle, asked)[0]
        looks = list(looked(bundle, asked, files.read_json(made.truth)))
        yield {
            "kind": kind, "series": series, "auc": float(auc(predictions.truth, predictions.logits[:, 0])), "seconds": seconds,
            "size": plan.size.value, "slices": plan.slices.value, "backbone": plan.backbone.value, "epochs": plan.epochs.value,
            **counted(looks),
        }  # fmt: skip


def labelled(made: PhantomCohort, seed: int) -> Path:
    """Write the labels with a region of interest for each patient, and return the table; only the 3d plan looks at them."""
    rng, truth = np.random.default_rng(seed), files.read_json(made.truth)
    slices: dict[str, list[Path]] = {}
    owner: dict[str, str] = {}
    planted = {one.path for one in made.planted}
    for path in sorted(path for centre in (made.centre_a, made.centre_b) for path in centre.rglob("*")):
        if path.is_file() and path not in planted:
            header = read_headers(path)[0]
            slices.setdefault(header.series_uid or "", []).append(path)
            owner[header.series_uid or ""] = header.patient_id or ""
    middle = {series: middle_of(paths) for series, paths in slices.items()}
    offsets = [np.array(truth[series]["centre_mm"]) - middle[series] for series in slices if truth[series]]
    rows = []
    for series, patient in owner.items():
        nodule = truth[series]
        place = nodule["centre_mm"] if nodule else middle[series] + offsets[int(rng.integers(len(offsets)))]
        x, y, z = np.array(place) + np.append(rng.uniform(-AWAY_MM, AWAY_MM, 2), 0.0)
        rows.append({"PatientID": patient, "roi_x": round(x, 3), "roi_y": round(y, 3), "roi_z": round(z, 3)})
    table = made.labels.with_name("regions.csv")
    pl.read_csv(made.labels, infer_schema=False).join(pl.DataFrame(rows), on="PatientID").write_csv(table)
    return table


def middle_of(paths: list[Path]) -> np.ndarray:
    """Return the middle of a series in the patient, mm."""
    found = []
    for image in map(read_image, paths):
        assert image.affine is not None
        height, width = image.size
        found.append((image.affine @ [(width - 1) / 2, (height - 1) / 2, 0, 1])[:3])
    return np.asarray(np.mean(found, axis=0))


def looked(bundle: Any, cohort: Cohort, truth: dict[str, Any]) -> Iterator[Look]:
    """Yield where Grad-CAM peaks in each case that has a nodule."""
    from hounsfield.explain import explain
    from hounsfield.predict import files_of, preparation_of

    positives = cohort.usable.filter(pl.col("label") == bundle.positive)
    maps = explain(bundle, cohort, dict.fromkeys(positives["case"].to_list(), bundle.positive))
    of_case = {case.case: case for case in files_of(cohort, positives)}
    for one in maps:
        case = of_case[one.case]
        nodule = truth[read_headers(case.sources[0].path)[0].series_uid]
        shown, centre = seen(case, preparation_of(bundle)), nodule["centre_mm"]
        middle = shown.places[len(shown.places) // 2]
        radius = nodule["diameter_mm"] / 2
        yield Look(
            radius,
            None if one.peak_mm is None else math.dist(one.peak_mm, centre),
            math.dist(middle.in_patient(*((length - 1) / 2 for length in middle.picture)), centre),
            *chances(shown, np.array(centre), (radius, radius + NEAR_MM)),
        )


def chances(shown: Seen, centre: np.ndarray, radii: tuple[float, ...]) -> list[float]:
    """Return, of the pixels of the body that the network saw, the share that lies within each radius of the nodule's centre."""
    body, hits = 0, [0] * len(radii)
    for place, picture in zip(shown.places, shown.pictures, strict=True):
        part = slice(place.rows.first, place.rows.stop), slice(place.columns.first, place.columns.stop)
        inside = np.zeros(place.picture, dtype=bool)
        inside[part] = body_of(picture)[part]
        rows, columns = np.nonzero(inside)
        assert place.plane is not None
        points = np.stack([columns, rows, np.ones_like(rows)], axis=1) @ place.plane.T
        away = np.linalg.norm(points - centre, axis=1)
        body += len(away)
        hits = [count + int((away <= radius).sum()) for count, radius in zip(hits, radii, strict=True)]
    return [count / body for count in hits]


def body_of(picture: np.ndarray) -> np.ndarray:
    """Return the patient in a slice in HU: the largest thing that is no air and no table, its lungs filled."""
    labels, _ = ndimage.label(ndimage.binary_opening(picture > BODY_HU, iterations=2))
    body = labels == 1 + int(np.bincount(labels.ravel())[1:].argmax())
    return np.asarray(ndimage.binary_fill_holes(body))


def counted(looks: list[Look]) -> dict[str, Any]:
    everyone, patients = np.ones(len(looks), dtype=bool), np.arange(len(looks))
    found: dict[str, Any] = {"nodules": len(looks), "empty": sum(look.peak is None for look in looks)}
    for name, room in (("inside", 0.0), ("near", NEAR_MM)):
        rate = share(np.array([look.hit(room) for look in looks]), everyone, patients)
        found[name] = {"value": float(rate.value), "low": float(rate.low), "high": float(rate.high)}
    found["chance"] = float(np.mean([look.chance for look in looks]))
    found["chance_near"] = float(np.mean([look.chance_near for look in looks]))
    found["centre"] = float(np.mean([look.centre <= look.radius for look in looks]))
    found["mm"] = float(np.median([np.inf if look.peak is None else look.peak for look in looks]))
    return found


def line(row: dict[str, Any]) -> tuple[str, ...]:
    inside, near = (
        f"{row[name]['value']:.2f} ({row[name]['low']:.2f} to {row[name]['high']:.2f})" for name in ("inside", "near")
    )
    return (
        row["kind"], row["series"], f"{row['auc']:.3f}", str(row["nodules"]), inside, f"{row['chance']:.3f}",
        f"{row['inside']['low'] - row['chance']:+.2f}", near, f"{row['chance_near']:.3f}", f"{row['centre']:.2f}",
        f"{row['mm']:.0f}", f"{row['seconds']:.0f}",
    )  # fmt: skip


if __name__ == "__main__":
    main()
