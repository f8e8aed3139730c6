"""Maps against prediction: Grad-CAM of 100 head CT images, and what SHAP and LIME of ten cost; memory summed over processes.

    python benchmarks/explain.py [--images 100] [--asked 10] [--json FILE]

Prediction is the torch path: files read in worker processes, the network run, logits of each member. Grad-CAM is the whole
path of `explain_each`: the same reading, the network and its gradient, maps in the geometry of the original images; no
pictures are written. Seconds are of the wall; on a busy machine the CPU time of the computing process tells more. Each
measurement is a process of its own, whose clock starts after imports, with the bundle loaded
and the weights not. The plan is the default one at 224 pixels; backbones are sealed with weights of their own (EfficientNet-Lite0)
or random ones (ResNet-50), and heads that were never trained, because time does not mind.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import DATA, markdown, need, own_key, random_weights, watched, write

SOURCE = DATA / "head-ct"
BAR = 3.0
ROWS = [(backbone, members) for backbone in ("tf_efficientnet_lite0", "resnet50") for members in (1, 5)]
ASKING = ("kernel-shap", "lime")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--asked", type=int, default=10, help="images of SHAP and LIME")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=3, metavar=("FOLDER", "WHAT", "IMAGES"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        child(Path(chosen.child[0]), chosen.child[1], int(chosen.child[2]))
        return
    need(SOURCE)
    with tempfile.TemporaryDirectory(prefix="hounsfield-explain-") as place:
        folder = Path(place)
        own_key(folder)
        cams = [cam_row(folder, *row, chosen.images) for row in ROWS]
        asked = [asked_row(folder, method, chosen.asked) for method in ASKING]
    write(chosen.json, {"images": chosen.images, "gradcam": cams, "asking": asked})
    report(chosen.images, chosen.asked, cams, asked)


def cam_row(folder: Path, backbone: str, members: int, images: int) -> dict[str, Any]:
    run = prepare(folder, backbone, members)
    few = max(1, images * 2 // 5)
    return {
        "backbone": backbone, "members": members, "predict": measure(run, "predict", images),
        "gradcam": measure(run, "gradcam", images), "few": measure(run, "gradcam", few) | {"images": few},
    }  # fmt: skip


def asked_row(folder: Path, method: str, images: int) -> dict[str, Any]:
    run = prepare(folder, *ROWS[0])
    return {"method": method, "many": measure(run, method, 4 * images), "few": measure(run, method, images)}


def measure(run: Path, what: str, images: int) -> dict[str, float]:
    peak = watched([sys.executable, __file__, "--child", str(run), what, str(images)])
    found: dict[str, float] = json.loads((run / "told.json").read_text()) | {"memory": peak}
    print(f"{run.name}, {what}, {images} images: {found['seconds']:.1f} s, {peak:.0f} MB", file=sys.stderr, flush=True)
    return found


def prepare(folder: Path, backbone: str, members: int) -> Path:
    """Scan, plan, and seal a bundle whose heads nobody trained; return the run folder."""
    import torch

    import hounsfield
    from hounsfield.core import Bundle, Calibration
    from hounsfield.models import build, renew
    from hounsfield.prepare import recipe_of

    run = folder / f"{backbone}-{members}"
    if run.exists():
        return run
    cohort = hounsfield.scan(SOURCE, SOURCE / "labels.csv", out=run, modality="CT", body_part="HEAD", pixels=False)
    decisions: dict[str, Any] = {"backbone": backbone, "members": members, "size": [224, 224]}
    if backbone == "resnet50":
        decisions["weights"] = str(random_weights(backbone, folder / "random.safetensors"))
    plan = hounsfield.plan(cohort, out=run, **decisions)
    network = build(plan)
    for number, tail in enumerate(network.tails):
        renew(tail, plan, number)
        with torch.no_grad():
            for parameter in tail.parameters():
                parameter.mul_(1 + 0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    network.save(run / "weights.safetensors")
    calibration = Calibration(temperature=1, offsets=[0], threshold=0.5, fitted_on="nothing", cases=0)
    Bundle.seal(
        run / "bundle", plan=plan, recipe=recipe_of(plan), calibration=calibration, reference={},
        weights=run / "weights.safetensors",
    )  # fmt: skip
    return run


def child(run: Path, what: str, images: int) -> None:
    """Predict or explain in this process, and write down the seconds."""
    from hounsfield.core import Bundle, Cohort
    from hounsfield.explain import explain_each
    from hounsfield.models.device import choose_device
    from hounsfield.predict import files_of, load_network, preparation_of
    from hounsfield.predict.engine import score

    bundle, cohort = Bundle.load(run / "bundle"), Cohort.load(run)
    rows = cohort.usable.head(images)
    started, computing = time.perf_counter(), time.process_time()
    if what == "predict":
        network = load_network(bundle, "cpu")
        found = score(network, files_of(cohort, rows), preparation_of(bundle), device=choose_device("cpu"))
        count = len(found.logits)
    else:
        targets = dict.fromkeys(rows["case"].to_list(), "yes")
        count = sum(1 for _ in explain_each(bundle, cohort, targets, (what,), device="cpu"))
    seconds = time.perf_counter() - started
    assert count == images, "the cohort has fewer images"
    (run / "told.json").write_text(json.dumps({"seconds": seconds, "cpu": time.process_time() - computing}))


def report(images: int, asked: int, cams: list[dict[str, Any]], asking: list[dict[str, Any]]) -> None:
    from hounsfield.explain.methods import QUESTIONS

    print(f"{images} images of head-ct at 224 × 224, torch\n")
    titles = (
        "backbone", "members", "prediction, s", "Grad-CAM, s", f"times (bar {BAR:g})", "times, CPU", "memory prediction, MB",
        "memory Grad-CAM, MB", f"of {cams[0]['few']['images']} images, MB",
    )  # fmt: skip
    rows = []
    for row in cams:
        ratio, of_cpu = (row["gradcam"][kind] / row["predict"][kind] for kind in ("seconds", "cpu"))
        rows.append((
            row["backbone"], row["members"], f"{row['predict']['seconds']:.1f}", f"{row['gradcam']['seconds']:.1f}",
            f"{ratio:.2f}{'' if ratio <= BAR else ' MISSED'}", f"{of_cpu:.2f}", f"{row['predict']['memory']:.0f}",
            f"{row['gradcam']['memory']:.0f}", f"{row['few']['memory']:.0f}",
        ))  # fmt: skip
    print(markdown(titles, rows))
    print(f"\n{ROWS[0][0]}, {ROWS[0][1]} member, {QUESTIONS} questions for each image\n")
    rows = []
    for row in asking:
        each = row["few"]["seconds"] / asked
        rows.append((
            row["method"], f"{each:.2f}", f"{QUESTIONS / each:.0f}", f"{row['few']['memory']:.0f}",
            f"{row['many']['memory']:.0f}",
        ))  # fmt: skip
    titles = (
        "method",
        "seconds per image",
        "questions per second",
        f"memory of {asked} images, MB",
        f"of {4 * asked}, MB",
    )
    print(markdown(titles, rows))


if __name__ == "__main__":
    main()
