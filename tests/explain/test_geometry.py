"""A map comes back to the place of the image that it was made from, and pictures tell no more than the map."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from PIL import Image as Picture

from hounsfield.core import Bundle, Recipe
from hounsfield.core.recipe import Normalise, Pad, Repeat, Resize, Window
from hounsfield.explain import Attribution, Explanation, write_panels
from hounsfield.explain.attribution import in_frame
from hounsfield.explain.pictures import overlaid, save_picture, shown, smoothed
from hounsfield.prepare import apply_stored


def recipe(height: int, width: int) -> Recipe:
    return Recipe(
        steps=(
            Window(windows=((0.5, 1.0),)), Resize(height=height, width=width), Pad(height=height, width=width),
            Repeat(channels=3), Normalise(mean=(0.5,) * 3, std=(0.5,) * 3),
        )
    )  # fmt: skip


FRAMES = [(97, 61), (61, 97), (301, 33), (33, 301), (64, 64), (20, 20), (511, 400), (23, 40)]
PLACES = [(0.15, 0.2), (0.5, 0.5), (0.85, 0.8), (0.1, 0.9)]


@pytest.mark.parametrize("network", [(64, 64), (96, 64), (63, 65)])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("size", FRAMES)
def test_a_bright_square_comes_back_to_its_place(
    size: tuple[int, int], place: tuple[float, float], network: tuple[int, int]
) -> None:
    height, width = size
    half = max(2, min(round(0.06 * max(size)), min(size) // 4))
    row = int(np.clip(round(place[0] * height), half, height - 1 - half))
    column = int(np.clip(round(place[1] * width), half, width - 1 - half))
    frame = np.zeros(size, dtype=np.float32)
    frame[row - half : row + half + 1, column - half : column + half + 1] = 1
    stored = apply_stored(recipe(*network), frame)[0]
    found = in_frame(stored, recipe(*network), size)
    assert found.shape == size
    assert found.dtype == np.float32
    assert found.min() >= 0
    # The centre of mass is where it was, within half a pixel of the network or of the frame.
    rows, columns = np.indices(size)
    step = max(1.0, max(height / network[0], width / network[1]))
    assert abs((rows * found).sum() / found.sum() - row) <= 0.5 * step
    assert abs((columns * found).sum() / found.sum() - column) <= 0.5 * step
    peak = np.unravel_index(int(found.argmax()), size)
    assert abs(peak[0] - row) <= half + step
    assert abs(peak[1] - column) <= half + step
    assert frame[found > 0.75 * found.max()].mean() > 0.7, "what is hot lies in the square"


@pytest.mark.parametrize("cells", [(7, 7), (2, 2), (4, 3), (1, 1)])
@pytest.mark.parametrize("size", [(100, 60), (60, 100), (64, 64)])
def test_a_coarse_map_keeps_its_quarter(cells: tuple[int, int], size: tuple[int, int]) -> None:
    """One cell of a small feature map: the hottest pixel lies in the part of the padded square that the cell covers."""
    for cell in np.ndindex(*cells):
        values = np.zeros(cells, dtype=np.float32)
        values[cell] = 3
        found = in_frame(values, recipe(64, 64), size)
        assert found.shape == size
        assert found.max() <= 3 + 1e-4, "resizing never makes a map hotter than it was"
        side = max(size)
        offset = [(side - length) // 2 for length in size]
        edges = [(cell[axis] * side / cells[axis], (cell[axis] + 1) * side / cells[axis]) for axis in (0, 1)]
        if any(edges[axis][1] <= offset[axis] or edges[axis][0] >= offset[axis] + size[axis] for axis in (0, 1)):
            continue  # the cell looks at padding alone
        peak = np.unravel_index(int(found.argmax()), size)
        for axis in (0, 1):
            assert edges[axis][0] - 2 <= peak[axis] + offset[axis] <= edges[axis][1] + 2


def test_an_even_map_stays_even() -> None:
    for size in FRAMES:
        np.testing.assert_allclose(
            in_frame(np.full((7, 7), 2.5, dtype=np.float32), recipe(64, 96), size), 2.5, rtol=1e-5
        )


@pytest.mark.parametrize("values", [np.zeros((5, 7)), np.full((5, 7), 3.0)])
def test_without_a_scale_the_picture_is_left_as_it_is(values: np.ndarray) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(overlaid(picture, values, 0.0), picture)


def test_overlays_follow_the_common_scale() -> None:
    picture = np.full((1, 4, 3), 100, dtype=np.uint8)
    values = np.array([[0.0, 0.5, 1.0, 2.0]])
    one = overlaid(picture, values, 1.0).astype(int)
    np.testing.assert_array_equal(one[0, 0], picture[0, 0])
    np.testing.assert_array_equal(one[0, 2], one[0, 3])
    assert (one[0, 1] != one[0, 2]).any()
    np.testing.assert_array_equal(overlaid(picture, values * 5, 5.0), one)
    faint = overlaid(picture, values * 1e-3, 1.0).astype(int)
    assert np.abs(faint - 100).max() <= 1, "noise beside a large scale is not blown up"


def test_signed_overlays_are_red_for_and_blue_against_in_proportion() -> None:
    picture = np.full((1, 5, 3), 100, dtype=np.uint8)
    found = overlaid(picture, np.array([[-1.0, -0.5, 0.0, 0.5, 1.0]]), 1.0, signed=True).astype(int)[0] - 100
    np.testing.assert_array_equal(found[2], 0)
    assert (found[3:, 0] > 0).all() and (found[3:, 2] < 0).all(), "red"
    assert (found[:2, 2] > 0).all() and (found[:2, 0] < 0).all(), "blue"
    np.testing.assert_allclose(found[4], 2 * found[3], atol=1)
    np.testing.assert_allclose(found[0], 2 * found[1], atol=1)


def test_shown_is_the_first_window_and_colour_stays_colour() -> None:
    windows = Recipe(steps=(Window(windows=((40, 400), (-600, 1500))), Pad(height=2, width=3)))
    frame = np.array([[-160.0, 40, 240], [-1000, 140, 3000]], dtype=np.float32)
    found = shown(frame, windows)
    assert found.shape == (2, 3, 3)
    assert found.dtype == np.uint8
    assert found[..., 0].tolist() == [[0, 128, 255], [0, 191, 255]]
    assert (found == found[..., :1]).all()
    colour = np.random.default_rng(0).random((4, 5, 3)).astype(np.float32)
    np.testing.assert_array_equal(shown(colour, recipe(8, 8)), np.rint(colour * 255).astype(np.uint8))


def test_a_saved_picture_is_the_picture_and_nothing_more(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    save_picture(tmp_path / "deep" / "a.png", picture)
    with Picture.open(tmp_path / "deep" / "a.png") as again:
        np.testing.assert_array_equal(np.asarray(again), picture)
        assert not again.info


def test_a_pixelwise_map_is_drawn_by_its_neighbourhood_and_nothing_appears_from_nowhere() -> None:
    """Sums stay what they are; a patch of single pixels becomes one place, and noise of both signs fades beside it."""
    generator = np.random.default_rng(0)
    values = 0.2 * generator.normal(size=(200, 240)).astype(np.float32)
    values[80:100, 60:80] += (generator.random((20, 20)) < 0.5) * 1.0
    found, width = smoothed(values)
    assert width == 6.0 and found.shape == values.shape
    assert found.sum() == pytest.approx(values.sum(), rel=0.02, abs=2)
    assert np.abs(found).max() <= np.abs(values).max()
    peak = np.unravel_index(int(found.argmax()), found.shape)
    assert 80 <= peak[0] < 100 and 60 <= peak[1] < 80
    assert np.abs(found[:, 140:]).max() < 0.15 * found.max(), "noise fades"
    assert smoothed(np.zeros((9, 9)))[1] == 1.0


def test_pictures_of_pixelwise_maps_tell_their_smoothing_and_files_stay_raw(tmp_path: Path) -> None:
    values = np.zeros((100, 100), dtype=np.float32)
    values[50, 50], values[20, 20] = 4.0, -2.0
    bundle = SimpleNamespace(recipe=recipe(64, 64), core_digest="0" * 8)
    explanation = Explanation(
        "one",
        [
            Attribution(values, 4.0, 0, 1, None, "yes", method, signed=True)
            for method in ("integrated-gradients", "occlusion")
        ],
        [np.full((100, 100), 0.5, dtype=np.float32)] * 2,
    )
    panels = json.loads(write_panels(tmp_path, cast(Bundle, bundle), [explanation], [{}]).read_text())
    pixelwise, plain = panels[0]["maps"]
    top = float(smoothed(values)[0].max())
    assert pixelwise["note"].startswith(f"colours run from −{top:.3g} to {top:.3g}; smoothed by 3 px for drawing")
    assert plain["note"] == "colours run from −4 to 4" and "smoothed" not in plain["note"]
    for item in (pixelwise, plain):
        np.testing.assert_array_equal(np.load(tmp_path / item["values"])["values"], values)
        assert item["scale"] == 4.0
    drawn, bare = (
        np.asarray(Picture.open(tmp_path / name)).astype(int) for name in (pixelwise["overlay"], panels[0]["image"])
    )
    changed = np.abs(drawn - bare).max(axis=2)
    assert changed[50, 50] == changed.max() > 50 and changed[80, 80] == 0, "where there is nothing the image stays"
