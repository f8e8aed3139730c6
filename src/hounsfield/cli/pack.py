"""hounsfield pack"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hounsfield.cli import options as opt
from hounsfield.cli.app import app, console

To = Annotated[Path, typer.Option("--out", help="The file to write; it ends in .hounsfield.")]
Without = Annotated[
    list[str] | None, typer.Option("--without", help="An attachment to leave out, such as model.onnx; can be repeated.")
]


@app.command(epilog="Example: `hounsfield pack runs/first --out model.hounsfield`")
def pack(model: opt.Model, out: To = Path("model.hounsfield"), without: Without = None) -> None:
    """Bundle → one file to give away: always the same bytes for the same bundle, verified when it is opened."""
    from hounsfield.cli.console import Bars
    from hounsfield.pipeline.stages import Machine, pack_stage

    with Bars(console) as bars:
        written = pack_stage(model, out, Machine(reporter=bars), without or ())
    console.print(f"packed: {written}", soft_wrap=True)
