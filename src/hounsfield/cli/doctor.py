"""hounsfield doctor"""

from __future__ import annotations

from rich.table import Table

from hounsfield.cli.app import app, console


@app.command(epilog="Example: `hounsfield doctor`")
def doctor() -> None:
    """Decoders, device, threads, weights at hand, and what is missing."""
    from hounsfield.pipeline.doctor import doctor as look

    table = Table("", "about", "name", "state", "to do", box=None, pad_edge=False)
    for finding in look():
        mark = "[green]ok[/green]" if finding.well else "[yellow]--[/yellow]"
        advice = "" if finding.well else finding.fix.replace("[", r"\[")
        table.add_row(mark, finding.topic, finding.name, finding.state, advice)
    console.print(table, highlight=False)
