"""A real Triton server, where `make triton` has set it up, and three bundles that it serves: pictures, slices, volumes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hounsfield.cohort import Labelling, Stated
from hounsfield.core import Bundle, Cohort
from hounsfield.export.triton import Serving, write_repository
from hounsfield.phantom import generate
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
from tests.conftest import ROOT

MACHINE = Machine(device="cpu", workers=0)
BRIEF = {"epochs": 2, "patience": 2, "members": 1, "size": [64, 64]}
STACKS: dict[str, dict[str, Any]] = {
    "slices": {
        "dimension": "2.5d", "pooling": "lstm", "slices": 6, "frozen": "all", "adjacent": 1, "channels": 3,
        "windows": [[-500, 1500]],
    },
    "volume": {
        "dimension": "3d", "backbone": "resnet10_half", "region": {"kind": "body", "margin": 5}, "spacing": [8, 6, 6],
        "slices": 16,
    },
}  # fmt: skip
PATIENCE = 120.0


@dataclass(frozen=True)
class Served:
    """Where a server listens."""

    http: str
    grpc: str
    log: Path

    def address(self, protocol: str) -> str:
        return {"http": self.http, "grpc": self.grpc}[protocol]


@dataclass(frozen=True)
class Trained:
    """A run folder up to its export."""

    run: RunFolder

    @property
    def bundle(self) -> Bundle:
        return Bundle.load(self.run.bundle)

    @property
    def cohort(self) -> Cohort:
        return Cohort.load(self.run.path)


@contextmanager
def triton(repository: Path, log: Path, *options: str) -> Iterator[Served]:
    """Serve a repository on free ports until the end of the block."""
    pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed: pip install 'hounsfield[serve]'")
    if not (ROOT / ".triton" / ".installed").exists():
        pytest.skip("there is no Triton server here: make triton")
    http, grpc, metrics = _free_ports(3)
    command = [
        str(ROOT / "serving" / "triton" / "serve"), str(repository), f"--http-port={http}", f"--grpc-port={grpc}",
        f"--metrics-port={metrics}", *options,
    ]  # fmt: skip
    # Not the paths of this process: the server has an environment of its own.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with log.open("w") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT, env=clean)
    try:
        _await(process, f"http://127.0.0.1:{http}/v2/health/ready", log)
        yield Served(f"http://127.0.0.1:{http}", f"grpc://127.0.0.1:{grpc}", log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _await(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"the server did not become ready:\n{log.read_text()[-4000:]}")


def _trained(run: RunFolder, options: ScanOptions, decisions: dict[str, Any]) -> Trained:
    scan_stage(run, options, MACHINE)
    plan_stage(run, PlanOptions(decisions=decisions), MACHINE)
    train_stage(run, MACHINE)
    export_stage(run, MACHINE)
    return Trained(run)


@pytest.fixture(scope="session")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "images"
    generate(folder, patients_a=44, patients_b=8, slices=16, size=64, seed=2)
    return folder


@pytest.fixture(scope="session")
def pictures(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Breast ultrasound: few of the images, of many sizes, none of them square."""
    folder = tmp_path_factory.mktemp("served") / "pictures"
    for kind in ("benign", "malignant", "normal"):
        (folder / "images" / kind).mkdir(parents=True)
        for path in sorted((data / "busi" / "images" / kind).iterdir())[:40]:
            (folder / "images" / kind / path.name).symlink_to(path)
    options = ScanOptions(folder / "images", stated=Stated(modality="US", body_part="BREAST"))
    decisions = BRIEF | {"size": [96, 96], "cached_views": 2, "frozen": "through stage 5"}
    return _trained(RunFolder(folder / "run"), options, decisions)


@pytest.fixture(scope="session")
def slices(stacks: Path) -> Trained:
    return _of_stacks(stacks, "slices")


@pytest.fixture(scope="session")
def volume(stacks: Path) -> Trained:
    return _of_stacks(stacks, "volume")


def _of_stacks(stacks: Path, kind: str) -> Trained:
    options = ScanOptions(
        stacks / "centre-a", Labelling(table=stacks / "labels.csv", label=("nodule",)), Stated(site="A")
    )
    return _trained(RunFolder(stacks.parent / kind), options, BRIEF | STACKS[kind])


@pytest.fixture(scope="session")
def server(
    pictures: Trained, slices: Trained, volume: Trained, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """One server with the three of them."""
    folder = tmp_path_factory.mktemp("served")
    for name, one in (("pictures", pictures), ("slices", slices), ("volume", volume)):
        write_repository(
            one.bundle, folder / "models", Serving(name, instances="cpu:2" if name == "slices" else "auto:1")
        )
    with triton(folder / "models", folder / "server.log") as served:
        yield served
