"""What a picture looks like, in few numbers: a small grey thumbnail, and a descriptor that turning and mirroring leave alone.

Worker processes import this: numpy alone.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

SIDE = 64
# A longer side is sampled at so many places, eight for each pixel of the thumbnail: to average all of 3000 x 2500 would
# take ten times as long, and shows no difference in 8 bits but in noise.
_SAMPLES = 8 * SIDE
# Percent of a thumbnail's pixels that may be darker than black, and brighter than white.
_CLIPPED = 0.5


def thumbnail(frame: np.ndarray) -> np.ndarray:
    """Return uint8 (SIDE, SIDE): grey, squeezed into a square, its own darkest and brightest values at 0 and 255.

    A turned or mirrored frame gives the turned or mirrored thumbnail, up to one grey level.

    Raises
    ------
    ValueError
        If the frame is neither (height, width) nor (height, width, 3), or empty.
    """
    if frame.size == 0 or frame.ndim not in (2, 3) or (frame.ndim == 3 and frame.shape[2] != 3):
        raise ValueError(f"a frame is (height, width) or (height, width, 3), not {frame.shape}")
    rows, columns = _places(frame.shape[0]), _places(frame.shape[1])
    plane = frame if rows is None else frame[rows]
    plane = plane if columns is None else plane[:, columns]
    plane = np.asarray(plane, dtype=np.float32)
    if plane.ndim == 3:
        plane = plane.mean(axis=2, dtype=np.float32)
    if not np.isfinite(plane.sum(dtype=np.float64)):
        finite = np.isfinite(plane)
        plane = np.where(finite, plane, plane[finite].min() if finite.any() else np.float32(0))
    small = _operator(plane.shape[0]) @ plane @ _operator(plane.shape[1]).T
    low, high = np.percentile(small, (_CLIPPED, 100 - _CLIPPED))
    if high - low <= 1e-5 * max(abs(low), abs(high)):
        # What a few bright pixels are to a black picture, percentiles do not see.
        low, high = float(small.min()), float(small.max())
        if high - low <= 1e-5 * max(abs(low), abs(high)):
            return np.zeros((SIDE, SIDE), dtype=np.uint8)
    grey = (small - np.float32(low)) * np.float32(255.0 / (high - low))
    return np.rint(np.clip(grey, 0.0, 255.0)).astype(np.uint8)


@lru_cache(maxsize=64)
def _places(length: int) -> np.ndarray | None:
    """Choose places along a long side, the same from either end; None where all are taken."""
    if length <= _SAMPLES:
        return None
    half = ((np.arange(_SAMPLES // 2) + 0.5) * (length / _SAMPLES)).astype(np.intp)
    return np.concatenate([half, length - 1 - half[::-1]])


@lru_cache(maxsize=256)
def _operator(length: int) -> np.ndarray:
    """Return the (SIDE, length) matrix of a triangle-filter resize, antialiased; its rows sum to 1."""
    scale = length / SIDE
    support = max(scale, 1.0)
    centres = (np.arange(SIDE, dtype=np.float64)[:, None] + 0.5) * scale
    places = np.arange(length, dtype=np.float64)[None, :] + 0.5
    weights = np.maximum(0.0, 1.0 - np.abs(places - centres) / support)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.asarray((weights + weights[::-1, ::-1]) / 2, dtype=np.float32)


# The highest frequency that counts in a descriptor, in half waves across a thumbnail, and the lowest.
_HIGHEST, _LOWEST = 12, 1.5
# Over how many pixels of a thumbnail the local mean and contrast are taken, and how much of a thumbnail's own contrast is
# added to the local one, so that the noise of an empty background does not become structure.
_LOCAL, _FLOOR = 5.0, 0.3


def descriptor(thumbnails: np.ndarray) -> np.ndarray:
    """Return float32 (D,) of unit length for the k = 1, 2 or 3 thumbnails (k, SIDE, SIDE) of one case.

    It is the same, up to rounding, for a picture and its seven turned and mirrored versions, and for frames in reversed
    order. Where nothing is to be seen in any frame, it is zero.

    The low block of the cosine transform (DCT-II) of a picture is the usual perceptual hash (Zauner, Implementation and
    Benchmarking of Perceptual Image Hash Functions, 2010). A mirror changes only signs in it, and a transposition
    exchanges C(u,v) with C(v,u): so |C(u,v)| + |C(v,u)| and ||C(u,v)| - |C(v,u)|| are kept as real numbers, of the
    picture after local mean and contrast are taken out, which leaves little of brightness, window or gamma.

    Raises
    ------
    ValueError
        If the shape is another.
    """
    if thumbnails.ndim != 3:
        raise ValueError(f"thumbnails of a case are (1 to 3, {SIDE}, {SIDE}), not {thumbnails.shape}")
    return np.asarray(descriptors(thumbnails[None])[0])


def descriptors(thumbnails: np.ndarray) -> np.ndarray:
    """Return float32 (m, D), the descriptors of m cases of k thumbnails each, (m, k, SIDE, SIDE)."""
    cases, frames = thumbnails.shape[:2]
    if thumbnails.shape[2:] != (SIDE, SIDE) or not 1 <= frames <= 3:
        raise ValueError(f"thumbnails of cases are (cases, 1 to 3, {SIDE}, {SIDE}), not {thumbnails.shape}")
    each = _described(flattened(thumbnails.reshape(-1, SIDE, SIDE))).reshape(cases, frames, -1)
    if frames == 1:
        return np.asarray(each[:, 0])
    first, last, middle = each[:, 0], each[:, -1], each[:, 1:-1].reshape(cases, -1)
    return _unit(np.concatenate([first + last, np.abs(first - last), middle * np.float32(np.sqrt(2))], axis=1))


def flattened(thumbnails: np.ndarray) -> np.ndarray:
    """Return float32 thumbnails (…, SIDE, SIDE) with local mean 0 and local contrast near 1; zero where all is equal."""
    pictures = thumbnails.astype(np.float32) / 255
    pictures -= blurred(pictures, _LOCAL)
    local = blurred(pictures * pictures, _LOCAL)
    overall = np.sqrt(np.mean(pictures * pictures, axis=(-2, -1), keepdims=True))
    return pictures / (np.sqrt(np.maximum(local, 0)) + _FLOOR * overall + 1e-4)


def _described(pictures: np.ndarray) -> np.ndarray:
    """Return float32 (m, D), one descriptor of unit length for each of the flattened pictures (m, SIDE, SIDE)."""
    waves, (high, wide), scale = _waves(), _orders(), np.float32(np.sqrt(0.5))
    block = np.abs(waves @ pictures @ waves.T)
    one, other = block[:, high, wide], block[:, wide, high]
    mixed = high != wide
    sums = (one + other) * np.where(mixed, scale, np.float32(0.5))
    return _unit(np.concatenate([sums, np.abs(one - other)[:, mixed] * scale], axis=1))


def blurred(pictures: np.ndarray, sigma: float) -> np.ndarray:
    """Blur square pictures (…, side, side) by a Gaussian; the border is mirrored."""
    blur = _blur(pictures.shape[-1], sigma)
    return blur @ pictures @ blur.T


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    # A picture has a length of about 30; what rounding leaves of a constant one is no picture.
    return np.where(length > 0.1, vectors / np.maximum(length, 0.1), 0).astype(np.float32)


@lru_cache(maxsize=1)
def _waves() -> np.ndarray:
    """Return the first rows of the DCT-II matrix, orthonormal but for the first: waves along one axis alone, in which chest
    X-rays of different patients are most alike, count half.
    """
    order, place = np.arange(_HIGHEST)[:, None], np.arange(SIDE)[None, :]
    waves = np.sqrt(2 / SIDE) * np.cos(np.pi * order * (place + 0.5) / SIDE)
    waves[0] *= 0.5
    return np.asarray(waves, dtype=np.float32)


@lru_cache(maxsize=1)
def _orders() -> tuple[np.ndarray, np.ndarray]:
    """Return (u, v) of the orders that count, u <= v."""
    high, wide = np.triu_indices(_HIGHEST)
    radius = np.hypot(high, wide)
    counts = (radius >= _LOWEST) & (radius < _HIGHEST)
    return high[counts], wide[counts]


@lru_cache(maxsize=16)
def _blur(side: int, sigma: float) -> np.ndarray:
    """Return the (side, side) matrix of a Gaussian blur; what would lie beyond the border is mirrored back."""
    place = np.arange(side)
    weights = np.zeros((side, side))
    for image in (place, -1 - place, 2 * side - 1 - place):
        weights += np.exp(-0.5 * ((place[:, None] - image[None, :]) / sigma) ** 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)
