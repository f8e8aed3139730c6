"""The parts of the chest, each a soft-edged shape in a frame that turns with the patient (mm).

In the frame, u runs to the patient's left, v to the back and w to the head; w = 0 lies near the carina. The values in
HU are those that textbooks of CT give for these tissues: lung -850, fat -100, muscle and blood 40, bone 300 to 700.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hounsfield.phantom.grid import Array, Grid, over, radial, soft

EDGE = 2.5
AIR, FAT, MUSCLE, BLOOD, MARROW, CORTEX = -1000.0, -100.0, 42.0, 45.0, 220.0, 620.0


@dataclass(frozen=True)
class Build:
    """What differs from patient to patient, in mm and radians."""

    half_width: float
    half_depth: float
    fat: float
    wall: float
    level: float
    rotation: float
    shift: tuple[float, float]
    heart: float
    column: float
    rib_phase: float
    rib_pitch: float
    dome: float
    lung_hu: float
    organ_scale: float

    @staticmethod
    def draw(rng: np.random.Generator, grid: Grid) -> Build:
        """Draw a patient; body sizes follow the field of view, so that the body always fits in the image."""
        field = min(grid.shape[1] * grid.spacing[1], grid.shape[2] * grid.spacing[2])
        scale = min(1.0, field / 320) * float(np.clip(rng.normal(1.0, 0.045), 0.9, 1.06))
        return Build(
            half_width=142 * scale * rng.uniform(0.96, 1.03),
            half_depth=104 * scale * rng.uniform(0.92, 1.08),
            fat=rng.uniform(7, 18),
            wall=rng.uniform(15, 20),
            level=rng.uniform(-32, 38),
            rotation=np.deg2rad(np.clip(rng.normal(0, 3.0), -7, 7)),
            shift=(float(np.clip(rng.normal(0, 4), -8, 8)), float(np.clip(rng.normal(-6, 4), -14, 4))),
            heart=rng.uniform(0.88, 1.15),
            column=rng.uniform(21, 30),
            rib_phase=rng.uniform(0, 1),
            rib_pitch=rng.uniform(25, 31),
            dome=rng.uniform(-65, -42),
            lung_hu=rng.uniform(-880, -825),
            organ_scale=scale,
        )

    def hilum(self, side: int) -> Array:
        """Return where the vessels of a lung begin, relative to the middle of the grid (x, y, z)."""
        return np.array([side * 36 * self.organ_scale + self.shift[0], 4 + self.shift[1], -5 - self.level])

    @property
    def cavity(self) -> tuple[float, float]:
        """Semi-axes of the inner side of the ribs."""
        return self.half_width - self.fat - self.wall - 4, self.half_depth - self.fat - self.wall + 1

    @property
    def spine_v(self) -> float:
        """Where the middle of the vertebral body lies, from front to back."""
        return self.cavity[1] - 16


@dataclass(frozen=True)
class Frame:
    """Coordinates of the voxels in the patient's frame: `u` and `v` (1, H, W), `w` (S, 1, 1)."""

    u: Array
    v: Array
    w: Array


def frame(grid: Grid, build: Build) -> Frame:
    """Return the frame that turns with the patient."""
    x, y, z = grid.axes()
    mx, my, mz = grid.centre
    x, y = x - mx - build.shift[0], y - my - build.shift[1]
    c, s = np.float32(np.cos(build.rotation)), np.float32(np.sin(build.rotation))
    return Frame(c * x + s * y, c * y - s * x, z - np.float32(mz) + np.float32(build.level))


def _round(f: Frame, u: Array | float, v: float, a: float, b: float | None = None, scale: Array | float = 1.0) -> Array:
    return radial(f.u - u, f.v - v, a, a if b is None else b, scale=scale)


def _cap(w: Array, middle: float, half: float) -> Array:
    """Return how far an ellipsoid of half height `half` has narrowed at height `w` (1 in its middle, 0 beyond it)."""
    return np.sqrt(np.clip(1 - ((w - middle) / half) ** 2, 0, None))


def _taper(f: Frame) -> Array:
    """The chest narrows towards the neck."""
    return 1 - 0.0011 * np.clip(f.w, -40, None) - 0.00002 * np.clip(f.w - 20, 0, None) ** 2


def _heart(f: Frame, build: Build) -> Array:
    cap, k = _cap(f.w, -58, 68), build.heart * build.organ_scale
    return _round(f, 17.0 * k, -build.cavity[1] * 0.30, 56 * k, 43 * k, cap)


