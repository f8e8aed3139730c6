"""each: order kept, failures as values, and a crash costs one item."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from functools import partial
from operator import call
from pathlib import Path

import numpy as np
import pytest

from hounsfield.errors import ReadError, UsageError
from hounsfield.read import each, read_image


# Items are calls where they can be, so that workers need not import this test module.
@pytest.mark.parametrize("chunk", [1, 4])
def test_a_crash_costs_one_item(chunk) -> None:
    items = [partial(int, str(number)) for number in range(20)]
    items[5], items[6], items[19] = partial(os._exit, 3), partial(ctypes.string_at, 0), partial(os._exit, 0)
    results = list(each(call, items, workers=2, chunk=chunk))
    assert [index for index, _ in results] == list(range(20))
    for index, result in results:
        if index in (5, 6, 19):
            assert isinstance(result, ReadError)
            assert "crashed" in result.what
        else:
            assert result == index


@pytest.mark.parametrize("workers", [0, 1, None])
def test_failures_are_values(tmp_path, workers) -> None:
    items = [tmp_path / "nowhere.png", 7]
    results = dict(each(read_image, items, workers=workers))
    assert "does not exist" in results[0].what
    assert results[0].where == str(items[0])
    assert isinstance(results[1], ReadError)  # not a path: an unexpected TypeError
    assert "TypeError" in results[1].what


def test_results_that_cannot_be_sent_back() -> None:
    results = dict(each(call, [partial(memoryview, b"a"), partial(int, "3")], workers=1))
    assert isinstance(results[0], ReadError)
    assert results[1] == 3


def test_same_result_in_processes_and_here(write) -> None:
    paths = [write(np.full((8, 8), number, dtype=np.int16), name=f"{number}") for number in range(9)]
    here = [image.pixels for _, image in each(read_image, paths, workers=0)]
    there = [image.pixels for _, image in each(read_image, paths, workers=2)]
    assert np.array_equal(here, there)
    assert [int(pixels.mean()) for pixels in there] == list(range(9))


def test_stopping_early_and_nothing_to_do() -> None:
    stream = each(call, [partial(int, "1")] * 10_000, workers=1)
    assert next(stream) == (0, 1)
    stream.close()
    assert list(each(call, [])) == []


def test_function_that_cannot_be_sent() -> None:
    with pytest.raises(UsageError, match="top level"):
        each(lambda item: item, [1, 2])


def test_script_without_a_guard_is_told(tmp_path) -> None:
    script = tmp_path / "script.py"
    script.write_text("from hounsfield.read import each\nprint(list(each(len, ['a'] * 20)))\n")
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode != 0
    assert "UsageError: the worker processes cannot start" in ran.stderr


def test_reading_loads_neither_torch_nor_every_decoder(tmp_path: Path) -> None:
    code = (
        "import sys, hounsfield.read\n"
        "assert not {'torch', 'pydicom', 'nibabel', 'PIL'} & set(sys.modules), sorted(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
