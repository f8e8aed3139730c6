"""Augmentation: repeatable, within range, and never a patient who cannot exist."""

from __future__ import annotations

import numpy as np
import pytest
from monai.transforms import RandFlip

from hounsfield.core.plan import Augmentation
from hounsfield.train.augment import augment, augmenter

STILL = {"rotate": 0.0, "scale": 0.0, "shift": 0.0, "noise": 0.0, "contrast": (1.0, 1.0)}


def _image() -> np.ndarray:
    """Bright in the upper left only, so that every flip shows."""
    image = np.zeros((1, 33, 40), dtype=np.float32)
    image[:, 2:12, 3:15] = 1.0
    return image


def test_the_same_seed_gives_the_same_image_whatever_came_before() -> None:
    transforms = augmenter(Augmentation(flip_horizontal=True))
    first = augment(transforms, _image(), (1, 2, 3)).numpy()
    augment(transforms, _image(), (9, 9, 9))
    assert np.array_equal(first, augment(transforms, _image(), (1, 2, 3)).numpy())
    assert not np.array_equal(first, augment(transforms, _image(), (1, 2, 4)).numpy())


def test_values_stay_between_zero_and_one() -> None:
    transforms = augmenter(Augmentation(noise=0.5))
    for view in range(20):
        values = augment(transforms, _image(), (0, view)).numpy()
        assert values.min() >= 0 and values.max() <= 1
        assert values.shape == (1, 33, 40)


def test_no_flip_unless_it_is_allowed() -> None:
    default = augmenter(Augmentation())
    assert not any(isinstance(step, RandFlip) for step in default.transforms)
    for view in range(30):
        values = augment(default, _image(), (0, view)).numpy()[0]
        upper_left = values[:17, :20].sum()
        assert upper_left > 0.6 * values.sum()


@pytest.mark.parametrize(("name", "axis"), [("flip_horizontal", 2), ("flip_vertical", 1)])
def test_a_flip_turns_the_axis_that_its_name_says(name: str, axis: int) -> None:
    transforms = augmenter(Augmentation(**STILL, **{name: True}))
    results = [augment(transforms, _image(), (0, view)).numpy() for view in range(20)]
    flipped = np.flip(_image(), axis)
    kinds = {
        "same" if np.array_equal(item, _image()) else "flipped" if np.array_equal(item, flipped) else "other"
        for item in results
    }
    assert kinds == {"same", "flipped"}


def test_the_shift_is_a_share_of_the_size() -> None:
    transforms = augmenter(Augmentation(**(STILL | {"shift": 0.1})))
    rows = []
    for view in range(60):
        values = augment(transforms, _image(), (0, view)).numpy()[0]
        weight = values.sum()
        rows.append((values.sum(axis=1) @ np.arange(33)) / weight - 6.5)
    assert 1.5 < max(map(abs, rows)) <= 3.4
