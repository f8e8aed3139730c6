"""Where voxels lie in the patient, and soft-edged shapes on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from hounsfield.errors import UsageError

Array = np.ndarray


@dataclass(frozen=True)
class Grid:
    """A regular grid along the patient's axes (LPS: x to the left, y to the back, z to the head; mm).

    Attributes
    ----------
    shape:
        (slices, rows, columns); rows run along +y, columns along +x, slices along +z.
    spacing:
        (slices, rows, columns) in mm.
    origin:
        (x, y, z) of the centre of the first voxel, mm.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]

    def __post_init__(self) -> None:
        if min(self.shape) < 1 or min(self.spacing) <= 0:
            raise UsageError(f"a grid needs positive sizes and spacings, not {self.shape} and {self.spacing}")

    @property
    def centre(self) -> tuple[float, float, float]:
        """(x, y, z) of the middle of the grid, mm."""
        return tuple(  # type: ignore[return-value]
            o + (n - 1) / 2 * s for o, n, s in zip(self.origin, self.shape[::-1], self.spacing[::-1], strict=True)
        )

    def axes(self) -> tuple[Array, Array, Array]:
        """Return x (1, 1, W), y (1, H, 1) and z (S, 1, 1) in mm, float32."""
        z, y, x = (
            (o + s * np.arange(n)).astype(np.float32)
            for o, s, n in zip(self.origin[::-1], self.spacing, self.shape, strict=True)
        )
        return x[None, None, :], y[None, :, None], z[:, None, None]

    def index(self, point_mm: ArrayLike) -> Array:
        """Return the fractional (slice, row, column) of points (..., 3) given as (x, y, z) in mm."""
        xyz = (np.asarray(point_mm, float) - self.origin) / np.asarray(self.spacing[::-1])
        return xyz[..., ::-1]

    def point(self, index: ArrayLike) -> Array:
        """Return (x, y, z) in mm of indices (..., 3) given as (slice, row, column)."""
        return np.asarray(index, float)[..., ::-1] * np.asarray(self.spacing[::-1]) + self.origin

    def noise(self, rng: np.random.Generator, scale_mm: float) -> Array:
        """Return smooth noise (S, H, W), float32, mean 0 and deviation 1, with details of about `scale_mm`."""
        # Coarse noise is filtered on a coarse grid: the same look for a tenth of the time.
        step = max(1, int(scale_mm / 2 / self.spacing[1]))
        rows, columns = -(-self.shape[1] // step) + 2, -(-self.shape[2] // step) + 2
        white = rng.standard_normal((self.shape[0], rows, columns), dtype=np.float32)
        sigma = [scale_mm / self.spacing[0], scale_mm / self.spacing[1] / step, scale_mm / self.spacing[2] / step]
        smooth = ndimage.gaussian_filter(white, sigma, mode="wrap", truncate=3)
        for axis in (1, 2):
            smooth = _stretched(smooth, axis, self.shape[axis], step)
        return (smooth - smooth.mean()) / max(float(smooth.std()), 1e-6)


def _stretched(coarse: Array, axis: int, count: int, step: int) -> Array:
    """Return `count` values along `axis`, `step` for one coarse value, by linear interpolation."""
    if step == 1:
        return coarse.take(range(count), axis)
    left, share = np.divmod(np.arange(count), step)
    weight = (share / step).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(coarse.ndim)])
    return coarse.take(left, axis) * (1 - weight) + coarse.take(left + 1, axis) * weight


def radial(u: Array, v: Array, a: float, b: float, power: float = 2.0, scale: Array | float = 1.0) -> Array:
    """Return the distance (mm, negative inside) along the ray from the middle to the edge of a superellipse.

    `scale` multiplies both semi-axes `a` and `b`, and may differ from slice to slice (S, 1, 1); where it is 0 the shape
    is absent and the distance large.
    """
    p, q = np.abs(u) / np.float32(a), np.abs(v) / np.float32(b)
    ratio = np.hypot(p, q) if power == 2 else (p**power + q**power) ** np.float32(1 / power)
    radius = np.hypot(u, v)
    absent = np.where(np.asarray(scale) > 0, np.float32(0), np.float32(1e3))
    return radius - radius / np.maximum(ratio, np.float32(1e-2)) * np.asarray(scale, np.float32) + absent


def soft(distance: Array, edge_mm: float) -> Array:
    """Return the occupancy (0 to 1) of a shape from its signed distance: a ramp of `edge_mm` for the partial volume."""
    return np.clip(0.5 - distance / edge_mm, 0, 1)


def over(hu: Array, value: Array | float, mask: Array) -> Array:
    """Return `hu` with `value` laid over it where `mask` (0 to 1) covers it."""
    return hu + (value - hu) * mask
