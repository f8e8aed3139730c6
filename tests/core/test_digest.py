"""A digest follows the values: what means the same has the same one, what differs has another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hounsfield.core.digest import digest, digest_array, digest_file, digest_table

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=4), PLAIN, max_size=6), st.randoms(use_true_random=False))
def test_mappings_are_free_of_order(value: dict[str, Any], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert digest(dict(items)) == digest(value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1, 2], [2, 1]),
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"b": 1}),
        ({"a": None}, {}),
        (1, 1.0),
        (1, "1"),
        (True, 1),
        (None, "null"),
        ([[1], 2], [1, [2]]),
        ("é", "e\u0301"),
        (0.1, float(np.nextafter(0.1, 1))),
    ],
)
def test_what_differs_has_another_digest(one: object, other: object) -> None:
    assert digest(one) != digest(other)


def test_numpy_values_are_plain_values() -> None:
    wanted = digest({"a": [1, 2.5], "b": True})
    assert digest({"a": (np.int64(1), np.float64(2.5)), "b": np.bool_(True)}) == wanted
    assert digest(np.array([[1, 2], [3, 4]])) == digest([[1, 2], [3, 4]])


def test_the_digest_is_fixed_for_ever() -> None:
    # Files on disk quote digests: a change of the canonical form would orphan all of them.
    wanted = "91ff63a7ddb19a1b9c7a2e722d40ba9baba03223f291c89743abfd71bb743cb5"  # of {"a":"ü","b":[1,2.5,null]}
    assert digest({"b": [1, 2.5, None], "a": "ü"}) == wanted


ARRAYS: list[tuple[str, Callable[[np.ndarray], np.ndarray]]] = [
    ("dtype", lambda array: array.astype(np.float64)),
    ("shape", lambda array: array.reshape(3, 2)),
    ("flat", lambda array: array.ravel()),
    ("axes", lambda array: array[None]),
    ("value", lambda array: array + np.float32(1e-6)),
    ("order", lambda array: array[:, ::-1]),
]


@pytest.mark.parametrize("change", [change for _, change in ARRAYS], ids=[name for name, _ in ARRAYS])
def test_arrays_differ_by_type_shape_and_values(change: Callable[[np.ndarray], np.ndarray]) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3) / 7
    assert digest_array(array) != digest_array(change(array))


def test_one_number_is_not_a_row_of_one() -> None:
    assert digest_array(np.array(3.0)) != digest_array(np.array([3.0]))


def test_arrays_are_the_same_in_any_memory_layout() -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    wanted = digest_array(array)
    assert digest_array(np.asfortranarray(array)) == wanted
    assert digest_array(array.astype(">f4")) == wanted
    assert digest_array(np.repeat(array, 2, axis=2)[..., ::2]) == wanted


def test_tables_go_by_row_order_and_not_by_column_order() -> None:
    table = pl.DataFrame({"a": [1, 2], "b": [["x"], None]})
    assert digest_table(table.select("b", "a")) == digest_table(table)
    assert digest_table(table.reverse()) != digest_table(table)
    assert digest_table(table.cast({"a": pl.Int32})) != digest_table(table)
    assert digest_table(table.rename({"a": "c"})) != digest_table(table)


def test_files_by_their_bytes(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"abc")
    other.write_bytes(b"abc")
    assert digest_file(one) == digest_file(other) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
