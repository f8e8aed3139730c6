"""The application: finds the command, and turns errors into one message and an exit code."""

from __future__ import annotations

import os
import sys

import typer
from rich.console import Console

from hounsfield.errors import HounsfieldError

app = typer.Typer(
    name="hounsfield", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown",
    help="From a folder of medical images and a table of labels to a classifier that a clinic can trust.",
)  # fmt: skip
console = Console()
USER_ERROR, INTERRUPTED = 2, 130


def main() -> None:
    """Run the command line: exit code 0 for success, 2 for a user's mistake, 130 for Ctrl-C."""
    # Threads that wait by spinning take the cores from the processes that read images: measured 2 to 5 times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Nothing may be fetched unless it was asked for; libraries that would look something up stay offline.
    if "hub" not in sys.argv:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from hounsfield.cli import commands  # noqa: F401  (registers them)

    try:
        app()
    except HounsfieldError as error:
        tell_error(Console(stderr=True), error)
        sys.exit(USER_ERROR)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:  # what Typer makes of Ctrl-C
            Console(stderr=True).print("stopped; the same command goes on from here")
        raise


def tell_error(console: Console, error: HounsfieldError) -> None:
    """Print an error as what, where and how to fix it."""
    console.print(f"[bold red]error:[/bold red] {_plain(error.what)}", highlight=False, soft_wrap=True)
    if error.where is not None:
        console.print(f"  where: {_plain(error.where)}", highlight=False, soft_wrap=True)
    if error.fix is not None:
        console.print(f"  to do: {_plain(error.fix)}", highlight=False, soft_wrap=True)


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
