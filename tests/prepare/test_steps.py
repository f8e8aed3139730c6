"""The recipe's arithmetic: held against torch, against its own definition, and against what may never happen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hounsfield.core import Recipe
from hounsfield.core.recipe import Normalise, Pad, Repeat, Resize, Window
from hounsfield.prepare import apply, apply_steps, apply_stored, fitted_size, network_input, resize_operator

SIDE = st.integers(1, 97)


@settings(max_examples=100, deadline=None)
@given(SIDE, SIDE)
@example(1, 1)
@example(1, 512)
@example(512, 1)
def test_rows_sum_to_one(out: int, length: int) -> None:
    weights = resize_operator(out, length)
    assert weights.shape == (out, length)
    assert weights.dtype == np.float32
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("side", [1, 2, 31, 512])
def test_the_same_size_is_left_alone(side: int) -> None:
    np.testing.assert_array_equal(resize_operator(side, side), np.eye(side, dtype=np.float32))


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 97), SIDE, SIDE, SIDE, st.integers(0, 2**31))
@example(224, 512, 224, 333, 0)
@example(128, 28, 128, 28, 0)
@example(224, 1024, 32, 1, 0)
@example(2, 3, 1, 5, 0)
def test_equals_torch(height: int, old_height: int, width: int, old_width: int, seed: int) -> None:
    # HU far from 0, so that an offset would show.
    image = np.random.default_rng(seed).normal(-400, 500, (old_height, old_width)).astype(np.float32)
    # Torch 2.14 repeats the first row where the new width is 1, but has no such trouble with the height.
    turned = width == 1
    given = torch.from_numpy(image.T.copy() if turned else image)[None, None]
    size = (width, height) if turned else (height, width)
    result = torch.nn.functional.interpolate(given, size, mode="bilinear", antialias=True, align_corners=False)[
        0, 0
    ].numpy()
    wanted = result.T if turned else result
    found = resize_operator(height, old_height) @ image @ resize_operator(width, old_width).T
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 600), st.integers(1, 600))
def test_the_fitted_size_keeps_the_aspect_and_fits(height: int, width: int, inner: int, across: int) -> None:
    found = fitted_size(height, width, Resize(height=inner, width=across))
    assert 1 <= found[0] <= inner
    assert 1 <= found[1] <= across
    assert found[0] == inner or found[1] == across, "the largest that fits"
    scale = min(inner / height, across / width)
    assert abs(found[0] - height * scale) <= 0.5 + 1e-9 or found[0] == 1
    assert abs(found[1] - width * scale) <= 0.5 + 1e-9 or found[1] == 1


def test_windows() -> None:
    hu = np.array([[-2000.0, -160, 40, 240, 3000], [-160.5, -110, 140, 239.5, 240.5]], dtype=np.float32)
    found = apply_steps([Window(windows=((40, 400), (-600, 1500)))], hu[None])
    np.testing.assert_allclose(found[0], [[0, 0, 0.5, 1, 1], [0, 0.125, 0.75, 0.99875, 1]], atol=1e-6)
    np.testing.assert_allclose(found[1][0], [0, (1350 - 160) / 1500, (1350 + 40) / 1500, 1, 1], atol=1e-6)
    assert hu[0, 0] == -2000, "what is given is not changed"


def test_colour_goes_through_one_window_channel_by_channel() -> None:
    frame = np.random.default_rng(0).random((6, 5, 3)).astype(np.float32)
    recipe = Recipe(steps=(Window(windows=((0.5, 1.0),)), Pad(height=6, width=5)))
    np.testing.assert_allclose(apply_stored(recipe, frame), np.moveaxis(frame, -1, 0), atol=1e-7)


@pytest.mark.parametrize(("size", "place"), [((3, 4), (1, 2)), ((4, 8), (0, 0)), ((5, 8), (0, 0)), ((1, 1), (2, 3))])
def test_padding_lies_around(size: tuple[int, int], place: tuple[int, int]) -> None:
    step = Pad(height=max(5, size[0]), width=8, value=0.25)
    found = apply_steps([step], np.ones((2, *size), dtype=np.float32))
    assert found.shape == (2, 5, 8)
    assert found.sum() == 2 * size[0] * size[1] + 0.25 * 2 * (40 - size[0] * size[1])
    np.testing.assert_array_equal(found[:, place[0] : place[0] + size[0], place[1] : place[1] + size[1]], 1)


def test_repeat_and_normalise() -> None:
    grey = np.full((1, 2, 2), 0.5, dtype=np.float32)
    steps = (Repeat(channels=3), Normalise(mean=(0.1, 0.2, 0.3), std=(0.5, 1.0, 2.0)))
    found = apply_steps(steps, grey)
    np.testing.assert_allclose(found[:, 0, 0], [0.8, 0.3, 0.1], atol=1e-6)
    assert apply_steps(steps[:1], found).shape == (3, 2, 2), "three channels are three already"


def test_the_whole_is_its_two_halves() -> None:
    frame = np.random.default_rng(0).normal(0, 300, (37, 61)).astype(np.float32)
    recipe = Recipe(
        steps=(
            Window(windows=((-600, 1500), (40, 400), (400, 1800))), Resize(height=32, width=32),
            Pad(height=32, width=32),
            Repeat(channels=3), Normalise(mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4)),
        )
    )  # fmt: skip
    stored = apply_stored(recipe, frame)
    assert stored.shape == (3, 32, 32)
    assert 0 <= stored.min() <= stored.max() <= 1
    whole = apply(recipe, frame)
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(network_input(stored[None], recipe)[0], whole)
