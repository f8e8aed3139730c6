"""The part of `export` that concerns Triton: the model repository, and the comparison with a server that runs."""

from __future__ import annotations

from pathlib import Path

from hounsfield.core.bundle import Bundle
from hounsfield.core.cohort import Cohort
from hounsfield.export.triton import Serving, write_repository
from hounsfield.pipeline.folder import RunFolder
from hounsfield.pipeline.stages import Machine
from hounsfield.serve import TritonClient, prove_server


def triton_stage(
    run: RunFolder, serving: Serving, machine: Machine, *, repository: Path | None = None, server: str | None = None
) -> None:
    """Write the run's proved graph into a model repository, and compare a server that serves it with Python, as far as asked."""
    machine.reporter.stage("triton")
    bundle = Bundle.load(run.bundle)
    if repository is not None:
        version = write_repository(bundle, repository, serving)
        machine.reporter.say(f"{bundle} is version {version} of {serving.name} in {repository}")
    if server is not None:
        with TritonClient(bundle, server, name=serving.name) as client:
            found = prove_server(
                bundle, Cohort.load(run.path), run.export, client, workers=machine.workers,
                progress=machine.reporter.bar("reading images"),
            )  # fmt: skip
        machine.reporter.say(str(found))
