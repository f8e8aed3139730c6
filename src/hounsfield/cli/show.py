"""hounsfield show"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hounsfield.cli.app import app, console

What = Annotated[
    Path,
    typer.Argument(
        help="A run folder, a bundle (a folder or a packed file), a table of predictions, or an image.", metavar="WHAT"
    ),
]


@app.command(epilog="Example: `hounsfield show runs/first --quarantine --paths`")
def show(
    what: What,
    plan: Annotated[bool, typer.Option("--plan", help="The plan, every decision with its reason.")] = False,
    list_cases: Annotated[bool, typer.Option("--cases", help="The cases and what was predicted of them.")] = False,
    aside: Annotated[bool, typer.Option("--quarantine", help="What was put aside, with the reason.")] = False,
    paths: Annotated[
        bool, typer.Option("--paths", help="Name the files, from the private crosswalk; a path may hold a name.")
    ] = False,
) -> None:
    """What a run folder, a bundle, a table or an image holds."""
    from hounsfield.pipeline.listing import cases, plan_rows, quarantine, summary

    if plan:
        _print(("decision", "value", "reason"), plan_rows(what))
    elif list_cases:
        _print(*cases(what, paths))
    elif aside:
        _print(*quarantine(what, paths))
    else:
        for line in summary(what):
            console.print(line, highlight=False, markup=False, soft_wrap=True)


def _print(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    table = Table(*header, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*[cell.replace("[", r"\[") for cell in row])
    console.print(table)
