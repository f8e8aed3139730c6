"""Thumbnails turn with their frames; descriptors do not change with them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from hounsfield.cohort.alike.likeness import SIDE, descriptor, descriptors, thumbnail

TURNS = {
    "mirrored": np.fliplr, "flipped": np.flipud, "quarter": np.rot90, "half": lambda x: np.rot90(x, 2),
    "three": lambda x: np.rot90(x, 3), "transposed": lambda x: np.swapaxes(x, 0, 1),
    "crosswise": lambda x: np.swapaxes(np.rot90(x, 2), 0, 1),
}  # fmt: skip


def picture(seed: int, shape: tuple[int, int] = (90, 120)) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(shape)
    smooth = sum(gaussian_filter(noise, sigma) * sigma**1.5 for sigma in (2, 5, 12))
    return np.asarray(smooth, dtype=np.float32)


def far(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(one - other))


@pytest.mark.parametrize("name", TURNS)
@pytest.mark.parametrize("shape", [(28, 28), (90, 121), (513, 700)])
def test_a_thumbnail_turns_with_its_frame(name: str, shape: tuple[int, int]) -> None:
    frame, turn = picture(1, shape), TURNS[name]
    turned, straight = thumbnail(np.ascontiguousarray(turn(frame))), thumbnail(frame)
    assert turned.dtype == np.uint8 and turned.shape == (SIDE, SIDE)
    assert np.abs(turned.astype(int) - turn(straight)).max() <= 1
    assert np.abs(turned.astype(int) - straight).max() > 50


@pytest.mark.parametrize("name", TURNS)
@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_descriptor_does_not_turn(name: str, frames: int) -> None:
    small = np.stack([thumbnail(picture(seed)) for seed in range(frames)])
    turned = np.stack([TURNS[name](one) for one in small])
    assert far(descriptor(turned), descriptor(small)) < 1e-5
    assert far(descriptor(turned[::-1]), descriptor(small)) < 1e-5
    assert np.linalg.norm(descriptor(small)) == pytest.approx(1, abs=1e-5)


def test_pictures_of_their_own_are_far_apart_and_changed_ones_near() -> None:
    frame = picture(1, (200, 260))
    grey = (frame - frame.min()) / np.ptp(frame)
    here = descriptor(thumbnail(frame)[None])
    assert far(descriptor(thumbnail(-3000 + 17 * frame)[None]), here) < 0.02
    assert far(descriptor(thumbnail(frame[::2, ::2])[None]), here) < 0.1
    assert far(descriptor(thumbnail(np.kron(frame, np.ones((2, 3), dtype=np.float32)))[None]), here) < 0.02
    assert far(descriptor(thumbnail(grey**1.5)[None]), here) < 0.3
    assert far(descriptor(thumbnail(picture(2, (200, 260)))[None]), here) > 0.5


def test_frames_in_another_order_than_reversed_are_another_volume() -> None:
    small = np.stack([thumbnail(picture(seed)) for seed in range(3)])
    assert far(descriptor(small[[1, 0, 2]]), descriptor(small)) > 0.3


def test_many_at_once_are_each_alone() -> None:
    small = np.stack([[thumbnail(picture(10 * case + frame)) for frame in range(3)] for case in range(4)])
    assert np.allclose(descriptors(small), [descriptor(case) for case in small], atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 77.0, -1024.0, 1e9])
def test_a_constant_frame_shows_nothing(value: float) -> None:
    frame = np.full((40, 50), value, dtype=np.float32)
    assert not thumbnail(frame).any()
    assert not descriptor(thumbnail(frame)[None]).any()
    assert not descriptor(np.full((1, SIDE, SIDE), 77, dtype=np.uint8)).any()


def test_odd_frames() -> None:
    frame = picture(1)
    colour = np.repeat(frame[..., None], 3, axis=2)
    assert np.abs(thumbnail(colour).astype(int) - thumbnail(frame)).max() <= 1
    frame[3, 4] = np.nan
    frame[5, 6] = np.inf
    assert thumbnail(frame).std() > 10
    point = np.zeros((64, 64), dtype=np.float32)
    point[20, 30] = 1
    assert thumbnail(point).argmax() == 20 * SIDE + 30
    assert thumbnail(np.ones((1, 1), dtype=np.float32)).shape == (SIDE, SIDE)


def test_what_is_no_frame_is_refused() -> None:
    for shape in ((0, 5), (5,), (5, 5, 4)):
        with pytest.raises(ValueError, match="a frame is"):
            thumbnail(np.zeros(shape, dtype=np.float32))
    for shape in ((SIDE, SIDE), (4, SIDE, SIDE), (1, 32, 32)):
        with pytest.raises(ValueError, match="thumbnails of"):
            descriptor(np.zeros(shape, dtype=np.uint8))
