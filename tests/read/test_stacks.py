"""Frames → stacks: order, steps, and each way in which a series is no volume."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from highdicom.spatial import get_volume_positions
from hypothesis import given, settings
from hypothesis import strategies as st

from hounsfield.read.stacks import SPLITTERS, Place, stacks_of

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


def _places(count: int, step=(0.0, 0.0, 2.5), start=(-100.0, -90.0, 7.0), orientation=AXIAL, **more) -> list[Place]:
    positions = np.array(start) + np.arange(count)[:, None] * np.array(step)
    return [
        Place(64, 80, (0.7, 0.7), orientation, tuple(position), number, **more)
        for number, position in enumerate(positions.tolist(), start=1)
    ]


def _keyed(places: list[Place], **key: str) -> list[Place]:
    return [
        replace(place, key=(*place.key, *((name.replace("_", " "), value) for name, value in key.items())))
        for place in places
    ]


@st.composite
def volumes(draw) -> tuple[list[Place], np.ndarray]:
    """Places of an even volume in any orientation, positions rounded as in files, in any order."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    across, down = turn[0], turn[1]
    count, spacing = draw(st.integers(2, 40)), draw(st.floats(0.6, 12.0))
    places = _places(
        count,
        tuple(np.cross(across, down) * spacing),
        tuple(rng.uniform(-300, 300, 3)),
        (*across.tolist(), *down.tolist()),
    )
    digits = draw(st.sampled_from([2, 3, 6]))
    places = [replace(place, position=tuple(round(value, digits) for value in place.position)) for place in places]
    return places, rng.permutation(count)


@settings(max_examples=150, deadline=None)
@given(volumes())
def test_any_order_gives_the_order_along_the_normal(drawn) -> None:
    places, shuffle = drawn
    (stack,) = stacks_of([places[index] for index in shuffle])
    assert stack.trouble is None
    assert [int(shuffle[member]) for member in stack.members] == list(range(len(places)))
    step = np.array(stack.step)
    positions = np.array([place.position for place in places])
    assert np.allclose(np.array(stack.origin) + np.arange(len(places))[:, None] * step, positions, atol=0.03)
    assert not stack.notes


@settings(max_examples=100, deadline=None)
@given(volumes(), st.integers(1, 38))
def test_a_missing_slice_is_found(drawn, gone) -> None:
    places, shuffle = drawn
    if not 0 < gone < len(places) - 1 or len(places) < 4:
        return
    kept = [places[index] for index in shuffle if index != gone]
    (stack,) = stacks_of(kept)
    assert stack.trouble is not None
    assert stack.trouble.startswith("1 slice(s) are missing")
    assert sorted(stack.members) == list(range(len(kept)))  # put aside together, none lost


@settings(max_examples=60, deadline=None)
@given(volumes(), st.booleans())
def test_even_stacks_are_those_that_highdicom_finds(drawn, gap) -> None:
    places, _ = drawn
    kept = places[:1] + places[2:] if gap and len(places) > 4 else places
    spacing, _ = get_volume_positions(
        [list(place.position) for place in kept], list(places[0].orientation), rtol=0.02, sort=True
    )
    (stack,) = stacks_of(kept)
    if spacing is None:
        assert stack.trouble is not None
    elif stack.trouble is None:
        assert np.linalg.norm(stack.step) == pytest.approx(spacing, rel=0.02, abs=0.02)


def test_a_tilted_gantry_shears_and_is_said() -> None:
    orientation = (1.0, 0.0, 0.0, 0.0, np.cos(np.radians(18.5)), -np.sin(np.radians(18.5)))
    (stack,) = stacks_of(_places(20, (0.0, 0.0, 4.22), orientation=orientation))
    assert stack.trouble is None
    assert stack.step == pytest.approx((0, 0, 4.22))
    assert stack.notes == ("the gantry is tilted by 18.5°: the slices are sheared",)


def test_uneven_steps_are_trouble() -> None:
    places = _places(12)
    moved = [*places[:6], replace(places[6], position=(-100.0, -90.0, 7.0 + 6 * 2.5 + 0.9)), *places[7:]]
    (stack,) = stacks_of(moved)
    assert stack.trouble == "the slices are not evenly spaced: 1.6 to 3.4 mm apart"
    shifted = [
        replace(place, position=(-100.0 + 5.0 * (place.number == 4), -90.0, place.position[2])) for place in places
    ]
    (stack,) = stacks_of(shifted)
    assert stack.trouble.startswith("the slices are shifted against each other, by up to 4")


