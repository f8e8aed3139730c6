"""The command line: one file per command, no logic; `main` is its entry point."""

from hounsfield.cli.app import main

__all__ = ["main"]
