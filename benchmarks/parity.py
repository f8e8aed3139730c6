"""Does every kind of network give the same numbers in Python and in ONNX Runtime? After a short real training, on real images.

    python benchmarks/parity.py [--rows resnet50 lstm …] [--epochs 2] [--int8] [--json FILE]

2D networks see CT slices in DICOM at their native size (siim-ct-contrast) and breast ultrasound (busi, 60 images of each
label); slices + LSTM and the 3D network see simulated CT series, the volume resampled within the graph. ResNet-50,
DenseNet-121 and EfficientNet-B0 start from random weights, of which nothing is frozen: there are none offline. Each case is
cut to one of five non-square shapes. `logits` and `probabilities` are the largest differences over all images, `answers`
those of maps, embeddings and slice weights, as a share of their greatest value; `range` and `deviation` tell what the logits
themselves do: of a network that answers a constant, equality would prove nothing. With `--int8` also what quantisation gives.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import DATA, markdown, need, own_key, write

from hounsfield.cohort import Labelling, Looking, Splitting, Stated, scan
from hounsfield.core import Cohort, files
from hounsfield.errors import ExportError
from hounsfield.phantom import generate

SIIM, BUSI = DATA / "siim-ct-contrast", DATA / "busi" / "images"
EACH = 60  # images of a label of busi
RAW = {"weights": "none", "frozen": "none", "members": 1}
LITE = {"backbone": "tf_efficientnet_lite0", "members": 1}
TWO_D: dict[str, dict[str, Any]] = {
    "resnet50": {"backbone": "resnet50"} | RAW,
    "densenet121": {"backbone": "densenet121"} | RAW,
    # From random weights it answers a constant after two epochs.
    "efficientnet_b0": {"backbone": "efficientnet_b0", "epochs": 12, "patience": 12, "learning_rate": 0.005} | RAW,
    "tf_efficientnet_lite0": LITE | {"head": "last"},
    "tf_efficientnet_lite0, stages": LITE | {"head": "stages"},
}
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"{name}, {place}": (place, decisions) for name, decisions in TWO_D.items() for place in ("siim", "busi")},
    "5-fold ensemble": ("folds", LITE | {"members": 5}),
    "lstm": ("series", LITE | {"dimension": "2.5d", "pooling": "lstm", "slices": 16, "size": [128, 128]}),
    "3d densenet121": (
        "series",
        {"dimension": "3d", "backbone": "densenet121", "spacing": [4.0, 3.0, 3.0], "size": [64, 64], "slices": 24,
         "region": {"kind": "body", "margin": 5}} | RAW,
    ),
}  # fmt: skip
HEADERS = (
    "network", "images", "sizes", "logits (limit 1e-3)", "probabilities (1e-4)", "answers (1e-3)", "decisions", "range", "deviation",
    "passed", "seconds",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", default=[], help="beginnings of the names of rows; by default all")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--int8", action="store_true")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    need(SIIM, BUSI)
    wanted = [name for name in ROWS if not chosen.rows or any(name.startswith(start) for start in chosen.rows)]
    rows, kept = [], []
    with tempfile.TemporaryDirectory(prefix="hounsfield-parity-") as place:
        own_key(Path(place))
        for name in wanted:
            found = measure(name, Path(place), chosen)
            kept.append({"network": name, **found})
            rows.append(line(name, found))
            print(name, found.get("small", ""), f"{found['seconds']:.0f} s", file=sys.stderr)
            write(chosen.json, kept)
    print(markdown(HEADERS, rows))


def measure(name: str, place: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    from hounsfield.export import export
    from hounsfield.plan import make_plan
    from hounsfield.train import train

    source, decisions = ROWS[name]
    run = place / name.replace(", ", "-").replace(" ", "-")
    cohort = scanned(source, place)
    started = time.perf_counter()
    plan = make_plan(cohort, decisions={"epochs": chosen.epochs, "patience": chosen.epochs} | decisions)
    trained = train(cohort, plan, run)
    record = run / "export" / "parity.json"
    small = ""
    try:
        made = export(trained.bundle, trained.cohort, run / "export", int8=chosen.int8)
        small = "" if made.small is None else str(made.small)
    except ExportError:
        pass  # the record says what did not hold
    return files.read_json(record) | {"seconds": time.perf_counter() - started, "small": small}


def scanned(source: str, place: Path) -> Cohort:
    looking = Looking(pixels=False)
    if source in ("siim", "folds"):
        labelling = Labelling(SIIM / "labels.csv", label=("contrast",))
        return scan(
            SIIM / "dicom", labelling, splitting=Splitting(folds=5 if source == "folds" else 0), looking=looking
        )
    if source == "series":
        folder = place / "series"
        if not folder.exists():
            generate(folder, patients_a=60, patients_b=2, slices=24, size=96, seed=3)
        return scan(folder / "centre-a", Labelling(folder / "labels.csv", label=("nodule",)), looking=looking)
    folder = place / "busi"
    for label in () if folder.exists() else ("benign", "malignant", "normal"):
        (folder / label).mkdir(parents=True)
        for path in sorted((BUSI / label).iterdir())[:EACH]:
            (folder / label / path.name).symlink_to(path)
    return scan(folder, stated=Stated(modality="US", body_part="BREAST"), looking=looking)


def line(name: str, found: dict[str, Any]) -> tuple[object, ...]:
    answers = ", ".join(f"{what} {share:.0e}" for what, share in found["answers"].items())
    low, high = found["logit_range"]
    return (
        name, found["images"], len(found["sizes"]), f"{found['logit_difference']:.1e}", f"{found['probability_difference']:.1e}",
        answers or "–", "equal" if found["decisions_equal"] else "differ", f"{low:.2f} to {high:.2f}",
        f"{found['logit_standard_deviation']:.2f}", "yes" if found["passed"] else found["reason"], f"{found['seconds']:.0f}",
    )  # fmt: skip


if __name__ == "__main__":
    main()
