"""From the file to the network and back: a map lies on the pixels of the file, and its peak in the patient, whatever was done on the way.

The map is the network's own input, so that its bright place is known: a square, or a block, in the file.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture
from scipy.spatial.transform import Rotation

from hounsfield.core.plan import Region
from hounsfield.explain import Attribution, peak_in_patient, peak_of
from hounsfield.explain.place import on_picture, strongest_slice
from hounsfield.prepare import (
    Place,
    Preparation,
    Seen,
    apply_stored,
    case_files,
    clean,
    conditioned_frames,
    seen,
)
from hounsfield.prepare.place import Axis, Cut
from hounsfield.read import read_image
from tests.prepare.making import mammogram
from tests.prepare.volumes import ORIGIN, affine_of, case, nifti, plan3d, recipe, slices

OBLIQUE = Rotation.from_euler("xyz", [17, -12, 23], degrees=True).as_matrix()
DIRECTIONS = {
    "axial": (1, 0, 0, 0, 1, 0),
    "from the feet, prone": (-1, 0, 0, 0, -1, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "oblique": tuple(float(value) for value in np.round(OBLIQUE[:, :2].T.ravel(), 6)),
}  # fmt: skip


def attribution(given: Seen, preparation: Preparation, volume: bool = False) -> Attribution:
    """What a method would give whose map is the brightness that the network was given."""
    stored = np.stack([apply_stored(preparation.recipe, frame) for frame in given.frames])
    raw = stored[:, stored.shape[1] // 2]
    chosen = strongest_slice(raw, preparation.recipe, given.places) if volume else int(raw.mean(axis=(1, 2)).argmax())
    values = on_picture(raw[chosen], preparation.recipe, given.places[chosen])
    return Attribution(values, float(raw[chosen].max()), chosen, len(raw), None, "yes", place=given.places[chosen])


def agrees(values: np.ndarray, wanted: np.ndarray, step: tuple[float, float]) -> None:
    """Half of the greatest value parts the square from the rest, but for what lies within half a network pixel of its edge."""
    wrong = (values > values.max() / 2) != wanted
    away = []
    for axis, size in enumerate(step):
        inside = np.flatnonzero(wanted.any(axis=1 - axis))
        place = np.nonzero(wrong)[axis]
        edges = np.abs(place[:, None] - np.array([inside[0] - 0.5, inside[-1] + 0.5])) / max(1.0, size)
        away.append(edges.min(axis=1))
    assert (np.minimum(*away) <= 0.5 + 1e-6).all(), np.argwhere(wrong)[:5]


@st.composite
def squares(
    draw: st.DrawFn,
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int, int, int], str, tuple[int, ...]]:
    """A picture, a network's input, a square (top, left, bottom, right), a region, and the room around the square in it."""
    size = draw(st.tuples(st.integers(17, 150), st.integers(17, 150)))
    network = draw(st.tuples(st.integers(16, 90), st.integers(16, 90)))
    # Four network pixels a side: what is smaller than the triangle of a resize never becomes as bright as it was.
    scale = max(1.0, size[0] / network[0], size[1] / network[1])
    least = int(np.ceil(4 * scale))
    if least > min(size):
        least = min(size)
    side = draw(st.integers(least, max(least, min(size) // 2)))
    top, left = (draw(st.integers(0, length - side)) for length in size)
    kind = draw(st.sampled_from(("none", "mask", "box", "centre", "foreground")))
    room = draw(st.tuples(*[st.integers(0, 30)] * 4))
    return size, network, (top, left, top + side, left + side), kind, room


def region_of(kind: str, square: tuple[int, ...], room: tuple[int, ...], folder: Path, size: tuple[int, int]) -> Any:
    """Return a region that holds the square with some room, and what the case says of it."""
    top, left, bottom, right = square
    rows = max(0, top - room[0]), min(size[0], bottom + room[1])
    columns = max(0, left - room[2]), min(size[1], right + room[3])
    corners = affine_of((1, 1, 1)) @ np.array([[columns[0], rows[0], 0, 1], [columns[1] - 1, rows[1] - 1, 0, 1]]).T
    if kind == "mask":
        mask = np.zeros((1, *size), dtype=np.int16)
        mask[0, slice(*rows), slice(*columns)] = 1
        return Region(kind="mask"), {"mask": (nifti(folder / "mask.nii", mask), None)}
    if kind == "box":
        return Region(kind="box"), {"interest": corners[:3].T.ravel().tolist()}
    if kind == "centre":
        centre = affine_of((1, 1, 1)) @ [(left + right - 1) / 2, (top + bottom - 1) / 2, 0, 1]
        side = float(bottom - top + 2 * max(room))
        return Region(kind="centre", size=(1.0, side, side)), {"interest": centre[:3].tolist()}
    if kind == "foreground":
        return Region(kind="foreground", margin=float(room[0])), {}
    return Region(), {}


@settings(max_examples=100, deadline=None)
@given(squares())
def test_a_square_of_a_file_is_hit_in_the_pixels_of_the_file(drawn: Any) -> None:
    size, network, square, kind, room = drawn
    top, left, bottom, right = square
    wanted = np.zeros(size, dtype=bool)
    wanted[top:bottom, left:right] = True
    with tempfile.TemporaryDirectory() as folder:
        path = nifti(Path(folder) / "a.nii", wanted.astype(np.float32)[None])
        region, more = region_of(kind, square, room, Path(folder), size)
        files = case(path, 1, **more)
        preparation = Preparation("range", 1, recipe(network, ((0.5, 1.0),)), region=region)
        given = seen(files, preparation)
        (frame,) = conditioned_frames(files, preparation)
    place = given.places[0]
    np.testing.assert_array_equal(frame, given.frames[0])
    np.testing.assert_array_equal(Cut(place.rows, place.columns).of(given.pictures[0]), frame)
    found = attribution(given, preparation)
    assert found.values.shape == given.pictures[0].shape == size
    scale = max(frame.shape[0] / network[0], frame.shape[1] / network[1])
    peak = peak_of(found.values)
    assert peak is not None and wanted[peak]
    assert np.allclose(peak_in_patient(found), (affine_of((1, 1, 1)) @ [peak[1], peak[0], 0, 1])[:3])
    rows, columns = np.indices(size)
    centroid = [(axis * found.values).sum() / found.values.sum() for axis in (rows, columns)]
    assert abs(centroid[0] - (top + bottom - 1) / 2) <= 0.5 * max(1, scale)
    assert abs(centroid[1] - (left + right - 1) / 2) <= 0.5 * max(1, scale)
    agrees(found.values, wanted, (scale, scale))


@st.composite
def blocks(draw: st.DrawFn) -> dict[str, Any]:
    """A volume with a block, and a plan that resamples it; the block is some voxels of the plan a side."""
    shape = draw(st.tuples(st.integers(12, 24), st.integers(20, 48), st.integers(20, 48)))
    spacing = draw(st.tuples(st.sampled_from((0.8, 1.5, 4.0)), st.sampled_from((0.6, 1.0, 2.0)), st.just(0.0)))
    spacing = (spacing[0], spacing[1], spacing[1])
    # Of each axis at least six of the plan's planes in the whole, so that a block of four has room.
    wanted = tuple(draw(st.floats(0.5, 1.4)) * side for side in spacing)
    sides = [
        draw(st.integers(int(np.ceil(4 * max(1.0, new / old))), length // 2))
        for new, old, length in zip(wanted, spacing, shape, strict=True)
    ]
    start = [draw(st.integers(0, length - side)) for length, side in zip(shape, sides, strict=True)]
    # A block that the network sees only a part of has no edge to be found where it was cut off.
    fits = all(length * old / new <= 64 for length, old, new in list(zip(shape, spacing, wanted, strict=True))[1:])
    return {
        "shape": shape, "spacing": spacing, "wanted": wanted, "start": start, "sides": sides,
        "direction": draw(st.sampled_from(sorted(DIRECTIONS))), "margin": draw(st.sampled_from((None, 0.0, 6.0))),
        "size": draw(st.sampled_from((64, 96) if fits else (96,))),
    }  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(blocks())
def test_a_block_is_found_in_the_patient_through_crop_and_resampling(drawn: dict[str, Any]) -> None:
    """Axial, turned round, coronal and oblique slices; on a grid that is filled around the volume or, at its ends, cuts it."""
    wanted = np.zeros(drawn["shape"], dtype=bool)
    wanted[tuple(slice(start, start + side) for start, side in zip(drawn["start"], drawn["sides"], strict=True))] = True
    directions = DIRECTIONS[drawn["direction"]]
    with tempfile.TemporaryDirectory() as folder:
        volume = np.where(wanted, 1500, 0).astype(np.int16)
        paths = slices(Path(folder), volume, drawn["spacing"], orientation=directions, thickness=1.0)
        region = Region() if drawn["margin"] is None else Region(kind="foreground", margin=drawn["margin"])
        preparation = plan3d(
            spacing=drawn["wanted"], region=region, size=drawn["size"], slices=96, windows=((500.0, 2000.0),)
        )
        given = seen(case(paths), preparation)
        upright = np.stack([read_image(paths[number]).pixels[0] for number in range(len(paths))]) > 0
    found = attribution(given, preparation, volume=True)
    place = found.place
    assert place is not None and found.values.shape == wanted.shape[1:] == given.pictures[0].shape
    # The peak in mm, in voxels of the file: by the file's own position and directions, and not by ours.
    row, column = np.array(directions[:3]), np.array(directions[3:])
    axes = np.stack([np.cross(row, column), column, row]) / np.array(drawn["spacing"])[:, None]
    voxel = axes @ (np.array(peak_in_patient(found)) - ORIGIN)
    for at, start, side in zip(voxel, drawn["start"], drawn["sides"], strict=True):
        assert start - 0.5 - 1e-3 <= at <= start + side - 0.5 + 1e-3
    nearest = int(np.clip(np.floor(place.number + 0.5), 0, len(upright) - 1))
    assert abs(voxel[0] - place.number) < 1e-3
    np.testing.assert_array_equal(given.pictures[found.slice] > 0, upright[nearest])
    step = drawn["wanted"][1] / drawn["spacing"][1], drawn["wanted"][2] / drawn["spacing"][2]
    agrees(found.values, upright[nearest], step)


@pytest.mark.parametrize("adjacent", [0, 1])
@pytest.mark.parametrize("direction", sorted(DIRECTIONS))
def test_of_several_slices_the_peak_lies_in_the_one_that_shows_it(
    tmp_path: Path, direction: str, adjacent: int
) -> None:
    volume = np.full((11, 40, 30), -1000, dtype=np.int16)
    volume[8, 10:16, 20:27] = 900
    paths = slices(tmp_path, volume, (3, 0.7, 0.7), orientation=DIRECTIONS[direction])
    preparation = Preparation("hounsfield", 4, recipe(48, ((-50.0, 1900.0),)), adjacent=adjacent, dimension="2.5d")
    # Of 11 slices the plan takes the centres of four parts: 1, 4, 6 and 9; adjacent ones only colour the picture.
    given = seen(case(paths), preparation)
    assert [place.number for place in given.places] == [1, 4, 6, 9]
    preparation = Preparation("hounsfield", 11, preparation.recipe, adjacent=adjacent, dimension="2.5d")
    found = attribution(seen(case(paths), preparation), preparation)
    assert found.place is not None and found.place.number == 8
    row, column = np.array(DIRECTIONS[direction][:3]), np.array(DIRECTIONS[direction][3:])
    offset = np.array(peak_in_patient(found)) - ORIGIN
    assert offset @ np.cross(row, column) == pytest.approx(8 * 3, abs=1e-3)
    assert 10 <= offset @ column / 0.7 <= 15 and 20 <= offset @ row / 0.7 <= 26


def test_a_given_region_of_a_slice_stack_is_undone(tmp_path: Path) -> None:
    volume = np.zeros((6, 50, 60), dtype=np.float32)
    volume[3, 30:36, 44:52] = 1
    box = [ORIGIN[0] + 38, ORIGIN[1] + 21, ORIGIN[2] + 1, ORIGIN[0] + 57, ORIGIN[1] + 45, ORIGIN[2] + 4]
    files = case(nifti(tmp_path / "a.nii", volume), 6, interest=box)
    preparation = Preparation("range", 6, recipe(32, ((0.5, 1.0),)), dimension="2.5d", region=Region(kind="box"))
    given = seen(files, preparation)
    assert [place.number for place in given.places] == [1, 2, 3, 4]
    found = attribution(given, preparation)
    assert found.slice == 2 and found.values.shape == (50, 60)
    agrees(found.values, volume[3] > 0, (1, 1))
    assert not found.values[:21].any() and not found.values[:, :38].any() and not found.values[46:].any()


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_breast_is_turned_back(tmp_path: Path, mirrored: bool) -> None:
    """The rule crops the picture, and mirrors it where the chest wall is on the right."""
    picture = mammogram(label=False) * 0.7
    picture[150:185, 60:90] = 1.0  # more than the half per cent of a picture that may be brighter than 1
    picture = picture[:, ::-1] if mirrored else picture
    wanted = picture > 0.9
    path = tmp_path / "breast.png"
    Picture.fromarray(np.rint(picture * 255).astype(np.uint8)).save(path)
    preparation = Preparation("mammogram", 1, recipe(96, ((0.95, 0.1),)))
    given = seen(case_files([(path, None)], [1], "case"), preparation)
    place = given.places[0]
    assert given.frames[0].shape[1] < picture.shape[1] and (place.columns.step < 0) == mirrored
    np.testing.assert_array_equal(Cut(place.rows, place.columns).of(given.pictures[0]), given.frames[0])
    found = attribution(given, preparation)
    assert found.values.shape == picture.shape
    step = max(given.frames[0].shape) / 96
    agrees(found.values, wanted, (step, step))
    assert peak_in_patient(found) is None, "a PNG says nothing of the patient"


def test_a_cropped_border_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.zeros((90, 120), dtype=np.uint8)
    picture[10:70, 30:110] = 90
    picture[40:52, 60:72] = 255
    path = tmp_path / "framed.png"
    Picture.fromarray(picture).save(path)
    preparation = Preparation("range", 1, recipe(40, ((0.8, 0.4),)), ("border",))
    given = seen(case_files([(path, None)], [1], "case"), preparation)
    assert given.frames[0].shape == (60, 80) and given.pictures[0].shape == (90, 120)
    np.testing.assert_allclose(given.pictures[0], picture / 255, atol=1e-6)
    agrees(attribution(given, preparation).values, picture == 255, (2, 2))


def test_letters_stay_blank_in_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What people see of a cropped picture holds no more letters than what the network saw."""
    asked: list[tuple[str, ...]] = []
    whole = clean.cleaned

    def noted(image: Any, what: Any) -> Any:
        asked.append(tuple(what))
        return whole(image, what)

    monkeypatch.setattr("hounsfield.prepare.conditioning.rules.cleaned", noted)
    path = tmp_path / "a.png"
    Picture.fromarray(np.full((30, 30), 9, dtype=np.uint8)).save(path)
    seen(case_files([(path, None)], [1], "case"), Preparation("range", 1, recipe(16), ("text", "border", "marker")))
    assert asked == [("text", "border", "marker"), ("text", "marker")]


def test_axes_follow_each_other() -> None:
    """A cut of a cut is one cut, mirrored or not; and what is resampled in a mirrored part lies mirrored."""
    values = np.arange(40.0)
    first, second = Axis.part(5, 33, mirrored=True), Axis.part(4, 20)
    both = first.then(second)
    np.testing.assert_array_equal(both.back(40, 16).T @ values, values[5:33][::-1][4:20])
    assert (both.first, both.stop) == (13, 29)
    half = first.then(Axis(0.5, 2.0, 0, 28))
    assert [half.at(0), half.at(13)] == [31.5, 5.5] and (half.first, half.stop) == (5, 33)


@pytest.mark.parametrize(
    ("values", "peak"),
    [
        (np.zeros((5, 6)), None),
        (-np.ones((5, 6)), None),
        (np.ones((5, 7)), (2, 3)),
        (np.array([[0.0, 2, 2, 2, 0, 0]] * 3), (1, 2)),
        # A piece that is no round one: a place of its own, and not a hole in its middle.
        (np.pad(np.zeros((3, 3)), 1, constant_values=1.0)[:, :4], None),
    ],
)
def test_a_peak_is_the_middle_of_what_is_greatest(values: np.ndarray, peak: tuple[int, int] | None) -> None:
    found = peak_of(values)
    if peak is None and values.max() > 0:
        assert found is not None and values[found] == values.max()
    else:
        assert found == peak


def test_a_flat_volume_peaks_in_its_middle_and_padding_does_not_count() -> None:
    made = recipe(16)
    places = [Place.whole((16, 8))] * 9
    assert strongest_slice(np.ones((9, 4, 4)), made, places) == 4
    raw = np.zeros((9, 16, 16))
    raw[2, 8, 8], raw[6, 8, 0] = 1, 5  # the second lies in the padding beside a tall picture
    assert strongest_slice(raw, made, places) == 2
