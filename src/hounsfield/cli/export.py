"""hounsfield export"""

from __future__ import annotations

from hounsfield.cli import options as opt
from hounsfield.cli.app import app, console


@app.command(epilog="Example: `hounsfield export runs/first`")
def export(run: opt.Run, workers: opt.Workers = None) -> None:
    """Bundle → ONNX, from pixel values of any size to calibrated probabilities; refused unless it gives the same numbers."""
    from hounsfield.cli.console import Bars
    from hounsfield.pipeline.folder import RunFolder
    from hounsfield.pipeline.stages import Machine, export_stage

    with Bars(console) as bars:
        export_stage(RunFolder(run), Machine(workers=workers, reporter=bars))
    console.print(f"graph: {run / 'export' / 'model.onnx'}", soft_wrap=True)
