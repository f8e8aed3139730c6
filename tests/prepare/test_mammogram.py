"""The breast alone, its chest wall on the left, whatever the file was like."""

from __future__ import annotations

import numpy as np
import pytest

from hounsfield.core import VOIWindow
from hounsfield.prepare import condition
from hounsfield.prepare.conditioning.mammogram import MARGIN, breast
from tests.prepare.making import image, mammogram

AS_IT_IS = (VOIWindow(0.5, 1.0, "LINEAR_EXACT"),)


@pytest.mark.parametrize("size", [(400, 300), (1501, 1203), (300, 400), (90, 64)])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_it_is_cropped_to_the_breast_and_nothing_of_it_is_lost(size: tuple[int, int], noise: float) -> None:
    picture = mammogram(size, noise=noise)
    (found,) = condition("mammogram", [image(picture, windows=AS_IT_IS)])
    height, width = size
    clean = mammogram(size, label=False)
    rows, columns = np.flatnonzero(clean.any(axis=1)), np.flatnonzero(clean.any(axis=0))
    tall, wide = rows[-1] - rows[0] + 1, columns[-1] + 1
    room = 2 * MARGIN * max(size) + 2 * -(-max(size) // 256) + 4
    assert tall - 2 <= found.shape[0] <= tall + room
    assert wide - 2 <= found.shape[1] <= wide + room
    assert found[:, 0].mean() > 0.3, "the chest wall stays at the edge"
    assert found[-3:, -3:].max() < 0.2
    assert found.max() < 0.95, "the letters lie outside"
    assert found.shape[0] * found.shape[1] < 0.85 * height * width


@pytest.mark.parametrize("laterality", ["L", "R", "B", None])
def test_a_right_breast_becomes_what_its_mirror_image_is(laterality: str | None) -> None:
    """Whatever the tag says: where it and the picture disagree, the picture decides."""
    left = mammogram(noise=0.005)
    (expected,) = condition("mammogram", [image(left, laterality="L", windows=AS_IT_IS)])
    (same,) = condition("mammogram", [image(left, laterality=laterality, windows=AS_IT_IS)])
    np.testing.assert_array_equal(same, expected)
    (mirrored,) = condition("mammogram", [image(np.fliplr(left), laterality=laterality, windows=AS_IT_IS)])
    # The copy in which the breast is sought may begin at another pixel, so the boxes may differ by that.
    width = min(mirrored.shape[1], expected.shape[1])
    assert abs(mirrored.shape[1] - expected.shape[1]) <= 4
    assert mirrored.shape[0] == expected.shape[0]
    np.testing.assert_array_equal(mirrored[:, :width], expected[:, :width])


def test_the_tag_is_believed_where_the_picture_does_not_tell() -> None:
    rows, columns = np.mgrid[:200, :200] - 99.5
    disc = np.where(np.hypot(rows, columns) < 60, 0.6, 0.0)  # a magnification view, alike on both sides
    disc[95, 60] = 0.9
    for laterality in ("L", None):
        (kept,) = condition("mammogram", [image(disc, laterality=laterality)])
        assert np.unravel_index(kept.argmax(), kept.shape)[1] < kept.shape[1] / 2
    (turned,) = condition("mammogram", [image(disc, laterality="R")])
    np.testing.assert_array_equal(turned, np.fliplr(kept))


def test_nothing_is_cropped_where_there_is_no_breast() -> None:
    for nothing in (np.zeros((50, 40)), np.full((50, 40), 7.0)):
        (found,) = condition("mammogram", [image(nothing)])
        assert found.shape == (50, 40)
    speck = np.zeros((500, 400))
    speck[10:20, 10:20] = 1
    assert not breast([speck.astype(np.float32)])[0].any()
    full = np.random.default_rng(0).uniform(0.4, 0.8, (300, 200))
    (found,) = condition("mammogram", [image(full, windows=AS_IT_IS)])
    assert found.shape == full.shape, "a magnification view shows no air"


@pytest.mark.parametrize("mirrored", [False, True])
def test_fat_is_not_taken_for_air(mirrored: bool) -> None:
    """A large breast of fat, which outweighs the air, with a bright muscle: Otsu's first threshold lies above the fat."""
    rows, columns = np.mgrid[:400, :300]
    away = np.hypot((rows - 200) / 196, columns / 290)
    picture = np.where(away < 1, 0.3, 0.0)
    picture[(columns / 105 + rows / 240) < 1] = 0.85
    picture = np.clip(picture + np.random.default_rng(0).normal(0, 0.01, picture.shape), 0, 1)
    (found,) = condition("mammogram", [image(np.fliplr(picture) if mirrored else picture, windows=AS_IT_IS)])
    assert found.shape[0] > 390
    assert found.shape[1] > 288
    assert found[:100, :50].mean() > 0.6, "the muscle is at the chest wall, on the left"


def test_the_cuts_of_one_file_are_cropped_and_turned_alike() -> None:
    first, second = mammogram(seed=1), mammogram(label=False)
    second[:, 150:] = 0  # in this cut less of the breast is to be seen
    frames = condition("mammogram", [image(np.fliplr(np.stack([first, second]).transpose(1, 2, 0)).transpose(2, 0, 1))])
    assert frames[0].shape == frames[1].shape
    alone = condition("mammogram", [image(first)])[0]
    assert abs(alone.shape[1] - frames[0].shape[1]) <= 4
    together = condition("mammogram", [image(first), image(np.fliplr(second))])
    assert together[0].shape == alone.shape, "another file of the case is a view of its own"
