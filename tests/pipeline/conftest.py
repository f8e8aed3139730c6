"""One small run on a phantom, shared by all tests that only look at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hounsfield.cohort import Labelling, Stated
from hounsfield.phantom import generate
from hounsfield.pipeline.folder import RunFolder
from hounsfield.pipeline.run import External, run_all
from hounsfield.pipeline.stages import Machine, PlanOptions, ScanOptions

QUICK = {
    "size": [64, 64],
    "epochs": 3,
    "members": 2,
    "cached_views": 2,
    "frozen": "through stage 5",
    "patience": 3,
    "slices": 3,
}


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "images"
    generate(folder, patients_a=44, patients_b=12, slices=8, size=64, seed=1)
    return folder


def options(phantom: Path, **changes: object) -> ScanOptions:
    labelling = Labelling(table=phantom / "labels.csv", label=("nodule",))
    return ScanOptions(phantom / "centre-a", labelling, Stated(site="A"), **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def machine() -> Machine:
    # Two files of tests run at a time, and fill both cores.
    return Machine(device="cpu", workers=0)


@pytest.fixture(scope="session")
def finished(phantom: Path, machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    labelling = Labelling(table=phantom / "labels.csv", label=("nodule",))
    out = tmp_path_factory.mktemp("runs") / "finished"
    return run_all(
        out, options(phantom), PlanOptions(decisions=QUICK), machine, {"B": External(phantom / "centre-b", labelling)}
    )
