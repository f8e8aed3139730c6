"""hounsfield bench"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hounsfield.cli import options as opt
from hounsfield.cli.app import app, console

Model = Annotated[Path, typer.Argument(help="A run folder, or a bundle.", metavar="RUN|BUNDLE")]


@app.command(epilog="Example: `hounsfield bench runs/first`")
def bench(model: Model, workers: opt.Workers = None) -> None:
    """Size, latency, throughput and AUC of each variant of a bundle (torch, ONNX, int8), on this machine."""
    from hounsfield.cli.console import Bars
    from hounsfield.pipeline.stages import Machine, bench_stage

    with Bars(console) as bars:
        found = bench_stage(model, Machine("cpu", workers, bars))
    console.print(str(found), soft_wrap=True, highlight=False, markup=False)
