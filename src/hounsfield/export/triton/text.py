"""The text form of a protobuf message, in which Triton reads its configurations; without protobuf classes of Triton, an extra."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


class Word(str):
    """A name that stands without quotes, such as that of an enumeration's value."""

    __slots__ = ()


def to_text(message: Mapping[str, Any], indent: str = "") -> str:
    """Return a message as text.

    Parameters
    ----------
    message:
        Field → a number, bool, str or `Word`; a mapping, which is a message of its own; or a sequence of one of these, which
        is a field that is repeated.
    """
    lines = []
    for name, value in message.items():
        repeated = isinstance(value, Sequence) and not isinstance(value, str)
        if repeated and all(not isinstance(one, Mapping) for one in value):
            lines.append(f"{indent}{name}: [{', '.join(map(_scalar, value))}]")
            continue
        for one in value if repeated else [value]:
            if isinstance(one, Mapping):
                lines += [f"{indent}{name} {{", to_text(one, f"{indent}  ").rstrip("\n"), f"{indent}}}"]
            else:
                lines.append(f"{indent}{name}: {_scalar(one)}")
    return "".join(f"{line}\n" for line in lines if line)


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Word) or not isinstance(value, str):
        return str(value)
    return json.dumps(value, ensure_ascii=False)  # quotes and backslashes are escaped in protobuf as in JSON
