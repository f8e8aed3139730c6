"""From a folder of DICOM files to a table of probabilities: Hounsfield against the plain loop, in one run.

    python benchmarks/predict.py [--images 1000] [--many 10000] [--backbones tf_efficientnet_lite0 resnet50] [--json FILE]

The folder holds copies of the CT slices of siim-ct-contrast (512², 16 bit), each with identifiers of its own. Plain is what one
writes by hand: pydicom's dcmread, pixel_array and apply_modality_lut, a window, cv2.resize to 224², batches of 16, the same network
in eager PyTorch in the default memory format. Ours is `hounsfield.predict` on the folder: scan, reading in worker
processes, the input check, ONNX Runtime, the table. Each side is a process of its own, whose clock starts after the imports
with the weights not yet loaded. `reading` and `network` are what those two take alone: all files through `case_array` on all cores, and
prepared images through ONNX Runtime on all cores; `limit` is one after the other, which reading beside computing cannot
beat by much where both keep all cores busy. Latency is of one file after the other in one process, from the file to its
probability, on all cores. Memory is the peak of a process and its workers, shared pages counted once.

The bundles are trained for one epoch on the 100 slices, all but the head frozen; ResNet-50 from random weights, because time does not mind.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from common import DATA, markdown, need, own_key, random_weights, watched, write

SIIM = DATA / "siim-ct-contrast"
PLAIN = 200  # images of the plain loop; it is no faster with more
BATCH = 16
SINGLE = 120
WARM = 50
SIDE = 224
BAR = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--many", type=int, default=10_000, help="images of the second look at memory; 0 leaves it out")
    parser.add_argument("--backbones", nargs="+", default=["tf_efficientnet_lite0", "resnet50"])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=4, metavar=("WHAT", "RUN", "FOLDER", "OUT"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        what, *places = chosen.child
        CHILDREN[what](*map(Path, places))
        return
    need(SIIM)
    with tempfile.TemporaryDirectory(prefix="hounsfield-predict-") as place:
        own_key(Path(place))
        compare(Path(place), chosen)


def compare(place: Path, chosen: argparse.Namespace) -> None:
    folder, few = copies(place / "images", chosen.images), copies(place / "few", PLAIN)
    found = []
    for backbone in chosen.backbones:
        run = sealed(place, backbone)
        row: dict[str, Any] = {"backbone": backbone}
        for what, images in (("plain", few), ("ours", folder), ("alone", few)):
            row[what] = measure(what, run, images, place)
            print(f"{backbone}, {what}: {row[what]}", file=sys.stderr, flush=True)
        found.append(row)
        write(chosen.json, {"images": chosen.images, "rows": found})
    if chosen.many:
        shutil.rmtree(few)
        many = copies(folder, chosen.many)
        found[0]["many"] = measure("ours", sealed(place, chosen.backbones[0]), many, place)
        write(chosen.json, {"images": chosen.images, "many": chosen.many, "rows": found})
    report(found, chosen)


def copies(folder: Path, count: int) -> Path:
    """Copy the slices until there are so many, each of another patient; those that are there already stay."""
    from pydicom import dcmread
    from pydicom.uid import generate_uid

    folder.mkdir(exist_ok=True)
    sources = sorted((SIIM / "dicom").glob("*.dcm"))
    for number in range(len(list(folder.iterdir())), count):
        dataset = dcmread(sources[number % len(sources)])
        for name in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
            setattr(dataset, name, generate_uid())
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.PatientID = f"copy-{number}"
        dataset.save_as(folder / f"{number}.dcm")
    return folder


def sealed(place: Path, backbone: str) -> Path:
    """Return the run folder of a bundle with a proved graph."""
    import hounsfield

    run = place / backbone
    if run.exists():
        return run
    cohort = hounsfield.scan(SIIM / "dicom", SIIM / "labels.csv", label="contrast", out=run, pixels=False)
    decisions: dict[str, Any] = {
        "backbone": backbone, "members": 1, "size": [SIDE, SIDE], "frozen": "all", "head": "last", "epochs": 1, "cached_views": 1,
        "learning_rate": 0.1, "windows": [[40, 400]],
    }  # fmt: skip
    if backbone != "tf_efficientnet_lite0":
        decisions["weights"] = str(random_weights(backbone, place / f"{backbone}.safetensors"))
    bundle = hounsfield.train(cohort, hounsfield.plan(cohort, out=run, **decisions), run)
    print(hounsfield.export(bundle, cohort, run / "export").parity, file=sys.stderr)
    return run


def measure(what: str, run: Path, images: Path, place: Path) -> dict[str, float]:
    told = place / "told.json"
    peak = watched([sys.executable, __file__, "--child", what, str(run), str(images), str(told)])
    return {**json.loads(told.read_text()), "memory": peak}


def plain(run: Path, folder: Path, told: Path) -> None:
    import cv2
    import torch
    from pydicom import dcmread
    from pydicom.pixels import apply_modality_lut, pixel_array

    from hounsfield.core import Bundle
    from hounsfield.models import build

    bundle = Bundle.load(run / "bundle")
    mean, std = (
        np.array(bundle.plan.normalisation.value[name], dtype=np.float32)[:, None, None] for name in ("mean", "std")
    )
    started = time.perf_counter()
    network = build(bundle.plan, blank=True).load(bundle.weights)
    tail = network.tails[0]
    features = [network.front, *(tail.model.get_submodule(name) for name in tail.chain or [])]
    paths, found = sorted(folder.iterdir()), []
    with torch.inference_mode():
        for first in range(0, len(paths), BATCH):
            batch = []
            for path in paths[first : first + BATCH]:
                dataset = dcmread(path)
                pixels = apply_modality_lut(pixel_array(dataset), dataset)
                shown = np.clip((pixels - (40 - 200)) / 400, 0, 1).astype(np.float32)
                resized = cv2.resize(shown, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
                batch.append((np.stack([resized] * 3) - mean) / std)
            maps = torch.from_numpy(np.stack(batch))
            for layer in features:
                maps = layer(maps)
            found += torch.sigmoid(tail.model.forward_head(maps))[:, 0].tolist()
    seconds = time.perf_counter() - started
    write_told(told, images_per_second=len(found) / seconds)


def ours(run: Path, folder: Path, told: Path) -> None:
    import hounsfield
    from hounsfield.core import Bundle
    from hounsfield.predict import predict  # noqa: F401  # imports are in neither side's time

    started = time.perf_counter()
    bundle = Bundle.load(run / "bundle")
    predictions = hounsfield.predict(bundle, folder, runtime="onnx")
    seconds = time.perf_counter() - started
    assert predictions.table.height == len(list(folder.iterdir())), "not every image was predicted"
    write_told(told, images_per_second=predictions.table.height / seconds, seconds=seconds)


def alone(run: Path, folder: Path, told: Path) -> None:
    from hounsfield.core import Bundle, Cohort
    from hounsfield.predict import by_graph, files_of, preparation_of
    from hounsfield.predict.predict import calibrated
    from hounsfield.prepare import case_array, case_of_job, network_input
    from hounsfield.read import each

    bundle, cohort = Bundle.load(run / "bundle"), Cohort.load(run)
    files, preparation = files_of(cohort, cohort.usable), preparation_of(bundle)
    jobs = [(one, preparation) for one in files] * 4
    started, arrays, reading = 0.0, [], 0.0
    for number, (_, values) in enumerate(each(case_of_job, jobs)):
        if number == WARM:  # the worker processes are there now
            started = time.perf_counter()
        arrays.append(values)
    reading = (time.perf_counter() - started) / (len(jobs) - WARM)
    inputs = [network_input(values, bundle.recipe) for values in arrays[:PLAIN]]
    judge = by_graph(bundle.folder / "model.onnx")
    judge(inputs[:32])
    started = time.perf_counter()
    judge(inputs)
    network = time.perf_counter() - started
    times = []
    for number in range(SINGLE):
        started = time.perf_counter()
        values = network_input(case_array(files[number % len(files)], preparation), bundle.recipe)
        calibrated(judge([values]).logits.mean(axis=1), bundle.plan, bundle.calibration)
        times.append(time.perf_counter() - started)
    write_told(
        told, reading=reading, network=network / len(inputs), p50=float(np.percentile(times[5:], 50)),
        p95=float(np.percentile(times[5:], 95)),
    )  # fmt: skip


def write_told(place: Path, **values: float) -> None:
    place.write_text(json.dumps(values))


CHILDREN = {"plain": plain, "ours": ours, "alone": alone}


def report(found: list[dict[str, Any]], chosen: argparse.Namespace) -> None:
    rows = []
    for row in found:
        slow, fast, parts = row["plain"]["images_per_second"], row["ours"]["images_per_second"], row["alone"]
        limit = 1 / (parts["reading"] + parts["network"])
        ratio = fast / slow
        rows.append((
            row["backbone"], f"{slow:.1f}", f"{fast:.1f}", f"{ratio:.2f}{'' if ratio >= BAR else ' MISSED'}",
            f"{1 / parts['reading']:.0f}", f"{1 / parts['network']:.1f}", f"{limit:.1f}", f"{fast / limit:.2f}",
            f"{parts['p50'] * 1e3:.0f}, {parts['p95'] * 1e3:.0f}", f"{row['plain']['memory']:.0f}, {row['ours']['memory']:.0f}",
        ))  # fmt: skip
    titles = (
        "backbone", "plain, images/s", "Hounsfield, images/s", f"times (bar {BAR:g})", "reading alone", "network alone", "limit",
        "of the limit", "latency p50, p95, ms", "memory plain, Hounsfield, MB",
    )  # fmt: skip
    print(f"{chosen.images} files of DICOM, {len(os.sched_getaffinity(0))} cores\n\n{markdown(titles, rows)}")
    if "many" in found[0]:
        many, few = found[0]["many"], found[0]["ours"]
        print(
            f"\n{found[0]['backbone']}: peak memory {few['memory']:.0f} MB for {chosen.images} images, {many['memory']:.0f} MB for "
            f"{chosen.many} ({many['images_per_second']:.1f} images/s)"
        )


if __name__ == "__main__":
    main()
