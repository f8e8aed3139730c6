"""One chest: the nodule is the only difference it makes, shapes and scanners keep their promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hounsfield.errors import UsageError
from hounsfield.phantom import CENTRE_A, CENTRE_B, Grid, Nodule, add_nodule, chest, place_nodule
from hounsfield.phantom.tubes import Tubes, paint


def test_a_nodule_changes_nothing_but_its_place() -> None:
    grid = CENTRE_A.grid(8, 64, (3.0, -170.0, -250.0))
    drawn = chest(np.random.default_rng(0), grid)
    again = chest(np.random.default_rng(0), grid)
    np.testing.assert_array_equal(drawn.hu, again.hu)
    nodule = place_nodule(np.random.default_rng(1), drawn, (18, 22), (20, 40))
    changed = np.argwhere(add_nodule(drawn.hu, grid, nodule) != drawn.hu)
    assert len(changed) > 10
    distance = np.linalg.norm(grid.point(changed) - nodule.centre_mm, axis=1)
    assert distance.max() < nodule.diameter_mm / 2 + 1.5 + grid.spacing[0] / 2 + 1e-3
    middle = tuple(np.rint(grid.index(nodule.centre_mm)).astype(int))
    assert drawn.lung[middle] < 0


def test_prone_patients_are_not_mirrored() -> None:
    grid = CENTRE_B.grid(8, 64)
    supine, prone = (chest(np.random.default_rng(5), grid, prone=p).hu for p in (False, True))
    bone = (supine > 300) & (prone > 300)
    assert bone.sum() > 0.95 * (supine > 300).sum(), "the bones stay where they are"
    half = grid.shape[1] // 2
    outside = (supine < -200) != (prone < -200)
    assert outside[:, half:].any() and outside[:, :half].any(), "the table changes its side"


def test_radius_at_and_no_room() -> None:
    nodule = Nodule((0.0, 0.0, 10.0), 10.0, 40.0)
    assert nodule.radius_at(10) == 5 and nodule.radius_at(13) == 4 and nodule.radius_at(16) == 0
    drawn = chest(np.random.default_rng(0), CENTRE_A.grid(4, 48))
    with pytest.raises(UsageError, match="no place"):
        place_nodule(np.random.default_rng(0), drawn, (300, 300))


def test_grid_index_and_point_are_inverse() -> None:
    grid = Grid((3, 5, 7), (2.0, 1.5, 0.5), (-10.0, 4.0, 100.0))
    index = np.random.default_rng(0).uniform(0, 3, (20, 3))
    np.testing.assert_allclose(grid.index(grid.point(index)), index, atol=1e-12)
    assert grid.point((1, 2, 4)).tolist() == [-8.0, 7.0, 102.0]


def test_a_painted_tube_has_its_volume() -> None:
    grid = Grid((40, 40, 40), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    tube = Tubes(np.array([[8.0, 20, 20]]), np.array([[32.0, 20, 20]]), np.array([5.0]))
    volume = np.pi * 25 * 24 + 4 / 3 * np.pi * 125
    assert paint(grid, tube, edge_mm=1.0).sum() == pytest.approx(volume, rel=0.02)


def test_scanner_stores_what_it_measured() -> None:
    hu = np.linspace(-1000, 1500, 400, dtype=np.float32).reshape(1, 20, 20)
    for scanner in (CENTRE_A, CENTRE_B, replace(CENTRE_A, signed=True, bits_stored=16, intercept=0.0)):
        back = scanner.store(hu) * scanner.slope + scanner.intercept
        assert np.abs(back - hu).max() <= scanner.slope / 2 + 1e-3
    noisy = replace(CENTRE_A, noise_hu=20.0).acquire(np.zeros((8, 64, 64), np.float32), np.random.default_rng(0))
    assert noisy.std() == pytest.approx(20, rel=0.02)
    with pytest.raises(UsageError, match="not axial"):
        replace(CENTRE_A, orientation=(0, 1, 0, 0, 0, -1))


def test_arranged_pixels_lie_at_the_image_position() -> None:
    for scanner in (CENTRE_A, CENTRE_B):
        grid = scanner.grid(3, 32, (5.0, -160.0, -300.0))
        x, y, _ = grid.axes()
        stored_x, stored_y = (scanner.arrange(np.broadcast_to(axis, grid.shape)) for axis in (x, y))
        position = scanner.image_position(grid, 1)
        assert (stored_x[1, 0, 0], stored_y[1, 0, 0], grid.point((1, 0, 0))[2]) == pytest.approx(position, abs=1e-3)
        step = stored_x[0, 0, 1] - stored_x[0, 0, 0]
        assert np.sign(step) == scanner.orientation[0]
