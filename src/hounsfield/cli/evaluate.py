"""hounsfield evaluate"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hounsfield.cli.app import app, console

What = Annotated[Path, typer.Argument(help="A run folder, or a table of predictions (.parquet).", metavar="RUN|TABLE")]
Resamples = Annotated[int, typer.Option("--resamples", help="Resamples of the bootstrap over patients.", min=100)]


@app.command(epilog="Example: `hounsfield evaluate runs/first`")
def evaluate(what: What, resamples: Resamples = 2000) -> None:
    """Predictions → measures with 95% intervals; for a run folder also the report."""
    from hounsfield.cli.console import Bars
    from hounsfield.core.predictions import Predictions
    from hounsfield.evaluate import evaluate as judge
    from hounsfield.pipeline.folder import RunFolder
    from hounsfield.pipeline.stages import Machine, report_stage

    if what.is_dir():
        with Bars(console) as bars:
            page = report_stage(RunFolder(what), Machine(reporter=bars), resamples)
        console.print(f"report: {page}", soft_wrap=True)
    else:
        console.print(str(judge(Predictions.load(what), resamples=resamples)), highlight=False, markup=False)
