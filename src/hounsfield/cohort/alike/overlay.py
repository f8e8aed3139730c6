"""Thumbnails laid on one another: the best of eight orientations, stretch and shift, and how well the fine structure agrees."""

from __future__ import annotations

import numpy as np

from hounsfield.cohort.alike.likeness import SIDE, blurred

_HALFWAY = 0.75  # and what they must in what is fine at half the size, aligned


def best_turn(
    small: np.ndarray, one: np.ndarray, other: np.ndarray, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (number of the symmetry, correlation in it) for each pair; 8 and more: with the frames reversed."""
    side = small.shape[-1]
    # Where one of them may be cropped, the first is, rather than that the second is made smaller.
    shrink = (1 / (1 + shift) - 1) * np.array([1, 0, 1, 0], dtype=np.float32)
    frames = small.shape[1]
    first = _standard(moved(small[one].reshape(-1, side, side), np.repeat(shrink, frames, axis=0)))
    first = first.reshape(len(one), -1)
    best, turn = np.full(len(one), -2.0), np.zeros(len(one), dtype=np.int64)
    for number in range(16 if frames > 1 else 8):
        version = _standard(turned(small, number))[other].reshape(len(one), -1)
        correlation = np.einsum("ij,ij->i", first, version) / np.maximum(
            np.sqrt((first**2).sum(axis=1) * (version**2).sum(axis=1)), 1e-6
        )
        better = correlation > best
        best[better], turn[better] = correlation[better], number
    return turn, best


def overlaid(first: np.ndarray, second: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (how well the fine structure agrees, whether borders differ) for pairs of (k, SIDE, SIDE) in one orientation.

    Of several frames the one that agrees least counts.
    """
    count, frames = first.shape[:2]
    first, second = first.reshape(-1, SIDE, SIDE), second.reshape(-1, SIDE, SIDE)
    shift, likeness = np.repeat(shift, frames, axis=0), np.zeros(count * frames, dtype=np.float32)
    one, other = smaller(first, SIDE // 2), smaller(second, SIDE // 2)
    shift = _aligned(blurred(one, 1.0), blurred(other, 1.0), shift, steps=3)
    halfway = _correlation(_fine(one, 1.5), _fine(moved(other, shift), 1.5), _inside(shift, SIDE // 2))
    left = np.flatnonzero(halfway >= _HALFWAY)
    if len(left):
        one, other = first[left], second[left]
        shift[left] = _aligned(one, other, shift[left], steps=3)
        one, other = _fine(one, 2.0), _fine(moved(other, shift[left]), 2.0)
        likeness[left] = _correlation(one, other, _inside(shift[left], SIDE))
    nothing = ~first.any(axis=(1, 2)) & ~second.any(axis=(1, 2))
    likeness[nothing] = 1.0
    borders = (np.abs(shift) > 0.02).any(axis=1) & ~nothing
    return likeness.reshape(count, frames).min(axis=1), borders.reshape(count, frames).any(axis=1)


def _aligned(first: np.ndarray, second: np.ndarray, shift: np.ndarray, steps: int) -> np.ndarray:
    """Stretch and shift the second along both axes until it lies on the first (Gauss-Newton; Lucas and Kanade 1981).

    `shift` has, for each pair, stretch - 1 and offset along rows, and along columns; the unit is half a side.
    """
    side = first.shape[-1]
    place = _grid(side)
    for _ in range(steps):
        laid, inside = moved(second, shift), _inside(shift, side)
        down, across = np.gradient(laid, axis=(1, 2))
        gain = (first * laid * inside).sum(axis=(1, 2)) / ((first**2 * inside).sum(axis=(1, 2)) + 1e-6)
        missing = ((first * gain[:, None, None] - laid) * inside).reshape(len(first), -1, 1)
        ways = np.stack([down * place[:, None], down, across * place, across], axis=1) * (inside * (side / 2))[:, None]
        ways = ways.reshape(len(first), 4, -1)
        normal = ways @ ways.swapaxes(1, 2)
        damping = 1e-3 * np.trace(normal, axis1=1, axis2=2) / 4 + 1e-3
        step = np.linalg.solve(normal + damping[:, None, None] * np.eye(4, dtype=np.float32), ways @ missing)[..., 0]
        shift = np.clip(shift + step, -0.16, 0.16).astype(np.float32)
    return shift


def moved(pictures: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Sample pictures (m, side, side) at places stretched and shifted along rows and columns, between pixels linearly."""
    side = pictures.shape[-1]
    rows, columns = (_weights(shift[:, axis], shift[:, axis + 1], side) for axis in (0, 2))
    return np.asarray(rows @ pictures @ columns.swapaxes(1, 2))


def _weights(stretch: np.ndarray, offset: np.ndarray, side: int) -> np.ndarray:
    places = np.clip(_places(stretch, offset, side), 0, side - 1)
    return np.maximum(0, 1 - np.abs(places[:, :, None] - np.arange(side, dtype=np.float32)))


def _places(stretch: np.ndarray, offset: np.ndarray, side: int) -> np.ndarray:
    return (_grid(side) * (1 + stretch[:, None]) + offset[:, None]) * (side / 2) + (side - 1) / 2


def _inside(shift: np.ndarray, side: int) -> np.ndarray:
    """Return where both pictures are, as float32 (m, side, side), without a margin in which a padded border would count."""
    rows, columns = (_places(shift[:, axis], shift[:, axis + 1], side) for axis in (0, 2))
    margin = side * 7 // 64
    middle = (np.arange(side) >= margin) & (np.arange(side) < side - margin)
    rows, columns = ((places >= 1) & (places <= side - 2) & middle for places in (rows, columns))
    return (rows[:, :, None] & columns[:, None, :]).astype(np.float32)


def _grid(side: int) -> np.ndarray:
    return (np.arange(side, dtype=np.float32) - (side - 1) / 2) / np.float32(side / 2)


def _correlation(first: np.ndarray, second: np.ndarray, inside: np.ndarray) -> np.ndarray:
    size = np.maximum(inside.sum(axis=(1, 2)), 1)
    first, second = (
        (pictures - ((pictures * inside).sum(axis=(1, 2)) / size)[:, None, None]) * inside
        for pictures in (first, second)
    )
    power = (first**2).sum(axis=(1, 2)) * (second**2).sum(axis=(1, 2))
    return np.asarray((first * second).sum(axis=(1, 2)) / np.sqrt(power + 1e-6))


def _fine(pictures: np.ndarray, sigma: float) -> np.ndarray:
    return pictures - blurred(pictures, sigma)


def _standard(pictures: np.ndarray) -> np.ndarray:
    return pictures - pictures.mean(axis=(-2, -1), keepdims=True)


def smaller(pictures: np.ndarray, side: int) -> np.ndarray:
    """Average blocks of pixels until pictures (…, n, n) are (…, side, side)."""
    times = pictures.shape[-1] // side
    return np.asarray(pictures.reshape(*pictures.shape[:-2], side, times, side, times).mean(axis=(-3, -1)))


def turned(pictures: np.ndarray, turn: int) -> np.ndarray:
    """Return pictures (…, frames, side, side) in one of the eight symmetries of the square; 8 more: frames reversed."""
    found = np.swapaxes(pictures, -1, -2) if turn & 4 else pictures
    found = found[..., ::-1] if turn & 1 else found
    found = found[..., ::-1, :] if turn & 2 else found
    return found[..., ::-1, :, :] if turn & 8 else found
