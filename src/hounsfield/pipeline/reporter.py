"""What a long stage tells while it works. The library is silent; the command line shows bars."""

from __future__ import annotations

from collections.abc import Callable

from hounsfield.train.fit import EpochNews

# (done, total); a stage of few long parts also tells which part of one is done.
Progress = Callable[[float, int], None]


class Reporter:
    """Hears what happens; this one says nothing."""

    def stage(self, title: str) -> None:
        """A stage begins."""

    def bar(self, what: str) -> Progress:
        """Return a function to call with (done, total)."""
        return lambda done, total: None

    def epoch(self, member: int, members: int, news: EpochNews) -> None:
        """An epoch of a member has ended."""

    def say(self, text: str) -> None:
        """A line for the reader: a summary, a choice and its reason."""


SILENT = Reporter()
