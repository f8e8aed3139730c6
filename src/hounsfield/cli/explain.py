"""hounsfield explain"""

from __future__ import annotations

from typing import Annotated

import typer

from hounsfield.cli import options as opt
from hounsfield.cli.app import app, console

Case = Annotated[list[str] | None, typer.Option("--case", help="A case to explain; can be repeated.")]
Target = Annotated[str | None, typer.Option("--target", help="The label to explain, instead of the decided one.")]


Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        help="gradcam, gradcam++, integrated-gradients, gradient-shap, kernel-shap, lime, occlusion; can be repeated. "
        "By default gradcam, and of a --case gradcam, kernel-shap and lime.",
    ),
]
Check = Annotated[
    bool,
    typer.Option("--check", help="Ask of each map whether it means something; takes some hundred looks at a case."),
]


@app.command(epilog="Example: `hounsfield explain runs/first --case case-3f2a90c1d4e5`")
def explain(
    run: opt.Run, case: Case = None, target: Target = None, method: Methods = None, check: Check = False,
    device: opt.Device = "auto",
    workers: opt.Workers = None,
) -> None:  # fmt: skip
    """Maps of chosen cases, each with a page of its own, or of the most confident right and wrong ones, for the report."""
    from hounsfield.cli.console import Bars
    from hounsfield.pipeline.folder import RunFolder
    from hounsfield.pipeline.stages import Machine, explain_stage

    with Bars(console) as bars:
        written = explain_stage(
            RunFolder(run),
            Machine(device, workers, bars),
            dict.fromkeys(case, target) if case else None,
            method,
            check=check,
        )
    console.print(f"maps: {written.parent}", soft_wrap=True)
