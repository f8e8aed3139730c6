"""A scan and an audit of many pictures, each a case: time by step, memory summed over processes, planted copies found.

    python benchmarks/audit.py [--images 10000 100000]

Pictures are those of benchmarks/duplicates.py, as PNG files of 128 × 128; half a per cent of them are copies of others, re-saved, resized,
mirrored, turned, brightened or cropped, and the table has a scanner that goes with the label. The baseline is Pillow, which decodes
a sample of the same files in one process: what cannot be avoided.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from duplicates import KINDS, drawn, plan
from PIL import Image as Pillow
from scan import LOOK, memory

CHUNK, SAMPLE = 512, 3000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--child", nargs=3, metavar=("IMAGES", "LABELS", "RUN"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(*map(Path, arguments.child))
        return
    peaks = {}
    for count in arguments.images:
        with tempfile.TemporaryDirectory(prefix="hounsfield-audit-") as folder:
            peaks[count] = measure(Path(folder), count)
    least, most = min(peaks), max(peaks)
    if least < most:
        print(f"\nmemory: {peaks[least]:.0f} MB with {least:,} pictures, {peaks[most]:.0f} MB with {most:,}")


def measure(folder: Path, count: int) -> float:
    copies = plan(count, count // 200)
    write(folder, count, {copy.place: (copy.source, copy.kind) for copy in copies})
    plain = pillow_alone(folder / "images", count)
    command = [sys.executable, __file__, "--child", *(str(folder / name) for name in ("images", "labels.csv", "run"))]
    process = subprocess.Popen(command, env=os.environ | {"HOUNSFIELD_KEY_FILE": str(folder / "project.key")})
    peaks: dict[str, float] = {}
    step = folder / "step"
    while process.poll() is None:
        now = step.read_text() if step.exists() else "start"
        peaks[now] = max(peaks.get(now, 0.0), memory(process.pid))
        time.sleep(LOOK)
    peak = max(peaks.values())
    if process.returncode:
        sys.exit("the scan failed")
    told = json.loads((folder / "told.json").read_text())
    truth = {tuple(sorted((name(copy.place), name(copy.source)))) for copy in copies}
    hits = {tuple(pair) for pair in told["pairs"]}
    whole = sum(told["seconds"].values())
    print(f"\n{count:,} pictures, {len(copies)} of them copies of others")
    print(f"  Pillow alone, one process          {plain:8,.0f} pictures/s")
    print(
        f"  scan and audit                     {count / whole:8,.0f} pictures/s   {whole:.1f} s, {count / whole / plain:.2f} × Pillow"
    )
    for what, seconds in told["seconds"].items():
        print(f"    {what:<32} {seconds:8.1f} s   {peaks.get(what, 0):.0f} MB")
    print(f"  peak memory                        {peak:8.0f} MB   sum over processes")
    print(
        f"  copies found                       {len(hits & truth) / len(truth):8.1%}   {len(hits - truth)} other pairs"
    )
    print(f"  alarm                              {told['alarm'][:110]}")
    return peak


def name(place: int) -> str:
    return f"{place // 1000:03d}/{place:06d}.png"


def write(folder: Path, count: int, copies: dict[int, tuple[int, str]]) -> None:
    generator = np.random.default_rng(3)
    rows = []
    for start in range(0, count, CHUNK):
        places = range(start, min(start + CHUNK, count))
        for place, picture in zip(places, drawn(places), strict=True):
            if place in copies:
                source, kind = copies[place]
                picture = KINDS[kind](drawn([source])[0], np.random.default_rng([2, place]))
            target = folder / "images" / name(place)
            target.parent.mkdir(parents=True, exist_ok=True)
            Pillow.fromarray(picture).save(target, compress_level=1)
            sick = generator.random() < 0.3
            rows.append(
                (name(place), "yes" if sick else "no", "A" if generator.random() < (0.7 if sick else 0.3) else "B")
            )
    pl.DataFrame(rows, schema=["file", "label", "scanner"], orient="row").write_csv(folder / "labels.csv")


def pillow_alone(images: Path, count: int) -> float:
    """Return pictures per second of Pillow in this process, over a random sample that was read once before."""
    chosen = np.random.default_rng(0).choice(count, min(SAMPLE, count), replace=False)
    for _ in range(2):
        started = time.perf_counter()
        for place in chosen:
            with Pillow.open(images / name(int(place))) as picture:
                np.asarray(picture)
    return len(chosen) / (time.perf_counter() - started)


def child(images: Path, labels: Path, run: Path) -> None:
    """Scan and audit, and tell how long the steps took and what was found."""
    from hounsfield.audit import audit
    from hounsfield.cohort import Labelling, scan

    begun: dict[str, float] = {}

    def step(what: str):  # type: ignore[no-untyped-def]
        if what not in begun:
            begun[what] = time.perf_counter()
            (run.parent / "step").write_text(what)
        return lambda done, total: None

    begun["start"] = time.perf_counter()
    cohort = scan(images, Labelling(labels), run=run, progress=step)
    cohort.save(run)
    step("audit")
    found = audit(cohort, run=run, folder=run / "audit")
    begun["end"] = time.perf_counter()
    starts = [(what, at) for what, at in begun.items() if what != "start"]
    seconds = {what: after - at for (what, at), (_, after) in itertools.pairwise(starts)}
    assert cohort.crosswalk is not None
    names = dict(cohort.crosswalk.drop_nulls("case").select("case", "path").iter_rows())
    pairs = [sorted((names[one], names[other])) for one, other, *_ in cohort.pairs.iter_rows()]
    alarms = [item.sentence for item in found.of("alarm")]
    told = {"seconds": seconds, "pairs": pairs, "alarm": alarms[0] if alarms else "none"}
    (run.parent / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
