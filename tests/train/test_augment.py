"""Augmentation: repeatable, within range, and never a patient who cannot exist."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from monai.transforms import RandFlip

from hounsfield.core.plan import Augmentation
from hounsfield.train.augment import Augmenter, augment, augmenter

STILL = {"rotate": 0.0, "scale": 0.0, "shift": 0.0, "noise": 0.0, "contrast": (1.0, 1.0)}


def _image() -> np.ndarray:
    """One slice, bright in the upper left only, so that every flip shows."""
    image = np.zeros((1, 1, 33, 40), dtype=np.float32)
    image[..., 2:12, 3:15] = 1.0
    return image


def _slices(plan: Augmentation) -> Augmenter:
    return Augmenter(plan, volume=False)


def test_the_same_seed_gives_the_same_image_whatever_came_before() -> None:
    transforms = _slices(Augmentation(flip_horizontal=True))
    first = augment(transforms, _image(), (1, 2, 3))
    augment(transforms, _image(), (9, 9, 9))
    assert np.array_equal(first, augment(transforms, _image(), (1, 2, 3)))
    assert not np.array_equal(first, augment(transforms, _image(), (1, 2, 4)))


def test_values_stay_between_zero_and_one() -> None:
    transforms = _slices(Augmentation(noise=0.5))
    for view in range(20):
        values = augment(transforms, _image(), (0, view))
        assert values.min() >= 0 and values.max() <= 1
        assert values.shape == (1, 1, 33, 40)


def test_no_flip_unless_it_is_allowed() -> None:
    default = _slices(Augmentation())
    assert not any(isinstance(step, RandFlip) for step in default.transforms.transforms)
    for view in range(30):
        values = augment(default, _image(), (0, view))[0, 0]
        upper_left = values[:17, :20].sum()
        assert upper_left > 0.6 * values.sum()


@pytest.mark.parametrize(("name", "axis"), [("flip_horizontal", 3), ("flip_vertical", 2)])
def test_a_flip_turns_the_axis_that_its_name_says(name: str, axis: int) -> None:
    transforms = _slices(Augmentation(**STILL, **{name: True}))
    results = [augment(transforms, _image(), (0, view)) for view in range(20)]
    flipped = np.flip(_image(), axis)
    kinds = {
        "same" if np.array_equal(item, _image()) else "flipped" if np.array_equal(item, flipped) else "other"
        for item in results
    }
    assert kinds == {"same", "flipped"}


def test_the_shift_is_a_share_of_the_size() -> None:
    transforms = _slices(Augmentation(**(STILL | {"shift": 0.1})))
    rows = []
    for view in range(60):
        values = augment(transforms, _image(), (0, view))[0, 0]
        weight = values.sum()
        rows.append((values.sum(axis=1) @ np.arange(33)) / weight - 6.5)
    assert 1.5 < max(map(abs, rows)) <= 3.4


def test_slices_are_varied_one_by_one_and_a_volume_as_a_whole() -> None:
    case = np.repeat(_image(), 5, axis=0)
    for view in range(10):
        apart = augment(_slices(Augmentation(noise=0.0)), case, (0, view))
        assert apart.shape == case.shape and not np.allclose(apart[0], apart[1])
        turned = augment(Augmenter(Augmentation(noise=0.0), volume=True), case, (0, view))
        assert turned.shape == case.shape
        # Equal slices stay equal and in their places: nothing turns, scales or shifts along the stack.
        assert np.allclose(turned, turned[:1], atol=1e-4) and turned.sum() > 0.5 * case.sum()


def test_a_deep_volume_turns_about_all_axes(plan: Any) -> None:
    case = np.zeros((16, 1, 32, 32), dtype=np.float32)
    case[6:10, :, 4:28, 4:28] = 1.0
    deep = augmenter(
        plan(dimension="3d", backbone="resnet10", slices=16, size=[32, 32], channels=1, windows=[[0.5, 1.0]])
    )
    flat = augmenter(
        plan(dimension="3d", backbone="resnet10", slices=16, size=[64, 64], channels=1, windows=[[0.5, 1.0]])
    )

    def tilts(transforms: Augmenter) -> list[float]:
        """How far the slab's middle lies from front to back, between its upper and its lower half."""
        found = []
        for view in range(8):
            turned = augment(transforms, case, (0, view))[:, 0]
            depth = np.arange(16)[:, None, None]
            halves = [(half * depth).sum() / half.sum() for half in (turned[:, :16], turned[:, 16:])]
            found.append(abs(halves[0] - halves[1]))
        return found

    assert max(tilts(deep)) > 0.5 and max(tilts(flat)) < 0.05


@pytest.mark.parametrize(("name", "axis"), [("flip_horizontal", 3), ("flip_vertical", 2)])
def test_a_volume_is_never_turned_upside_down(name: str, axis: int) -> None:
    case = np.zeros((4, 1, 16, 16), dtype=np.float32)
    case[0, 0, 2:5, 1:4] = 1.0
    transforms = Augmenter(Augmentation(**STILL, **{name: True}), volume=True)
    results = [augment(transforms, case, (0, view)) for view in range(20)]
    flipped = np.flip(case, axis)
    assert all(np.array_equal(item, case) or np.array_equal(item, flipped) for item in results)
    assert any(np.array_equal(item, flipped) for item in results)
