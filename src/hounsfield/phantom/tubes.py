"""Pulmonary vessels: branching trees, and thick vessels that cross the slices and look round in each of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hounsfield.phantom.grid import Array, Grid

PIECE_MM = 10.0  # a tube is painted in pieces of at most this length, so that all share one small box
BATCH = 128


@dataclass(frozen=True)
class Tubes:
    """N straight tubes with round ends: `start` and `end` (N, 3) as (x, y, z) in mm, `radius` (N,) in mm."""

    start: Array
    end: Array
    radius: Array

    @staticmethod
    def join(parts: list[Tubes]) -> Tubes:
        """Return all tubes of `parts` in one."""
        if not parts:
            return Tubes(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0))
        return Tubes(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("start", "end", "radius")))


def _turned(rng: np.random.Generator, direction: Array, spread: float) -> Array:
    """Return `direction` (N, 3) bent at random, with length 1."""
    bent = direction + spread * rng.standard_normal(direction.shape)
    return bent / np.linalg.norm(bent, axis=1, keepdims=True)


def tree(rng: np.random.Generator, root: Array, outward: float, branches: int = 14, levels: int = 4) -> Tubes:
    """Return a tree of vessels that starts at a hilum and forks at each level.

    Parameters
    ----------
    root:
        (x, y, z) of the hilum in mm.
    outward:
        +1 when the lung lies towards +x, -1 when towards -x.
    branches, levels:
        Vessels that leave the hilum, and how often each forks.
    """
    climb = 0.7 * np.where(np.arange(branches) % 2, 1.0, -1.0)  # half of them to the apex, half to the base
    direction = np.stack([np.full(branches, 0.6 * outward), np.zeros(branches), climb], axis=1)
    direction = _turned(rng, direction, 0.55)
    direction[:, 0] = outward * np.abs(direction[:, 0])  # the first vessels never cross the mediastinum
    start = np.tile(np.asarray(root, float), (branches, 1)) + rng.normal(0, (4, 5, 14), (branches, 3))
    radius, length = rng.uniform(2.8, 4.6, branches), rng.uniform(20, 34, branches)
    parts = []
    for _ in range(levels):
        end = start + direction * length[:, None]
        parts.append(Tubes(start, end, radius))
        start, direction = np.repeat(end, 2, axis=0), _turned(rng, np.repeat(direction, 2, axis=0), 0.42)
        radius = np.repeat(radius, 2) * rng.uniform(0.58, 0.85, 2 * len(radius))
        length = np.repeat(length, 2) * rng.uniform(0.65, 0.95, 2 * len(length))
    return Tubes.join(parts)


def crossing(rng: np.random.Generator, points: Array, diameter_mm: tuple[float, float], reach_mm: float) -> Tubes:
    """Return one vessel through each of `points` (N, 3), at most 35 degrees off the z axis, in two bent halves."""
    count = len(points)
    tilt, turn = rng.uniform(0.05, 0.6, count), rng.uniform(0, 2 * np.pi, count)
    up = np.stack([np.sin(tilt) * np.cos(turn), np.sin(tilt) * np.sin(turn), np.cos(tilt)], axis=1)
    radius = rng.uniform(*diameter_mm, count) / 2
    down = -_turned(rng, up, 0.15)
    return Tubes.join(
        [
            Tubes(points, points + up * reach_mm, radius * rng.uniform(0.75, 1.0, count)),
            Tubes(points, points + down * reach_mm, radius),
        ]
    )


def _pieces(tubes: Tubes, grid: Grid, margin: float) -> Tubes:
    """Cut tubes into short pieces and drop those that lie wholly outside the slices."""
    span = tubes.end - tubes.start
    count = np.maximum(1, np.ceil(np.linalg.norm(span, axis=1) / PIECE_MM)).astype(int)
    which = np.repeat(np.arange(len(count)), count)
    nth = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    step = span[which] / count[which, None]
    start = tubes.start[which] + step * nth[:, None]
    low, high = grid.point((0, 0, 0)) - margin, grid.point(np.asarray(grid.shape) - 1) + margin
    middle = start + step / 2
    near = np.all((middle > low) & (middle < high), axis=1)
    return Tubes(start[near], (start + step)[near], tubes.radius[which][near])


def paint(grid: Grid, tubes: Tubes, edge_mm: float = 2.0) -> Array:
    """Return the occupancy (0 to 1) of `tubes` on the grid: (S, H, W), float32.

    Tubes thinner than the edge fade instead of vanishing, as in a thick slice.
    """
    painted = np.zeros(int(np.prod(grid.shape)), np.float32)
    if not len(tubes.radius):
        return painted.reshape(grid.shape)
    reach = PIECE_MM / 2 + float(tubes.radius.max()) + edge_mm / 2
    pieces = _pieces(tubes, grid, reach)
    half = [int(np.ceil(reach / s)) for s in grid.spacing]
    box = [o.reshape(1, -1) for o in np.meshgrid(*(np.arange(-h, h + 1) for h in half), indexing="ij")]
    for first in range(0, len(pieces.radius), BATCH):
        part = slice(first, first + BATCH)
        start, end = grid.index(pieces.start[part]), grid.index(pieces.end[part])
        nearest = np.rint((start + end) / 2).astype(int)
        voxel = [nearest[:, i, None] + box[i] for i in range(3)]
        along = [((end - start)[:, i, None] * grid.spacing[i]).astype(np.float32) for i in range(3)]
        offset = [((voxel[i] - start[:, i, None]) * grid.spacing[i]).astype(np.float32) for i in range(3)]
        length = along[0] ** 2 + along[1] ** 2 + along[2] ** 2
        dot = offset[0] * along[0] + offset[1] * along[1] + offset[2] * along[2]
        share = np.clip(dot / np.maximum(length, 1e-6), 0, 1)
        gap = [o - share * t for o, t in zip(offset, along, strict=True)]
        distance = np.sqrt(gap[0] ** 2 + gap[1] ** 2 + gap[2] ** 2) - pieces.radius[part, None].astype(np.float32)
        keep = distance < edge_mm / 2
        for index, size in zip(voxel, grid.shape, strict=True):
            keep &= (index >= 0) & (index < size)
        where = np.ravel_multi_index(tuple(index[keep] for index in voxel), grid.shape)
        np.maximum.at(painted, where, np.clip(0.5 - distance[keep] / np.float32(edge_mm), 0, 1))
    return painted.reshape(grid.shape)
