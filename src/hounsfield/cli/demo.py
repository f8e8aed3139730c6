"""hounsfield demo"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hounsfield.cli import options as opt
from hounsfield.cli.app import app, console


@app.command(epilog="Example: `hounsfield demo`")
def demo(
    out: Annotated[Path, typer.Option("--out", help="Where images and run go.")] = Path("runs/demo"),
    device: opt.Device = "auto",
    workers: opt.Workers = None,
) -> None:
    """The same as run, offline, on simulated chest CTs of two centres, with the truth known."""
    from hounsfield.cli.console import Bars
    from hounsfield.pipeline.demo import demo as demonstrate
    from hounsfield.pipeline.stages import Machine

    with Bars(console) as bars:
        result = demonstrate(out, Machine(device, workers, bars))
    console.print(f"report: {result.report}", soft_wrap=True)
