"""One base class for everything that can go wrong for a user's reason.

Each error says *what* is wrong, *where* (which file, series, column or row) and *how to fix it*. The command line prints
these three and exits with code 2; a traceback is reserved for our own mistakes.
"""

from __future__ import annotations


class HounsfieldError(Exception):
    """Base of all errors that a user can cause and mend.

    Parameters
    ----------
    what:
        What is wrong, as one sentence in plain words.
    where:
        The file, series, column or row in which it is wrong.
    fix:
        What to do about it.
    """

    def __init__(self, what: str, *, where: object = None, fix: str | None = None) -> None:
        super().__init__(what, where, fix)  # positional, so that the error survives pickling between processes
        self.what = what
        self.where = None if where is None else str(where)
        self.fix = fix

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.where, self.fix)

    def __str__(self) -> str:
        text = self.what if self.where is None else f"{self.what} (in {self.where})"
        return text if self.fix is None else f"{text}. {self.fix}"


def _rebuild(kind: type[HounsfieldError], what: str, where: str | None, fix: str | None) -> HounsfieldError:
    return kind(what, where=where, fix=fix)


class ReadError(HounsfieldError):
    """A file cannot be turned into an Image: not an image, damaged, or no decoder for it."""


class LabelError(HounsfieldError):
    """The label table does not fit: no key column, no match, one class only, two labels for one case."""


class SplitError(HounsfieldError):
    """The cohort cannot be split as asked, for example with fewer patients than folds."""


class PlanError(HounsfieldError):
    """A plan holds a value that is not allowed or that contradicts the cohort."""


class WeightsError(HounsfieldError):
    """Pretrained weights are not at hand, or do not fit the backbone."""


class BundleError(HounsfieldError):
    """A bundle is incomplete, changed since it was sealed, of an unknown version, or not safe to open."""


class PredictionsError(HounsfieldError):
    """A table of predictions lacks what its evaluation needs."""


class ExportError(HounsfieldError):
    """An export was refused, most often because it does not give the same numbers."""


class ServeError(HounsfieldError):
    """A server does not answer, or does not serve what it was asked for."""


class OutputError(HounsfieldError):
    """A result cannot be written where it was asked for."""


class UsageError(HounsfieldError):
    """A command or a function was called with arguments that do not fit together."""
