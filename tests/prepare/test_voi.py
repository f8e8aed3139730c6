"""VOI LUTs and windows, against the formulas of the standard written out slowly, and against pydicom."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut, apply_windowing

from hounsfield.core import VOITable, VOIWindow
from hounsfield.prepare import condition
from hounsfield.prepare.conditioning import apply_table, apply_window
from hounsfield.read import read_image
from tests.prepare.making import image

FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


def slowly(x: float, window: VOIWindow) -> float:
    """The formulas of PS3.3 C.11.2.1.2.1, C.11.2.1.3.2 and C.11.2.1.3.1, y from 0 to 1."""
    c, w = window.centre, window.width
    if window.function == "SIGMOID":
        power = -4 * (x - c) / w
        return 0.0 if power > 700 else 1 / (1 + math.exp(power))
    if window.function == "LINEAR":
        if x <= c - 0.5 - (w - 1) / 2:
            return 0.0
        if x > c - 0.5 + (w - 1) / 2:
            return 1.0
        return (x - (c - 0.5)) / (w - 1) + 0.5
    if x <= c - w / 2:
        return 0.0
    if x > c + w / 2:
        return 1.0
    return (x - c) / w + 0.5


@pytest.mark.parametrize(
    ("function", "centre", "width", "pairs"),
    [
        # PS3.3 C.11.2.1.2.1, with its own example: c = 2048, w = 4096 maps 0 to 0 and 4095 to the full range.
        ("LINEAR", 2048, 4096, {-1: 0, 0: 0, 2047.5: 0.5, 4095: 1, 4096: 1, 1000: 1000 / 4095}),
        ("LINEAR", 40, 401, {-160.5: 0, 239.5: 1, 39.5: 0.5, 139.5: 0.75}),
        ("LINEAR", 10, 1, {9: 0, 9.4: 0, 9.5: 0, 9.6: 1, 10: 1, 11: 1}),
        # C.11.2.1.3.2: c and w are the centre and the width themselves.
        ("LINEAR_EXACT", 40, 400, {-160: 0, 240: 1, 40: 0.5, 140: 0.75, -200: 0}),
        ("LINEAR_EXACT", 0.5, 0.5, {0.25: 0, 0.5: 0.5, 0.75: 1}),
        # C.11.2.1.3.1: 1 / (1 + exp(-4 (x - c) / w)).
        ("SIGMOID", 40, 400, {40: 0.5, 140: 1 / (1 + np.exp(-1)), -60: 1 / (1 + np.exp(1)), 440: 1 / (1 + np.exp(-4))}),
        ("SIGMOID", 0, 1, {-60000: 0, 60000: 1}),
    ],
)
def test_windows_of_the_file(function: Any, centre: float, width: float, pairs: dict[float, float]) -> None:
    window = VOIWindow(centre, width, function)
    (found,) = condition("voi", [image([list(pairs)], windows=(window, VOIWindow(0, 1)))])
    np.testing.assert_allclose(found[0], list(pairs.values()), atol=1e-6)
    (turned,) = condition("voi", [image([list(pairs)], windows=(window,), inverted=True)])
    np.testing.assert_allclose(turned[0], 1 - np.array(list(pairs.values())), atol=1e-6)


windows = some.builds(
    VOIWindow,
    some.floats(-70_000, 70_000).map(lambda value: round(value, 2)),
    some.floats(1, 70_000).map(lambda value: round(value, 2)),
    some.sampled_from(FUNCTIONS),
)


@given(windows, some.lists(some.integers(-32768, 65535), min_size=1, max_size=20))
def test_any_window_is_as_the_standard_writes_it(window: VOIWindow, values: list[int]) -> None:
    """Whole values, as files store them, and the values around both edges of the window."""
    edges = [window.centre + side * window.width / 2 + step for side in (-1, 1) for step in (-1, 0, 1)]
    grey = np.array([*values, *map(round, edges)], dtype=np.float32)
    expected = [slowly(float(value), window) for value in grey]
    np.testing.assert_allclose(apply_window(grey, window), expected, atol=2e-5)


@given(some.integers(8, 16), some.booleans(), some.data())
def test_windows_as_pydicom_applies_them(bits: int, signed: bool, data: Any) -> None:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    window = data.draw(
        some.builds(VOIWindow, some.integers(low, high), some.integers(1, 2**bits), some.sampled_from(FUNCTIONS))
    )
    stored = np.array(data.draw(some.lists(some.integers(low, high), min_size=1, max_size=20)))
    dataset = Dataset()
    dataset.PhotometricInterpretation, dataset.BitsStored, dataset.PixelRepresentation = (
        "MONOCHROME2",
        bits,
        int(signed),
    )
    dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = window.centre, window.width, window.function
    with np.errstate(over="ignore"):
        theirs = (apply_windowing(stored, dataset) - low) / (high - low)
    np.testing.assert_allclose(apply_window(stored.astype(np.float32), window), theirs, atol=2e-5)


@given(some.integers(10, 16), some.data())
def test_tables_as_pydicom_applies_them(bits: int, data: Any) -> None:
    entries = data.draw(some.lists(some.integers(0, 2**bits - 1), min_size=2, max_size=300))
    first = data.draw(some.integers(0, 60_000))
    stored = np.array(data.draw(some.lists(some.integers(0, 65_535), min_size=1, max_size=20)), dtype=np.uint16)
    stored = np.append(stored, np.arange(max(0, first - 2), min(65_535, first + 3), dtype=np.uint16))
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [len(entries), first, bits], entries
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    dataset = Dataset()
    dataset.VOILUTSequence = [item]
    table = VOITable(float(first), np.array(entries, dtype=np.float32) / np.float32(2**bits - 1))
    theirs = apply_voi_lut(stored, dataset) / (2**bits - 1)
    np.testing.assert_allclose(apply_table(stored.astype(np.float32), table), theirs, atol=1e-6)


def test_a_table_comes_before_a_window_and_both_before_percentiles() -> None:
    pixels = np.arange(10_000, dtype=np.float32).reshape(100, 100)
    table = VOITable(5000.0, np.array([0.1, 0.9, 0.4], dtype=np.float32))
    window = VOIWindow(100, 50)
    (found,) = condition("voi", [image(pixels, tables=(table,), windows=(window,))])
    assert found.ravel()[[0, 5000, 5001, 5002, 9999]].tolist() == pytest.approx([0.1, 0.1, 0.9, 0.4, 0.4])
    (found,) = condition("voi", [image(pixels, windows=(window,))])
    np.testing.assert_array_equal(found, apply_window(pixels, window))
    (found,) = condition("voi", [image(pixels)])
    low, high = np.percentile(pixels[::2, ::2], [0.5, 99.5])
    np.testing.assert_allclose(found, np.clip((pixels - low) / (high - low), 0, 1), atol=1e-6)


def test_tables_take_values_that_are_no_whole_numbers() -> None:
    table = VOITable(10.0, np.array([0.0, 0.25, 1.0], dtype=np.float32))
    found = apply_table(np.array([-5, 9.9, 10.4, 10.6, 11.2, 11.9, 99], dtype=np.float32), table)
    assert found.tolist() == [0, 0, 0, 0.25, 0.25, 1, 1]


def test_widths_that_the_standard_does_not_allow_are_passed_over() -> None:
    for wrong in (VOIWindow(10, 0.5, "LINEAR"), VOIWindow(10, 0, "LINEAR_EXACT"), VOIWindow(10, -3, "SIGMOID")):
        with pytest.raises(ValueError, match="width"):
            apply_window(np.zeros((2, 2), dtype=np.float32), wrong)
        values = np.random.default_rng(0).uniform(0, 100, (20, 20))
        right = VOIWindow(50, 20)
        np.testing.assert_array_equal(
            condition("voi", [image(values, windows=(wrong, right))]),
            condition("voi", [image(values, windows=(right,))]),
        )
        np.testing.assert_array_equal(
            condition("voi", [image(values, windows=(wrong,))]), condition("voi", [image(values)])
        )


@pytest.mark.parametrize("rule", ["voi", "range", "ultrasound", "mammogram", "percentiles", "zscore"])
def test_monochrome1_is_monochrome2_turned_round(rule: str) -> None:
    stored = np.random.default_rng(0).integers(0, 4096, (60, 50)).astype(np.float32)
    window = VOIWindow(1500, 900, "LINEAR_EXACT")
    facts: dict[str, Any] = {"windows": (window,), "value_range": (0.0, 4095.0)}
    (plain,) = condition(rule, [image(stored, **facts)])
    facts["windows"] = (replace(window, centre=4095 - window.centre),)
    (turned,) = condition(rule, [image(4095 - stored, inverted=True, **facts)])
    np.testing.assert_allclose(turned, plain, atol=1e-5)


@pytest.mark.parametrize("name", ["WG04/REF/RG3_UNC", "WG04/REF/MR1_UNC", "pydicom/vlut_04.dcm"])
def test_real_files_look_as_pydicom_shows_them(data: Path, name: str) -> None:
    path = data / "dicom-conformance" / name
    if not path.exists():
        pytest.skip(f"no {name} in the data")
    made = read_image(path)
    dataset = dcmread(path)
    if not (made.facts.tables or made.facts.windows):
        pytest.skip("the file states nothing to compare with")
    theirs = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset).astype(np.float64)
    ours = condition("voi", [made])[0]
    inverted = 1 - ours if made.facts.inverted else ours
    # pydicom answers in its own units: theirs is ours times a range plus an offset.
    scale, offset = np.polyfit(inverted.ravel(), theirs.reshape(-1), 1)
    assert scale > 0
    np.testing.assert_allclose(inverted * scale + offset, theirs.reshape(inverted.shape), atol=2e-4 * scale)
