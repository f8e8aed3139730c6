"""Conditioning: what depends on one case, rule by rule, on numbers that can be checked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hounsfield.core import Facts, Image, VOIWindow
from hounsfield.errors import PlanError, ReadError
from hounsfield.prepare import RULES, condition, describe


def image(values: Any, unit: Any = "arbitrary", **facts: Any) -> Image:
    """One frame from rows, or several from a deeper list."""
    pixels = np.asarray(values, dtype=np.float32)
    wanted = 4 if unit == "RGB" else 3
    return Image(pixels[None] if pixels.ndim == wanted - 1 else pixels, unit, "source", facts=Facts(**facts))


def test_unknown_rules_are_refused_with_the_choices() -> None:
    with pytest.raises(PlanError, match="zscore") as caught:
        condition("zscore", [image([[1, 2]])])
    assert all(rule in str(caught.value.fix) for rule in RULES)
    assert all(describe(rule) for rule in RULES)


def test_hounsfield_passes_hu_and_refuses_all_else() -> None:
    frames = condition("hounsfield", [image([[-1000, 40]], "HU"), image([[[1, 2]], [[3, 4]]], "HU")])
    assert [frame.tolist() for frame in frames] == [[[-1000, 40]], [[1, 2]], [[3, 4]]]
    for other in (image([[1, 2]]), image(np.zeros((1, 2, 3)), "RGB")):
        with pytest.raises(ReadError, match="Hounsfield"):
            condition("hounsfield", [image([[1, 2]], "HU"), other])


def test_percentiles_are_of_the_whole_case() -> None:
    generator = np.random.default_rng(0)
    dark = generator.uniform(100, 200, (64, 64)).astype(np.float32)
    bright = generator.uniform(800, 900, (64, 64)).astype(np.float32)
    frames = condition("percentiles", [image(dark), image(bright)])
    assert frames[0].max() < 0.2 < 0.8 < frames[1].min(), "slices stay comparable"
    together = condition("percentiles", [image(np.stack([dark, bright]))])
    np.testing.assert_array_equal(together, frames)
    alone = condition("percentiles", [image(dark)])[0]
    assert alone.max() == 1


def test_percentiles_leave_the_background_out_and_the_scale_of_the_scanner() -> None:
    body = np.zeros((64, 64), dtype=np.float32)
    body[20:40, 20:40] = np.random.default_rng(0).uniform(300, 700, (20, 20))
    (found,) = condition("percentiles", [image(body)])
    low, high = np.percentile(body[::2, ::2][body[::2, ::2] > 0], [1, 99])
    np.testing.assert_allclose(found, np.clip((body - low) / (high - low), 0, 1), atol=1e-6)
    (scaled,) = condition("percentiles", [image(body * 7)])
    np.testing.assert_allclose(scaled, found, atol=1e-5)


def test_percentiles_of_nothing_and_of_a_mask() -> None:
    (flat,) = condition("percentiles", [image(np.full((8, 8), 5.0))])
    assert not flat.any()
    mask = np.zeros((8, 8))
    mask[2:6, 2:6] = 3
    (found,) = condition("percentiles", [image(mask)])
    np.testing.assert_array_equal(found, mask / 3)


@pytest.mark.parametrize(
    ("function", "centre", "width", "pairs"),
    [
        # PS3.3 C.11.2.1.2.1, with its own example: c = 2048, w = 4096 maps 0 to 0 and 4095 to the full range.
        ("LINEAR", 2048, 4096, {-1: 0, 0: 0, 2047.5: 0.5, 4095: 1, 4096: 1, 1000: 1000 / 4095}),
        ("LINEAR", 40, 401, {-160.5: 0, 239.5: 1, 39.5: 0.5, 139.5: 0.75}),
        # C.11.2.1.3.2: c and w are the centre and the width themselves.
        ("LINEAR_EXACT", 40, 400, {-160: 0, 240: 1, 40: 0.5, 140: 0.75, -200: 0}),
        # C.11.2.1.3.1: 1 / (1 + exp(-4 (x - c) / w)).
        ("SIGMOID", 40, 400, {40: 0.5, 140: 1 / (1 + np.exp(-1)), -60: 1 / (1 + np.exp(1)), 440: 1 / (1 + np.exp(-4))}),
    ],
)
def test_windows_of_the_file(function: Any, centre: float, width: float, pairs: dict[float, float]) -> None:
    window = VOIWindow(centre, width, function)
    (found,) = condition("voi", [image([list(pairs)], windows=(window, VOIWindow(0, 1)))])
    np.testing.assert_allclose(found[0], list(pairs.values()), atol=1e-6)
    (turned,) = condition("voi", [image([list(pairs)], windows=(window,), inverted=True)])
    np.testing.assert_allclose(turned[0], 1 - np.array(list(pairs.values())), atol=1e-6)


def test_a_linear_window_of_width_one_is_a_step() -> None:
    (found,) = condition("voi", [image([[9, 9.4, 9.6, 10, 11]], windows=(VOIWindow(10, 1, "LINEAR"),))])
    assert found[0].tolist() == [0, 0, 1, 1, 1]


def test_voi_without_a_window_takes_percentiles_of_the_image() -> None:
    pixels = np.arange(10_000, dtype=np.float32).reshape(100, 100)
    (found,) = condition("voi", [image(pixels)])
    low, high = np.percentile(pixels[::2, ::2], [0.5, 99.5])
    np.testing.assert_allclose(found, np.clip((pixels - low) / (high - low), 0, 1), atol=1e-6)


def test_the_range_that_the_file_can_hold() -> None:
    frames = condition(
        "range", [image([[0, 51, 255]], value_range=(0.0, 255.0)), image([[0, 51, 204]], value_range=(0.0, 255.0))]
    )
    np.testing.assert_allclose(frames, [[[0, 0.2, 1]], [[0, 0.2, 0.8]]], atol=1e-6)
    (turned,) = condition("range", [image([[0, 51, 255]], value_range=(0.0, 255.0), inverted=True)])
    np.testing.assert_allclose(turned, [[1, 0.8, 0]], atol=1e-6)
    (unknown,) = condition("range", [image([[2, 3, 4]])])
    np.testing.assert_allclose(unknown, [[0, 0.5, 1]], atol=1e-6)


def test_colour_becomes_luminance_where_grey_is_wanted() -> None:
    pixels = [[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]]
    for rule in ("range", "percentiles", "voi"):
        (found,) = condition(rule, [image(pixels, "RGB", value_range=(0.0, 255.0))])
        assert found.shape == (1, 4)
    (found,) = condition("range", [image(pixels, "RGB", value_range=(0.0, 255.0))])
    np.testing.assert_allclose(found, [[0.299, 0.587, 0.114, 1]], atol=1e-5)


def test_colour_and_grey_repeated() -> None:
    pixels = np.array([[[255, 0, 51], [0, 102, 255]]])
    (found,) = condition("colour", [image(pixels, "RGB", value_range=(0.0, 255.0))])
    np.testing.assert_allclose(found, pixels / 255, atol=1e-6)
    (grey,) = condition("colour", [image([[0, 51]], value_range=(0.0, 255.0))])
    np.testing.assert_allclose(grey, [[[0] * 3, [0.2] * 3]], atol=1e-6)


@pytest.mark.parametrize("rule", list(RULES))
def test_no_rule_changes_its_image_or_depends_on_another_case(rule: str) -> None:
    values = np.random.default_rng(0).uniform(0, 255, (2, 9, 7)).astype(np.float32)
    made = image(values.copy(), "HU" if rule == "hounsfield" else "arbitrary", value_range=(0.0, 255.0))
    once = condition(rule, [made])
    assert len(once) == 2
    assert all(frame.dtype == np.float32 for frame in once)
    np.testing.assert_array_equal(made.pixels, values)
    np.testing.assert_array_equal(condition(rule, [made]), once)