def _liver(f: Frame, build: Build) -> Array:
    cap = _cap(f.w, build.dome - 80, 80)
    return _round(f, -build.cavity[0] * 0.52, 2.0, build.cavity[0] * 0.5, build.cavity[1] * 0.82, cap)


def lung_distance(f: Frame, build: Build, wobble: Array) -> Array:
    """Return mm to the edge of the lungs (S, H, W), negative inside: the chest's cavity less all that lies in it."""
    a, b = build.cavity
    taper = _taper(f)
    cavity = radial(f.u, f.v, a, b, 2.25, taper) + 2
    k = build.organ_scale
    column = radial(f.u, f.v + 8, build.column * k, b * 1.25, 3.0)
    front = _round(f, 0.0, -b, build.column * 1.5 * k, b * 0.4)  # the lungs part in front of the heart
    spine = _round(f, 4.0, build.spine_v, 25 * k, 22 * k)
    aorta = _round(f, 21 * k, build.spine_v - 12, 15 * k)
    hila_cap = _cap(f.w, -6, 32)
    hila = np.minimum(_round(f, 32 * k, 4.0, 15 * k, None, hila_cap), _round(f, -32 * k, 4.0, 15 * k, None, hila_cap))
    solid = np.minimum.reduce([np.broadcast_to(d, wobble.shape) for d in (column, front, spine, aorta, hila)])
    solid = np.minimum(solid, np.minimum(_heart(f, build), _liver(f, build)))
    return np.maximum(cavity, -solid) + wobble


def body(rng: np.random.Generator, grid: Grid, f: Frame, build: Build) -> Array:
    """Return air, skin, fat and muscle (S, H, W), and inside the ribs the fat of the mediastinum and the liver."""
    fine, coarse = grid.noise(rng, 2.0), grid.noise(rng, 9.0)
    outline = radial(f.u, f.v, build.half_width, build.half_depth, 2.4) + 1.2 * coarse.mean(axis=0)
    hu = over(np.full(grid.shape, AIR, np.float32), FAT + 8 * fine, soft(outline, EDGE))
    hu = over(hu, 5.0, 0.8 * soft(np.abs(outline + 1.5) - 1.0, EDGE))
    flank = 1 + 0.5 * (np.abs(f.u) / build.half_width) ** 2  # fat is thicker at the flanks
    muscle = outline + build.fat * flank
    hu = over(hu, MUSCLE + 6 * fine - 110 * np.clip(coarse - 1.0, 0, 1), soft(muscle, EDGE))
    a, b = build.cavity
    inner = radial(f.u, f.v, a, b, 2.25, _taper(f))
    hu = over(hu, -45 + 35 * coarse + 8 * fine, soft(inner + 1, EDGE))
    return over(hu, 58 + 5 * fine, soft(_liver(f, build) + 1, EDGE))


def lung_tissue(rng: np.random.Generator, grid: Grid, f: Frame, build: Build, prone: bool) -> Array:
    """Return the lung's values (S, H, W): denser where the patient lies on it, mottled by small vessels and airways."""
    down = -f.v if prone else f.v
    gravity = 45 * np.clip(down / build.cavity[1], -1, 1)
    return build.lung_hu + gravity + 22 * grid.noise(rng, 18.0) + 28 * grid.noise(rng, 2.2)


