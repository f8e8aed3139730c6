"""hounsfield export"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hounsfield.cli import options as opt
from hounsfield.cli.app import app, console

Int8 = Annotated[bool, typer.Option("--int8", help="Also make a quantised graph, kept only if the AUC holds.")]
Repository = Annotated[
    Path | None,
    typer.Option("--triton", help="A model repository for Triton, to which the model is added.", metavar="REPO"),
]
Name = Annotated[str, typer.Option("--name", help="What Triton calls the model.")]
MaxBatch = Annotated[int, typer.Option("--max-batch", help="The most images that Triton joins to one batch.")]
Instances = Annotated[
    str,
    typer.Option("--instances", help="Copies of the network: auto:1 (on a GPU if there is one), cpu:2, gpu:1,cpu:1."),
]
Delay = Annotated[
    int, typer.Option("--queue-delay", help="Microseconds that a request may wait for others to share a batch.")
]
Server = Annotated[
    str | None,
    typer.Option(
        "--server", help="A Triton server that serves the model (grpc://… or http://…): compare it with Python."
    ),
]


@app.command(epilog="Example: `hounsfield export runs/first --triton models`")
def export(
    run: opt.Run,
    int8: Int8 = False,
    triton: Repository = None,
    name: Name = "hounsfield",
    max_batch: MaxBatch = 16,
    instances: Instances = "auto:1",
    queue_delay: Delay = 2000,
    server: Server = None,
    workers: opt.Workers = None,
) -> None:
    """Bundle → ONNX, from pixel values of any size to calibrated probabilities; refused unless it gives the same numbers."""
    from hounsfield.cli.console import Bars
    from hounsfield.export.triton import Serving
    from hounsfield.pipeline.folder import RunFolder
    from hounsfield.pipeline.stages import Machine, export_stage
    from hounsfield.pipeline.triton import triton_stage

    serving = Serving(name, max_batch, instances, queue_delay)
    with Bars(console) as bars:
        machine = Machine(workers=workers, reporter=bars)
        export_stage(RunFolder(run), machine, int8=int8)
        if triton is not None or server is not None:
            triton_stage(RunFolder(run), serving, machine, repository=triton, server=server)
    console.print(f"graph: {run / 'export' / 'model.onnx'}", soft_wrap=True)
