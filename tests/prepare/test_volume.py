"""Resampling is one sum for every axis; the geometry of a case is proved, and where it is not known nothing is guessed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from hounsfield.core import Image
from hounsfield.errors import ReadError
from hounsfield.prepare import (
    apply_stored,
    case_array,
    case_files,
    conditioned_frames,
    grid_of,
    on_grid,
    resampled,
    resize_operator,
)
from hounsfield.read import read_image
from tests.prepare.volumes import affine_of, case, nifti, plan3d, slices

NOISE = np.random.default_rng(0).integers(-900, 900, (9, 20, 24)).astype(np.int16)


def test_resampling_is_the_recipe_s_operator_along_three_axes() -> None:
    found = resampled(NOISE, (3.0, 1.0, 0.5), (2.0, 1.5, 1.0))
    assert found.shape == (14, 13, 12), "9×3/2 = 13.5, 20/1.5 = 13.3, 24×0.5"
    along, down, across = resize_operator(14, 9), resize_operator(13, 20), resize_operator(12, 24)
    wanted = np.einsum("az,by,cx,zyx->abc", along, down, across, NOISE.astype(np.float64), optimize=True)
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_the_same_spacing_changes_nothing() -> None:
    np.testing.assert_array_equal(resampled(NOISE, (2.5, 0.7, 0.8), (2.5, 0.7, 0.8)), NOISE)


@pytest.mark.parametrize("wanted", [(1, 1, 1), (7.3, 0.4, 3.1), (40, 40, 40)])
def test_a_constant_volume_stays_constant(wanted: tuple[float, float, float]) -> None:
    found = resampled(np.full((5, 8, 9), -700.0), (2.0, 1.0, 1.0), wanted)
    assert min(found.shape) >= 1
    np.testing.assert_allclose(found, -700, rtol=1e-5)


@pytest.mark.parametrize(("slices", "size"), [(4, (6, 8)), (40, (40, 41)), (5, (40, 7))])
def test_on_a_grid_is_resampled_cut_and_filled_around_the_centre(slices: int, size: tuple[int, int]) -> None:
    whole = resampled(NOISE, (2.0, 1.0, 1.0), (1.0, 2.0, 1.5))
    assert whole.shape == (18, 10, 16)
    found = on_grid(NOISE, (2.0, 1.0, 1.0), (1.0, 2.0, 1.5), slices, size, -5000.0)
    assert found.shape == (min(slices, 18), *size)
    cut = whole
    for axis, most in enumerate((slices, *size)):
        if cut.shape[axis] > most:
            start = (cut.shape[axis] - most) // 2
            cut = cut.take(range(start, start + most), axis=axis)
    top, left = (size[0] - cut.shape[1]) // 2, (size[1] - cut.shape[2]) // 2
    inside = found[:, top : top + cut.shape[1], left : left + cut.shape[2]]
    np.testing.assert_allclose(inside, cut, atol=1e-3)
    assert (found == -5000).sum() == found.size - cut.size, "and all around it is what fills"


def test_slices_and_a_volume_lie_in_the_same_place(tmp_path: Path) -> None:
    """The step is that of the positions; the thickness that the slices state (99 mm) is not asked."""
    spacing = (2.5, 0.5, 0.75)
    singles = grid_of([read_image(path) for path in slices(tmp_path / "dicom", NOISE, spacing)])
    whole = grid_of([read_image(nifti(tmp_path / "one.nii", NOISE, spacing))])
    for grid in (singles, whole):
        assert grid.shape == NOISE.shape
        assert grid.spacing("it") == pytest.approx(spacing)
        np.testing.assert_allclose(grid.affine, affine_of(spacing), atol=1e-4)


def test_a_tilted_gantry_has_its_slices_nearer_to_each_other() -> None:
    affine = affine_of((5, 1, 1))
    affine[1, 2] = 3.0  # every slice 5 mm higher and 3 mm further back
    turned = affine.copy()
    angle = np.deg2rad(20)
    turned[:3, 1] = (0, np.cos(angle), np.sin(angle))
    image = Image(np.zeros((3, 4, 4), np.float32), "HU", None, (1.0, 1.0), affine)
    assert grid_of([image]).between_slices == pytest.approx(5.0)
    normal = np.cross(turned[:3, 0], turned[:3, 1])
    assert grid_of([replace(image, affine=turned)]).between_slices == pytest.approx(abs(normal @ affine[:3, 2]))


@pytest.mark.parametrize("kind", ["nifti", "dicom", "two files of several frames"])
def test_a_case_in_3d_is_its_volume_on_the_grid(tmp_path: Path, kind: str) -> None:
    spacing = (2.0, 1.0, 1.0)
    plan = plan3d(spacing=(4.0, 2.0, 2.0), slices=3, size=(8, 14))
    if kind == "dicom":
        files = case(slices(tmp_path, NOISE, spacing))
    elif kind == "nifti":
        files = case(nifti(tmp_path / "a.nii", NOISE, spacing), 9)
    else:
        first = nifti(tmp_path / "a.nii", NOISE[:4], spacing)
        second = nifti(tmp_path / "b.nii", NOISE[4:], spacing, origin=(-40, -30, 108))
        files = case_files([(first, None), (second, None)], [4, 5], "case", stacks=[9])
    frames = conditioned_frames(files, plan)
    assert [frame.shape for frame in frames] == [(8, 14)] * 3
    np.testing.assert_allclose(
        np.stack(frames), on_grid(NOISE, spacing, (4.0, 2.0, 2.0), 3, (8, 14), -1000.0), atol=1e-3
    )
    array = case_array(files, plan)
    assert array.shape == (3, 1, 8, 14)
    assert (array.dtype, array.min() >= 0, array.max() <= 1) == (np.float32, True, True)
    np.testing.assert_array_equal(array, [apply_stored(plan.recipe, frame) for frame in frames])


def test_what_fills_a_plane_is_black_in_every_window(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", np.full((4, 6, 6), -300, dtype=np.int16))
    plan = plan3d(spacing=(1.0, 1.0, 1.0), size=32, windows=((-600.0, 1500.0), (40.0, 400.0)))
    array = case_array(case(path, 4), plan)
    assert array.shape == (4, 2, 32, 32), "missing slices stay missing"
    assert array[:, 0, 13:19, 13:19].min() == pytest.approx(0.7)
    array[:, 0, 13:19, 13:19] = 0
    assert not array.any()


def test_without_a_spacing_slices_are_chosen_and_resized(tmp_path: Path) -> None:
    stack = np.arange(9, dtype=np.uint8)[:, None, None] * np.ones((1, 6, 6), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=stack[None])
    files = case_files([(tmp_path / "a.npz", "0")], [9], "case")
    plan = plan3d(conditioning="range", slices=3, windows=((0.5, 1.0),))
    array = case_array(files, plan)
    assert array.shape == (3, 1, 32, 32)
    assert np.rint(array[:, 0, 16, 16] * 255).tolist() == [1, 4, 7]
    assert case_array(files, replace(plan, slices=20)).shape[0] == 9
    with pytest.raises(ReadError, match="do not say how large the pixels are") as error:
        case_array(files, replace(plan, spacing=(1.0, 1.0, 1.0)))
    assert "set spacing to null" in str(error.value)


def test_what_is_no_volume_is_refused(tmp_path: Path) -> None:
    paths = slices(tmp_path, NOISE, (2.0, 1.0, 1.0))
    plan = plan3d(spacing=(1.0, 1.0, 1.0))
    with pytest.raises(ReadError, match="not evenly spaced"):
        case_array(case([*paths[:3], *paths[4:]]), plan)
    assert case_array(case([*paths[:3], *paths[4:]]), plan3d()).shape[0] == 8, "without a spacing nothing is at stake"
    with pytest.raises(ReadError, match="2 volumes"):
        case_array(case(paths, stacks=[4, 5]), plan)
    coronal = slices(tmp_path / "other", NOISE, (2.0, 1.0, 1.0), orientation=(1, 0, 0, 0, 0, -1))
    with pytest.raises(ReadError, match="different planes"):
        case_array(case([*paths, *coronal]), plan)
    for name, size in (("small", 6), ("large", 7)):
        Picture.fromarray(np.zeros((size, 6), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    pictures = case([tmp_path / "small.png", tmp_path / "large.png"])
    with pytest.raises(ReadError, match="differ in size"):
        case_array(pictures, plan3d(conditioning="range"))


def test_percentiles_are_those_of_the_whole_case(tmp_path: Path) -> None:
    """Conditioning comes before the choice of slices: the bright slice that is not chosen still sets the scale."""
    stack = np.full((3, 8, 8), 50, dtype=np.int16)
    stack[:, :2] = 0
    stack[2, 2:] = 1000
    path = nifti(tmp_path / "mr.nii", stack)
    plan = plan3d(conditioning="percentiles", slices=1, windows=((0.5, 1.0),))
    (frame,) = conditioned_frames(case(path, 3), plan)
    assert frame[4, 4] == pytest.approx(0.0)
    (alone,) = conditioned_frames(case(nifti(tmp_path / "one.nii", stack[1:2]), 1), plan)
    assert alone[4, 4] == pytest.approx(1.0)
