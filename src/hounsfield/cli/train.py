"""hounsfield train"""

from __future__ import annotations

from hounsfield.cli import options as opt
from hounsfield.cli.app import app, console


@app.command(epilog="Example: `hounsfield train runs/first`")
def train(
    run: opt.Run,
    device: opt.Device = "auto",
    workers: opt.Workers = None,
    anew: opt.Anew = False,
    mlflow: opt.MLflow = None,
) -> None:
    """Cohort + Plan → Bundle, sealed. Interrupted, the same command goes on."""
    from hounsfield.cli.console import Bars
    from hounsfield.pipeline.folder import RunFolder
    from hounsfield.pipeline.stages import Machine, train_stage

    with Bars(console) as bars:
        train_stage(RunFolder(run), Machine(device, workers, bars, mlflow), anew=anew)
    console.print(f"bundle: {run / 'bundle'}", soft_wrap=True)