def mediastinum(hu: Array, f: Frame, build: Build) -> Array:
    """Lay heart, great vessels, gullet and airways over `hu`."""
    k, spine = build.organ_scale, build.spine_v

    def fade(low: float, high: float) -> Array:
        return ((f.w > low) & (f.w < high)).astype(np.float32)

    hu = over(hu, 42.0, soft(_heart(f, build) + 4, EDGE))  # its rim stays fat
    for u, v, radius, low, high in (
        (21.0, spine - 12, 12.5, -200, 38),  # descending aorta
        (-7.0, -22.0, 15.5, -28, 38),  # ascending aorta
        (16.0, -24.0, 13.0, -28, 16),  # pulmonary trunk
        (-25.0, -12.0, 8.5, -30, 80),  # superior vena cava
        (7.0, -14.0, 6.0, 45, 200),  # the arteries above the arch
        (16.0, -2.0, 6.0, 45, 200),
    ):
        hu = over(hu, BLOOD, soft(_round(f, u * k, v * k if v < spine - 20 else v, radius * k), EDGE) * fade(low, high))
    arch = radial((f.u - 8 * k) * 0.8 + (f.v + 2) * 0.6, (f.v + 2) * 0.8 - (f.u - 8 * k) * 0.6, 19 * k, 38 * k)
    hu = over(hu, BLOOD, soft(arch, EDGE) * fade(32, 48))
    pulmonary = _cap(f.w, -8, 16)
    for side in (-1, 1):
        hu = over(hu, BLOOD, soft(_round(f, side * 30 * k, -2.0, 14 * k, 9 * k, pulmonary), EDGE))
    hu = over(hu, 30.0, soft(_round(f, 7.0 * k, 24.0 * k, 8 * k, 5.5 * k), EDGE))  # gullet
    for side in (-1, 1):  # above the carina both are the windpipe; below they part
        part = side * np.clip(-f.w * 0.85, 0, 30) * k
        airway = _round(f, part, 10.0 * k, 8.5 * k, None, np.where(f.w > 0, 1.0, 0.74) * (f.w > -34))
        hu = over(hu, 20.0, soft(airway - 1.8, EDGE))
        hu = over(hu, AIR + 15, soft(airway, EDGE))
    return hu


def bones(hu: Array, f: Frame, build: Build) -> Array:
    """Lay spine, ribs, breastbone and shoulder blades over `hu`."""
    k, spine, (a, b) = build.organ_scale, build.spine_v, build.cavity
    cage = radial(f.u, f.v, a + 5, b + 5, 2.25, _taper(f))
    angle = np.arctan2(np.abs(f.u), f.v)  # 0 at the spine, pi at the breastbone
    drop = 48 * (1 - np.cos(angle)) * k  # ribs slope down to the front
    pitch = build.rib_pitch * k
    along = np.mod(f.w + drop + build.rib_phase * pitch, pitch) - pitch / 2
    # The slope of the rib turns its height into a length in the slice.
    rib = radial(cage, along, 4.8, 6.0)
    present = soft((angle - 2.5) * 40, 8.0) * soft((0.28 - angle) * 40, 6.0)
    hu = over(hu, CORTEX, soft(rib, 3.0) * present)
    hu = over(hu, MARROW + 60, soft(rib + 3.0, 3.0) * present * 0.8)
    hu = over(hu, 95.0, soft(rib, 3.0) * soft((2.5 - angle) * 40, 8.0) * soft((angle - 2.95) * 40, 8.0))  # cartilage
    blade = np.abs(cage - 11 * k - 5 * np.sin(3 * angle)) - 2.4
    hu = over(hu, 430.0, soft(blade, EDGE) * soft((np.abs(angle - 1.0) - 0.38) * 60, 8.0) * (f.w > -25))
    process = np.mod(f.w / (24 * k) + build.rib_phase, 1)  # arches come and go with each vertebra
    wings = _round(f, 0.0, spine + 19 * k, 31 * k, 4.5 * k) * np.float32(1)
    hu = over(hu, 380.0, soft(wings, EDGE) * (process < 0.55))
    tail = _round(f, 0.0, spine + 33 * k, 3.6 * k, 9 * k)
    hu = over(hu, 420.0, soft(tail, EDGE) * (process > 0.2))
    for distance, rim, core in (
        (_round(f, 0.0, spine + 21 * k, 13 * k), 500.0, 25.0),
        (_round(f, 0.0, spine, 18 * k, 15 * k), 560.0, MARROW - 30),
        (_round(f, 0.0, -b - 7, 19 * k, 6.0), 430.0, 160.0),
    ):
        hu = over(hu, rim, soft(distance, EDGE))
        hu = over(hu, core, soft(distance + 3.2, EDGE))
    return hu


def table(hu: Array, grid: Grid, build: Build, prone: bool) -> Array:
    """Lay the table under the patient: a thin curved shell with foam inside. It does not turn with the patient."""
    x, y, _ = grid.axes()
    down = (y - grid.centre[1] - build.shift[1]) * (-1 if prone else 1)
    side = x - grid.centre[0]
    depth = down - (build.half_depth + 5) + (side / 210) ** 2 * 70
    ends = soft(np.abs(side) - 190, 4.0)
    hu = np.where(hu < -700, over(hu, -160.0, soft(np.abs(depth) - 1.6, 2.0) * ends), hu)
    return np.where(hu < -950, over(hu, -930.0, soft(np.abs(depth - 16) - 14, 2.0) * ends), hu)
