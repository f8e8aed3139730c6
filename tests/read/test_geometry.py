"""Where frames lie: the turn to the display convention changes no pixel's place in the patient."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hounsfield.read.geometry import STRAIGHT, Plane, affine_of, single_step, turn_of

AXES = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "H": (0, 0, 1), "F": (0, 0, -1)}


def _plane(across: str, down: str) -> Plane:
    orientation = tuple(map(float, (*AXES[across], *AXES[down])))
    return Plane((0.5, 0.8), orientation, (-30.0, 12.0, 250.0), 3.0)


def _place(plane: Plane, column: float, row: float) -> np.ndarray:
    step = single_step(plane)
    affine = affine_of(plane.spacing, plane.orientation, plane.position, step)
    return affine[:3] @ [column, row, 0, 1]


@pytest.mark.parametrize("across", "LRPAHF")
@pytest.mark.parametrize("down", "LRPAHF")
def test_every_orthogonal_plane_is_shown_in_its_convention(across, down) -> None:
    if {across, down} & {"L", "R"} == {across, down} or {across, down} <= set("PA") or {across, down} <= set("HF"):
        return
    plane = _plane(across, down)
    turn = turn_of(plane.orientation)
    turned = turn.plane(plane, 4, 6)
    shown = tuple(
        "".join(name for name, axis in AXES.items() if np.allclose(axis, part))
        for part in np.split(np.array(turned.orientation), 2)
    )
    assert shown in {("L", "P"), ("L", "F"), ("P", "F")}
    numbered = np.arange(24.0).reshape(1, 4, 6)
    pixels = turn.pixels(numbered)[0]
    assert pixels.shape == turn.size(4, 6)
    for row in range(pixels.shape[0]):
        for column in range(pixels.shape[1]):
            before = int(pixels[row, column])
            assert np.allclose(_place(turned, column, row), _place(plane, before % 6, before // 6))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_oblique_planes_keep_every_pixel_where_it_is(seed) -> None:
    rng = np.random.default_rng(seed)
    across, down = np.linalg.qr(rng.normal(size=(3, 3)))[0][:2]
    plane = Plane((0.5, 0.8), (*across.tolist(), *down.tolist()), tuple(rng.uniform(-200, 200, 3).tolist()), 3.0)
    turn = turn_of(plane.orientation)
    turned = turn.plane(plane, 3, 5)
    pixels = turn.pixels(np.arange(15.0).reshape(1, 3, 5))[0]
    corners = [(0, 0), (0, pixels.shape[1] - 1), (pixels.shape[0] - 1, 0)]
    for row, column in corners:
        before = int(pixels[row, column])
        assert np.allclose(_place(turned, column, row), _place(plane, before % 5, before // 5))
    assert turn_of(turned.orientation) == STRAIGHT  # turning once is enough
    assert (
        np.linalg.det(affine_of(turned.spacing, turned.orientation, turned.position, single_step(turned))[:3, :3]) > 0
    )


def test_colour_pictures_and_stacks_turn_too() -> None:
    turn = turn_of((-1.0, 0.0, 0.0, 0.0, -1.0, 0.0))  # prone: upside down, not mirrored
    assert np.array_equal(turn.pixels(np.arange(12).reshape(1, 2, 2, 3))[0, 0, 0], [9, 10, 11])
    assert turn_of(None) == STRAIGHT


def test_without_spacing_a_flipped_picture_has_no_place() -> None:
    plane = Plane(None, (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0), (0.0, 0.0, 0.0), None)
    assert turn_of(plane.orientation).plane(plane, 4, 4).position is None
    assert affine_of(None, plane.orientation, (0, 0, 0), (0, 0, 1)) is None
