"""Triton: images per second and waiting times at 1, 4 and 16 clients, each with one image of a few sizes at a time.

    make triton && python benchmarks/serving.py

A short training on breast ultrasound at 224² gives the bundle; the server, its clients and this script share one machine.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from common import DATA, ROOT, need, own_key

from hounsfield.cohort import Stated
from hounsfield.core import Bundle, Cohort
from hounsfield.export.export import real_images
from hounsfield.export.parity import graph_input
from hounsfield.export.triton import Serving, write_repository
from hounsfield.pipeline.folder import RunFolder
from hounsfield.pipeline.stages import (
    Machine,
    PlanOptions,
    ScanOptions,
    export_stage,
    plan_stage,
    scan_stage,
    train_stage,
)
from hounsfield.predict import bundle_at
from hounsfield.predict.judge import GRAPH, session
from hounsfield.serve import TritonClient

CLIENTS = (1, 4, 16)
DECISIONS = {"size": [224, 224], "epochs": 1, "members": 1, "cached_views": 1, "frozen": "all"}


def trained(folder: Path) -> RunFolder:
    """A run on 120 of the images, up to its export."""
    for kind in ("benign", "malignant", "normal"):
        (folder / "images" / kind).mkdir(parents=True)
        for path in sorted((DATA / "busi" / "images" / kind).iterdir())[:40]:
            (folder / "images" / kind / path.name).symlink_to(path)
    run, machine = RunFolder(folder / "run"), Machine(device="cpu", workers=0)
    scan_stage(run, ScanOptions(folder / "images", stated=Stated(modality="US", body_part="BREAST")), machine)
    plan_stage(run, PlanOptions(decisions=DECISIONS), machine)
    train_stage(run, machine)
    export_stage(run, machine)
    return run


@contextmanager
def served(repository: Path, log: Path) -> Iterator[str]:
    """Serve a repository on free ports; gives the address for gRPC."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    http, grpc, metrics = (one.getsockname()[1] for one in sockets)
    for one in sockets:
        one.close()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    options = [f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}"]
    with log.open("w") as sink:
        process = subprocess.Popen(
            [ROOT / "serving/triton/serve", repository, *options], stdout=sink, stderr=sink, env=clean
        )
    try:
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{http}/v2/health/ready", timeout=5):
                    break
            except (urllib.error.URLError, OSError):
                if process.poll() is not None:
                    sys.exit(f"the server ended:\n{log.read_text()[-2000:]}")
                time.sleep(0.2)
        yield f"grpc://127.0.0.1:{grpc}"
    finally:
        process.terminate()
        process.wait()


def measured(
    bundle: Bundle, server: str, cases: list[dict[str, np.ndarray]], clients: int, seconds: float
) -> list[float]:
    """Images/s, median and 95th percentile of the milliseconds that a request takes, and images per run of the network."""
    with TritonClient(bundle, server) as client, ThreadPoolExecutor(clients) as pool:
        end = [0.0]

        def one_client(number: int) -> list[float]:
            times = []
            while (started := time.perf_counter()) < end[0]:
                client.connection.infer(cases[(number + len(times)) % len(cases)], client.outputs)
                times.append(time.perf_counter() - started)
            return times

        def all_clients(length: float) -> list[float]:
            end[0] = time.perf_counter() + length
            return [value for times in pool.map(one_client, range(clients)) for value in times]

        all_clients(1.0)
        before, started = client.executions(), time.perf_counter()
        times = all_clients(seconds)
        took, after = time.perf_counter() - started, client.executions()
    median, late = np.percentile(np.array(times) * 1000, [50, 95])
    return [len(times) / took, median, late, (after[0] - before[0]) / (after[1] - before[1])]


def alone(bundle: Bundle, cases: list[dict[str, np.ndarray]], seconds: float) -> float:
    """Images/s of ONNX Runtime on the whole graph in this process, one image after the other, no server."""
    runtime, done, started = session(bundle.folder / GRAPH), 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        runtime.run(["probabilities"], cases[done % len(cases)])
        done += 1
    return done / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, help="a run folder that was exported, instead of the short training")
    parser.add_argument("--seconds", type=float, default=10.0, help="per measurement")
    parser.add_argument("--instances", default="auto:1")
    arguments = parser.parse_args()
    need(DATA / "busi", ROOT / ".triton" / ".installed")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        own_key(folder)
        run = RunFolder(arguments.run) if arguments.run else trained(folder)
        bundle, cohort = bundle_at(run.path), Cohort.load(run.path)
        cases = [graph_input(bundle, *values) for values in real_images(bundle, cohort, 0, None)]
        write_repository(bundle, folder / "models", Serving(instances=arguments.instances))
        with served(folder / "models", folder / "log") as server:
            sizes = len({one["image"].shape for one in cases})
            print(f"{bundle}, {os.cpu_count()} cores, instances {arguments.instances}, images of {sizes} sizes")
            print(f"ONNX Runtime in one process, no server: {alone(bundle, cases, arguments.seconds):.1f} images/s\n")
            print("| Clients | Images/s | Ratio to 1 client | Median ms | 95% below ms | Images per run |")
            print("|---|---|---|---|---|---|")
            first = 0.0
            for clients in CLIENTS:
                rate, median, late, joined = measured(bundle, server, cases, clients, arguments.seconds)
                first = first or rate
                print(f"| {clients} | {rate:.1f} | {rate / first:.2f} | {median:.0f} | {late:.0f} | {joined:.1f} |")


if __name__ == "__main__":
    main()
