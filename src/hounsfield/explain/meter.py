"""How far explaining has come: whole maps, and of a map that asks the network many times, the share of its questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from hounsfield.explain.checks import NETWORKS, questions_of_checks
from hounsfield.explain.methods import METHODS
from hounsfield.explain.subject import Subject


class Meter:
    """Tells `progress` how many parts are done (a number that may have a fraction), and how many there are.

    A part is a map of a case, or all checks of a case.
    """

    def __init__(
        self, cases: int, methods: Sequence[str], *, check: bool, progress: Callable[[float, int], None] | None
    ) -> None:
        self._methods = methods
        # With checks, the same questions are put to networks that know nothing.
        self._networks = 1 + NETWORKS * check
        self._total = cases * (len(methods) + int(check))
        self._progress = progress
        self._done = self._asked = self._expected = 0

    def heard(self, questions: int) -> None:
        """So many questions were asked for the part that is at work."""
        self._asked += questions
        if self._expected:
            # What is expected leaves out a few that a method asks beside; the whole is told when it is done.
            self._tell(self._done + min(self._asked / self._expected, 0.99))

    @contextmanager
    def map(self, subject: Subject, method: str) -> Iterator[None]:
        """While this runs, a map is made."""
        with self._part(METHODS[method].questions(subject) * self._networks):
            yield

    @contextmanager
    def checks(self, subject: Subject) -> Iterator[None]:
        """While this runs, the maps of a case are checked."""
        with self._part(questions_of_checks(subject, self._methods)):
            yield

    @contextmanager
    def _part(self, questions: int) -> Iterator[None]:
        self._asked, self._expected = 0, questions
        yield
        self._expected = 0
        self._done += 1
        self._tell(self._done)

    def _tell(self, done: float) -> None:
        if self._progress is not None:
            self._progress(done, self._total)
