"""An error says what, where and how to fix it, also after it has travelled from a worker process."""

from __future__ import annotations

import pickle

import pytest

from hounsfield import errors
from hounsfield.errors import HounsfieldError, ReadError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, HounsfieldError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_survives_pickling(kind: type[HounsfieldError]) -> None:
    error = kind("it is cut short", where="a/b.dcm", fix="Copy it again.")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 — our own bytes
    assert type(again) is kind
    assert (again.what, again.where, again.fix, str(again)) == (error.what, error.where, error.fix, str(error))
    assert kind.__doc__


def test_text() -> None:
    assert str(ReadError("it is cut short")) == "it is cut short"
    assert str(ReadError("it is cut short", where="a.dcm", fix="Copy it.")) == "it is cut short (in a.dcm). Copy it."
