"""Headers as text and back, by the fields of their class, so that a change of `Header` needs no change here."""

from __future__ import annotations

import json
import marshal
import sys
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hounsfield.read import Header, Source

Maker = Callable[[Any], Any]
_MOST_SHARED = 1000  # values of one field that are remembered at a time


def pack(headers: Iterable[Header]) -> str:
    """Return the headers of one file as JSON: values in the order of the fields; of the source only its member."""
    return json.dumps(list(headers), separators=(",", ":"), default=_plain)


class Unpacker:
    """Makes headers again. Equal strings and tuples become one object, so that the many headers of a series stay small."""

    def __init__(self) -> None:
        typed = _typed_fields(Header)
        self._source = [name for name, _ in typed].index("source")
        self._makers = [None if name == "source" else _maker(kind) for name, kind in typed]

    def unpack(self, text: str, path: Path) -> list[Header]:
        """Return the headers of the file at `path`.

        Raises
        ------
        ValueError
            If the text is not what `pack` wrote.
        """
        found = []
        for values in json.loads(text):
            if not isinstance(values, list) or len(values) != len(self._makers):
                raise ValueError("not the fields of a header")
            source = Source(path, values[self._source])
            made = _made(values, self._makers)
            made[self._source] = source
            found.append(Header(*made))
        return found


def shape_of(kind: Any) -> list[Any]:
    """Return names and types of a dataclass's fields, and of the dataclasses inside: what headers were packed from."""
    return [[name, str(inner), _shapes_inside(inner)] for name, inner in _typed_fields(kind)]


def _shapes_inside(kind: Any) -> list[Any]:
    return shape_of(kind) if is_dataclass(kind) else [_shapes_inside(inner) for inner in get_args(kind)]


def _typed_fields(kind: Any) -> list[tuple[str, Any]]:
    types = get_type_hints(kind)
    return [(field.name, types[field.name]) for field in fields(kind)]


def _plain(value: Any) -> Any:
    """Return what JSON can write in place of a value that it cannot."""
    if isinstance(value, Source):
        return value.member
    if is_dataclass(value):
        return [getattr(value, name) for name in _names(value.__class__)]
    return value.item()  # a number of numpy


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _maker(kind: Any) -> Maker | None:
    """Return what turns a value of JSON into one of a type; None where it is one already, and too small to share."""
    origin, inside = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        others = [inner for inner in inside if inner is not NoneType]
        if len(others) == 1:
            return _maker(others[0])
    elif is_dataclass(kind):
        makers = [_maker(inner) for _, inner in _typed_fields(kind)]
        return _sharing(lambda values: kind(*_made(values, makers)))  # type: ignore[operator]
    elif origin is tuple and inside[1:] == (Ellipsis,):
        make = _maker(inside[0])
        return _sharing(lambda values: tuple(values if make is None else map(make, values)))
    elif origin is tuple:
        makers = [_maker(inner) for inner in inside]
        return _sharing(lambda values: tuple(_made(values, makers)))
    elif kind is str or origin is Literal:
        return sys.intern
    elif kind in (int, float, bool):
        return None
    raise TypeError(f"a field of type {kind} cannot be kept in the index")


def _made(values: list[Any], makers: list[Maker | None]) -> list[Any]:
    return [
        value if value is None or make is None else make(value) for value, make in zip(values, makers, strict=True)
    ]  # fmt: skip


def _sharing(make: Maker) -> Maker:
    known: dict[bytes, Any] = {}

    def shared(values: list[Any]) -> Any:
        # Told apart by their bytes: as numbers 0.0 and -0.0 are equal, and so are 1 and 1.0.
        key = marshal.dumps(values, 2)
        found = known.get(key)
        if found is None:
            if len(known) >= _MOST_SHARED:  # most of them stood in one header only
                known.clear()
            found = known[key] = make(values)
        return found

    return shared
