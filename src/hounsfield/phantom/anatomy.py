"""A chest as a CT would see it without noise: body, lungs, heart, bones, vessels, table; and a nodule to be found.

Every patient differs in size, position, rotation, shape of the lungs and level of the slices. What is drawn here comes
from the generator that is passed and never from the label, so the same patient with and without a nodule is otherwise
the same, voxel for voxel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hounsfield.errors import UsageError
from hounsfield.phantom import organs, tubes
from hounsfield.phantom.grid import Array, Grid, over, soft


@dataclass(frozen=True)
class Nodule:
    """A soft-edged ball in a lung.

    Attributes
    ----------
    centre_mm:
        (x, y, z) in the patient's LPS coordinates.
    diameter_mm:
        Diameter at half height of the edge.
    hu:
        Value in the middle: about 40 for a solid nodule, lower for a subsolid one.
    """

    centre_mm: tuple[float, float, float]
    diameter_mm: float
    hu: float

    def radius_at(self, z: float) -> float:
        """Return the radius in mm of its cut at height `z`, 0 where it is not cut."""
        squared = (self.diameter_mm / 2) ** 2 - (z - self.centre_mm[2]) ** 2
        return float(np.sqrt(max(squared, 0.0)))


@dataclass(frozen=True)
class Chest:
    """A chest without nodule: `hu` (S, H, W) float32, and `lung` (S, H, W), mm to the lung's edge, negative inside."""

    grid: Grid
    hu: Array
    lung: Array


def chest(
    rng: np.random.Generator,
    grid: Grid,
    *,
    distractors: int = 3,
    distractor_mm: tuple[float, float] = (7.0, 13.0),
    granulomas: int = 1,
    prone: bool = False,
) -> Chest:
    """Draw one patient.

    Parameters
    ----------
    rng:
        All variety comes from it.
    grid:
        Where the slices lie; the body is drawn around the middle of the grid.
    distractors:
        Thick vessels that cross the slices: round like a nodule in each slice, but present in all of them.
    distractor_mm:
        The range of their diameters.
    granulomas:
        Small dense dots (3 to 5 mm), below the size of a nodule.
    prone:
        The patient lies on the front: the table is anterior, and the anterior lung is the dense one.
    """
    build = organs.Build.draw(rng, grid)
    frame = organs.frame(grid, build)
    lung = organs.lung_distance(frame, build, 2.0 * grid.noise(rng, 14.0))
    hu = organs.body(rng, grid, frame, build)
    hu = over(hu, organs.lung_tissue(rng, grid, frame, build, prone), soft(lung, 2.5))
    hu = organs.mediastinum(hu, frame, build)
    hu = organs.bones(hu, frame, build)

    middle = np.asarray(grid.centre)
    trees = [tubes.tree(rng, middle + build.hilum(side), side) for side in (-1, 1)]
    points = middle_points(rng, grid, lung, distractors, depth_mm=distractor_mm[1] * 0.7)
    reach = grid.shape[0] * grid.spacing[0]
    vessels = np.maximum(
        tubes.paint(grid, tubes.Tubes.join(trees)),
        tubes.paint(grid, tubes.crossing(rng, points, distractor_mm, reach), edge_mm=2.5),
    )
    inside = soft(lung, 2.0)
    hu = over(hu, rng.uniform(25, 55), vessels * inside)
    dots = middle_points(rng, grid, lung, granulomas, depth_mm=5.0)
    speck = tubes.Tubes(dots, dots + 0.5, rng.uniform(1.5, 2.5, len(dots)))
    hu = over(hu, rng.uniform(100, 350), tubes.paint(grid, speck) * inside)
    hu = organs.table(hu, grid, build, prone)
    return Chest(grid, hu.astype(np.float32), lung.astype(np.float32))


def middle_points(rng: np.random.Generator, grid: Grid, lung: Array, count: int, depth_mm: float) -> Array:
    """Return `count` random points (count, 3), mm, at least `depth_mm` inside a lung; none when there is no room."""
    room = np.flatnonzero(lung < -depth_mm)
    if not len(room) or count < 1:
        return np.zeros((0, 3))
    voxels = np.stack(np.unravel_index(rng.choice(room, count), grid.shape), axis=1)
    return grid.point(voxels + rng.uniform(-0.5, 0.5, voxels.shape))


def place_nodule(
    rng: np.random.Generator,
    chest: Chest,
    diameter_mm: tuple[float, float] = (12.0, 22.0),
    hu: tuple[float, float] = (-100.0, 60.0),
) -> Nodule:
    """Choose a nodule at a random place of a lung: cut by several slices, and away from the middle of the image.

    Raises
    ------
    UsageError
        If no place of the lungs holds a nodule of the smallest diameter: the slices show too little lung.
    """
    grid = chest.grid
    x, y, z = grid.axes()
    mx, my, mz = grid.centre
    diameter, value = float(rng.uniform(*diameter_mm)), float(rng.uniform(*hu))
    # A heat map that always peaks in the middle must not hit a nodule by luck.
    away = np.hypot(x - mx, y - my) > 0.1 * grid.shape[2] * grid.spacing[2] + diameter / 2
    half = (grid.shape[0] - 1) / 2 * grid.spacing[0]
    for shrink in (1.0, 0.85, 0.7):
        diameter = max(diameter * shrink, diameter_mm[0])
        central = np.abs(z - mz) <= max(half - 0.3 * diameter, 0.5 * grid.spacing[0])
        room = np.flatnonzero((chest.lung < -0.5 * diameter) & away & central)
        if len(room):
            voxel = np.asarray(np.unravel_index(rng.choice(room), grid.shape))
            centre = grid.point(voxel + rng.uniform(-0.4, 0.4, 3))
            return Nodule(tuple(round(float(c), 3) for c in centre), round(diameter, 3), round(value, 1))  # type: ignore[arg-type]
    raise UsageError(
        f"no place in the lungs holds a nodule of {diameter_mm[0]:g} mm",
        fix="Use a smaller diameter, or more slices.",
    )


def add_nodule(hu: Array, grid: Grid, nodule: Nodule, edge_mm: float = 3.0) -> Array:
    """Return a copy of `hu` (S, H, W) with the nodule in it; each slice averages the nodule over its thickness."""
    x, y, z = grid.axes()
    cx, cy, cz = nodule.centre_mm
    squared = (x - cx) ** 2 + (y - cy) ** 2
    steps = (np.arange(5) - 2) / 5 * grid.spacing[0]
    layers = [soft(np.sqrt(squared + (z + dz - cz) ** 2) - nodule.diameter_mm / 2, edge_mm) for dz in steps]
    mask = np.mean(layers, axis=0)
    # Never darker than what is there: a subsolid nodule does not erase a vessel.
    return np.where(nodule.hu > hu, over(hu, nodule.hu, mask), hu).astype(np.float32)
