"""hounsfield predict"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hounsfield.cli import options as opt
from hounsfield.cli.app import app, console

Others = Annotated[Path | None, typer.Argument(help="Folder of other images to predict.", metavar="[IMAGES]")]
Part = Annotated[str, typer.Option("--part", help="Part of the run's own cohort.")]
To = Annotated[Path | None, typer.Option("--out", help="Table to write for other images (.parquet or .csv).")]


@app.command(epilog="Example: `hounsfield predict runs/first/bundle other-images --out predictions.csv`")
def predict(
    model: opt.Model,
    images: Others = None,
    part: Part = "test",
    out: To = None,
    labels: opt.Labels = None,
    label: opt.Label = None,
    patient_pattern: opt.PatientPattern = None,
    uneven: opt.Uneven = "aside",
    key_file: opt.KeyFile = None,
    device: opt.Device = "auto",
    runtime: opt.Runtime = "auto",
    workers: opt.Workers = None,
) -> None:
    """Bundle + images → Predictions: a part of the run's cohort, or any folder of images, with or without labels."""
    from hounsfield.cli.console import Bars
    from hounsfield.cohort import Labelling
    from hounsfield.pipeline.folder import RunFolder
    from hounsfield.pipeline.stages import Machine, predict_folder, predict_stage

    with Bars(console) as bars:
        machine = Machine(device, workers, bars, runtime=runtime)
        if images is None:
            predict_stage(RunFolder(model), machine, part)
            written = RunFolder(model).predictions(part)
        else:
            labelling = Labelling(labels, label=tuple(label or ()), patient_pattern=patient_pattern)
            written = predict_folder(
                model,
                images,
                out or Path("predictions.parquet"),
                labelling,
                machine,
                key_file,
                opt.looking(uneven, pixels=False),
            )
    console.print(f"predictions: {written}", soft_wrap=True)
