"""An interrupted training that goes on ends with the weights of one that was never interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from hounsfield.core import Cohort, Plan
from hounsfield.pipeline.folder import RunFolder
from hounsfield.pipeline.stages import Machine, PlanOptions, plan_stage, scan_stage
from hounsfield.train import EpochNews, Listeners, train
from tests.pipeline.conftest import QUICK, options

SETTINGS = QUICK | {"epochs": 4, "patience": 4, "dropout": 0.3}


@pytest.fixture(scope="module")
def planned(phantom: Path, machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> tuple[Cohort, Plan]:
    run = RunFolder(tmp_path_factory.mktemp("planned"))
    cohort = scan_stage(run, options(phantom), machine)
    return cohort, plan_stage(run, PlanOptions(decisions=SETTINGS), machine)


def _weights(run: Path) -> dict[str, object]:
    return load_file(run / "bundle" / "weights.safetensors")


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("frozen", ["through stage 5", "none"])
def test_resumed_equals_uninterrupted(planned: tuple[Cohort, Plan], tmp_path: Path, frozen: str) -> None:
    cohort, plan = planned
    # Workers that augment start anew in every epoch, each time with all its imports: here one process does it.
    workers = 0 if frozen == "none" else 2
    if frozen == "none":  # images augmented anew in every epoch instead of cached activations
        plan = plan.changed(frozen="none", head="last", cached_views=0, members=1, epochs=3)
    train(cohort, plan, tmp_path / "whole", device="cpu", workers=workers)

    def stop(member: int, news: EpochNews) -> None:
        if member == plan.members.value - 1 and news.epoch == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(cohort, plan, tmp_path / "parts", device="cpu", workers=workers, listeners=Listeners(news=stop))
    seen: list[tuple[int, int]] = []
    train(
        cohort,
        plan,
        tmp_path / "parts",
        device="cpu",
        workers=workers,
        listeners=Listeners(news=lambda member, news: seen.append((member, news.epoch))),
    )
    # The first member was finished, and of the second the epochs that had ended are not run again.
    assert {member for member, _ in seen} == {plan.members.value - 1}
    assert min(epoch for _, epoch in seen) >= 2
    whole, parts = _weights(tmp_path / "whole"), _weights(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all((whole[name] == parts[name]).all() for name in whole)
    histories = [(tmp_path / name / "train" / "history.csv").read_text().splitlines() for name in ("whole", "parts")]
    # The last three columns are the pace, the seconds, and which epoch is kept.
    assert [line.rsplit(",", 3)[0] for line in histories[0]] == [line.rsplit(",", 3)[0] for line in histories[1]]


def _command(phantom: Path, out: Path) -> list[str]:
    sets = [f"--set={name}={value}" for name, value in (SETTINGS | {"epochs": 6, "patience": 6}).items()]
    images, labels = str(phantom / "centre-a"), str(phantom / "labels.csv")
    return [
        sys.executable, "-m", "hounsfield", "run", images, "--labels", labels, "--label", "nodule", "--out", str(out), *sets,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def uninterrupted(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    subprocess.run(_command(phantom, out), check=True, capture_output=True)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT], ids=["kill", "ctrl-c"])
def test_stopped_and_the_same_command(phantom: Path, tmp_path: Path, blow: signal.Signals, uninterrupted: Path) -> None:
    out = tmp_path / "parts"
    process = subprocess.Popen(_command(phantom, out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while not list(out.glob("train/members-*/member-1/last.ckpt")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, blow)
    _, told = process.communicate(timeout=60)
    if blow is signal.SIGINT:
        assert process.returncode == 130
        assert "the same command goes on" in told and "Traceback" not in told
    assert not (out / "bundle").exists()
    subprocess.run(_command(phantom, out), check=True, capture_output=True)
    whole, parts = _weights(uninterrupted), _weights(out)
    assert all((whole[name] == parts[name]).all() for name in whole)