def test_thin_slices_below_thick_ones_are_two_even_stacks() -> None:
    thin = _keyed(_places(8, (0.0, 0.0, 3.0)), thickness="3.0")
    thick = _keyed(_places(6, (0.0, 0.0, 7.0), start=(-100.0, -90.0, 7.0 + 8 * 3.0)), thickness="7.0")
    found = stacks_of([*thick, *thin])
    assert [(len(stack.members), stack.step[2], stack.trouble) for stack in found] == [(8, 3.0, None), (6, 7.0, None)]
    # Alternating thin and thick slices lie inside each other: that is no pair of volumes.
    mixed = [replace(place, key=(("thickness", "37"[place.number % 2]),)) for place in _places(10, (0.0, 0.0, 3.0))]
    mixed = [place for place in mixed if place.number != 4]
    assert all(stack.trouble for stack in stacks_of(mixed))


@pytest.mark.parametrize("name", SPLITTERS)
def test_repeats_are_told_apart_by_the_header(name) -> None:
    numbers = iter(range(100, 200))
    places = [
        replace(place, number=next(numbers), key=((name, value),)) for value in ("10", "9") for place in _places(6)
    ]
    found = stacks_of(places[::-1])
    assert [stack.key for stack in found] == [((name, "9"),), ((name, "10"),)]  # by value, and not as text
    assert all(stack.trouble is None and len(stack.members) == 6 for stack in found)


def test_two_attributes_together_tell_apart() -> None:
    places = [
        place
        for echo in ("1", "2")
        for part in ("magnitude", "phase")
        for place in _keyed(_places(5), echo=echo, component=part)
    ]
    found = stacks_of(places)
    assert len(found) == 4
    assert all(stack.trouble is None for stack in found)


def test_repeats_in_rounds_or_runs_are_told_apart_by_number() -> None:
    first = _places(5)
    rounds = [replace(place, number=place.number + 5 * time) for time in range(3) for place in first]
    runs = [replace(place, number=3 * place.number + time) for place in first for time in range(3)]
    for places in (rounds, runs):
        found = stacks_of(places)
        assert [stack.key for stack in found] == [(("repeat", "1"),), (("repeat", "2"),), (("repeat", "3"),)]
        for time, stack in enumerate(found):
            assert [places[member].position for member in stack.members] == [place.position for place in first]
            assert {places[member].number for member in stack.members} <= {place.number for place in places}
            assert time == found.index(stack)


def test_repeats_that_nothing_explains_are_trouble_unless_the_pixels_are_equal() -> None:
    places = _places(6)
    twice = [*places, replace(places[2], number=99)]
    (stack,) = stacks_of(twice)
    assert stack.trouble == "1 of 7 slices lie where another one lies, and no header tells them apart"
    assert sorted(stack.members) == list(range(7))
    asked = []
    (stack,) = stacks_of(twice, lambda one, other: asked.append((one, other)) or True)
    assert asked == [(2, 6)]
    assert (stack.trouble, stack.left_out, len(stack.members)) == (None, (6,), 6)
    (stack,) = stacks_of(twice, lambda one, other: False)
    assert stack.trouble is not None


def test_what_differs_in_shape_is_another_stack() -> None:
    slices = _places(8)
    odd = [
        replace(slices[0], rows=512),
        replace(slices[1], spacing=(1.4, 1.4)),
        replace(slices[2], orientation=SAGITTAL),
        replace(slices[3], key=(("scout", "yes"),)),
        replace(slices[4], orientation=None),
    ]
    found = stacks_of([*slices, *odd])
    assert sorted(len(stack.members) for stack in found) == [1, 1, 1, 1, 1, 8]
    assert sorted(member for stack in found for member in stack.members) == list(range(13))


def test_frames_without_a_place_stay_in_the_order_of_their_numbers() -> None:
    places = [replace(place, orientation=None, position=None, number=10 - place.number) for place in _places(5)]
    (stack,) = stacks_of(places)
    assert stack.members == (4, 3, 2, 1, 0)
    assert (stack.step, stack.trouble) == (None, None)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2), st.booleans()), max_size=12))
def test_no_frame_is_lost_or_doubled_whatever_comes(drawn) -> None:
    places = [
        Place(
            8,
            8 + wide,
            (1.0, 1.0),
            AXIAL if placed else None,
            (0.0, 0.0, float(height)),
            height,
            (("echo", str(echo)),),
        )
        for height, echo, wide, placed in drawn
    ]
    found = stacks_of(places, lambda one, other: (one + other) % 2 == 0)
    assert sorted(item for stack in found for item in (*stack.members, *stack.left_out)) == list(range(len(places)))
