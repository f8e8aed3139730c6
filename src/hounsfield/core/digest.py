"""Canonical digests: sha256 of values, not of the bytes that a file format happens to use for them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import polars as pl  # workers that decode files load this module, and need no tables


def digest(value: Any) -> str:
    """Return the sha256 (hexadecimal) of a plain value: mappings, sequences, strings, numbers, booleans, None.

    Mappings are order-free; sequences are not. Numbers compare as JSON writes them, so 1 and 1.0 differ.
    """
    text = json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=True)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def digest_array(array: np.ndarray) -> str:
    """Return the sha256 of an array's type, shape and values (little endian, C order)."""
    little = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
    head = f"{little.dtype.str}{little.shape}".encode()
    return hashlib.sha256(head + little.tobytes()).hexdigest()


def digest_table(table: pl.DataFrame) -> str:
    """Return the sha256 of a table's values: columns by name, rows in their order."""
    columns = {name: [str(table[name].dtype), table[name].to_list()] for name in sorted(table.columns)}
    return digest(columns)


def digest_file(path: Path) -> str:
    """Return the sha256 of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    return value
