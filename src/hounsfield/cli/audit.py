"""hounsfield audit"""

from __future__ import annotations

from hounsfield.cli import options as opt
from hounsfield.cli.app import app, console


@app.command(epilog="Example: `hounsfield audit runs/first`")
def audit(run: opt.Run, seed: opt.Seed = 0, workers: opt.Workers = None, anew: opt.Anew = False) -> None:
    """Cohort → data sheet: duplicates, leaks, shortcuts to the label, balance. Read it before you train."""
    from hounsfield.cli.console import Bars
    from hounsfield.pipeline.folder import RunFolder
    from hounsfield.pipeline.stages import Machine, audit_stage

    with Bars(console) as bars:
        audit_stage(RunFolder(run), Machine(workers=workers, reporter=bars), seed, anew=anew)
    console.print(f"data sheet: {RunFolder(run).audit / 'index.html'}", soft_wrap=True)
