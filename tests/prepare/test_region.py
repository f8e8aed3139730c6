"""The region of interest holds what it is to hold, lies in the same place whatever the voxels are, and is never made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image as Picture

from hounsfield.core.plan import Region
from hounsfield.errors import ReadError
from hounsfield.prepare import Grid, Preparation, case_array, case_files, conditioned_frames, grid_of, region_box
from hounsfield.read import Source, read_image
from tests.prepare.volumes import LPS_TO_RAS, ORIGIN, affine_of, case, nifti, plan3d, recipe, slices, sphere

SHAPE = (40, 60, 64)
SPACINGS = [(1.0, 1.0, 1.0), (2.5, 0.7, 0.8), (0.5, 1.5, 1.5), (5.0, 0.4, 0.4)]


def middle(spacing: tuple[float, float, float], shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """x, y, z of the centre of a volume."""
    return np.array([ORIGIN[place] + spacing[2 - place] * (shape[2 - place] - 1) / 2 for place in range(3)])


def grid(spacing: tuple[float, float, float], shape: tuple[int, ...] = SHAPE) -> Grid:
    return Grid((shape[0], shape[1], shape[2]), spacing[1:], affine_of(spacing))


def tight(mask: np.ndarray) -> list[tuple[int, int]]:
    places = np.nonzero(mask)
    return [(int(axis.min()), int(axis.max()) + 1) for axis in places]


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("noise", [0.0, 60.0])
def test_foreground_holds_the_ball_and_no_speck(spacing: tuple[float, float, float], noise: float) -> None:
    radius = 0.3 * min(side * count for side, count in zip(spacing, SHAPE, strict=True))
    ball = sphere(SHAPE, spacing, middle(spacing), radius)
    volume = np.where(ball, 40.0, -1000.0) + np.random.default_rng(0).normal(0, noise, SHAPE)
    volume[1, 1, 1:3] = 3000.0  # a speck far away
    found = region_box(Region(kind="foreground"), volume.astype(np.float32), grid(spacing), hounsfield=True)
    assert np.abs(np.array(found) - tight(ball)).max() <= (1 if noise else 0)
    wide = region_box(Region(kind="foreground", margin=3), volume.astype(np.float32), grid(spacing), hounsfield=True)
    for (start, stop), (low, high), side, length in zip(wide, found, spacing, SHAPE, strict=True):
        # Every voxel that the margin touches, and not one more.
        assert start == max(0, low - int(np.ceil(3 / side - 1e-6)))
        assert stop == min(length, high + int(np.ceil(3 / side - 1e-6)))


def test_foreground_keeps_both_legs() -> None:
    volume = np.zeros(SHAPE, dtype=np.float32)
    volume[:, 20:30, 8:20] = 1
    volume[:, 22:34, 40:52] = 0.9
    volume[5:7, 50:53, 30:32] = 1
    assert region_box(Region(kind="foreground"), volume, grid((1, 1, 1))) == ((0, 40), (20, 34), (8, 52))


def test_padding_below_air_is_no_background_of_its_own() -> None:
    """CT files fill the corners outside their round field with -2000 or -3024: the field is not what stands out."""
    ball = sphere(SHAPE, (1, 1, 1), middle((1, 1, 1)), 12)
    volume = np.where(ball, 40.0, -1000.0).astype(np.float32)
    volume[:, :, :8] = volume[:, :, -8:] = -3024.0
    found = region_box(Region(kind="foreground"), volume, grid((1, 1, 1)), hounsfield=True)
    assert list(found) == tight(ball)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (5.0, 0.9, 0.9), (2.0, 2.0, 2.0)])
@pytest.mark.parametrize("gap", [0.0, 8.0])
def test_body_holds_the_patient_and_not_the_table(spacing: tuple[float, float, float], gap: float) -> None:
    """A patient with lungs, 140 mm deep and 200 wide, on a table plate of 4 mm that is wider; touching it, or on foam."""
    shape = tuple(round(length / side) for length, side in zip((60, 240, 300), spacing, strict=True))
    _, y, x = np.meshgrid(*[side * np.arange(count) for side, count in zip(spacing, shape, strict=True)], indexing="ij")
    body = np.hypot((y - 100) / 70, (x - 150) / 100) < 1
    lungs = np.hypot((y - 90) / 35, (np.abs(x - 150) - 40) / 25) < 1
    plate = (y >= 170 + gap) & (y < 174 + gap) & (np.abs(x - 150) < 140)
    volume = np.select([lungs, body, plate], [-850.0, 30.0, 100.0], -1000.0)
    volume += np.random.default_rng(0).normal(0, 30, volume.shape)
    found = np.array(region_box(Region(kind="body"), volume.astype(np.float32), grid(spacing, shape)))
    wanted = np.array(tight(body))
    slack = np.ceil(np.array([0, 9 if gap == 0 else 0, 9 if gap == 0 else 0]) / spacing)[:, None]
    assert (np.abs(found - wanted) <= slack + 1).all(), f"{found} is not {wanted}"
    assert (found[:, 0] <= wanted[:, 0] + 1).all()
    assert (found[:, 1] >= wanted[:, 1] - 1).all()
    assert found[2, 1] - found[2, 0] < tight(plate)[2][1] - tight(plate)[2][0]
    both = np.array(
        region_box(Region(kind="foreground"), volume.astype(np.float32), grid(spacing, shape), hounsfield=True)
    )
    if gap == 0:
        assert (both[2, 1] - both[2, 0]) * spacing[2] > 270, "the foreground has the table: the test has one"


@pytest.mark.parametrize("kind", ["foreground", "body"])
def test_nothing_is_an_error_and_not_the_whole_volume(kind: Any) -> None:
    volume = np.full(SHAPE, -1000.0, dtype=np.float32)
    with pytest.raises(ReadError, match="region"):
        region_box(Region(kind=kind), volume, grid((1, 1, 1)), hounsfield=True)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_box_and_a_centre_are_the_same_place_at_every_spacing(spacing: tuple[float, float, float]) -> None:
    """In mm from the first voxel, on every axis, the box is that of the patient within a voxel."""
    x, y, z = middle(spacing)
    low, high = np.array([z - 5, y - 4, x - 6]), np.array([z + 5, y + 4, x + 6])
    blank = np.zeros(SHAPE, dtype=np.float32)
    box = region_box(Region(kind="box"), blank, grid(spacing), interest=(x + 6, y - 4, z + 5, x - 6, y + 4, z - 5))
    centre = region_box(Region(kind="centre", size=(10, 8, 12)), blank, grid(spacing), interest=(x, y, z))
    origin = np.array(ORIGIN[::-1])
    for found in (box, centre):
        starts, stops = np.array(found).T
        assert (np.abs(origin + (starts - 0.5) * spacing - low) <= np.array(spacing) + 1e-6).all()
        assert (np.abs(origin + (stops - 0.5) * spacing - high) <= np.array(spacing) + 1e-6).all()
    assert (origin + (np.array(box)[:, 0] - 0.5) * spacing <= low + 1e-6).all(), "a box is never cut"
    assert (origin + (np.array(box)[:, 1] - 0.5) * spacing >= high - 1e-6).all()
    sizes = np.diff(np.array(centre))[:, 0]
    assert sizes.tolist() == [max(1, int(mm / side + 0.5)) for mm, side in zip((10, 8, 12), spacing, strict=True)]


def test_dicom_slices_in_any_plane_hold_the_same_ball(tmp_path: Path) -> None:
    """Axial, coronal and sagittal files: the centre in the patient finds the voxel that was made bright there."""
    for name, orientation in {
        "axial": (1, 0, 0, 0, 1, 0), "coronal": (1, 0, 0, 0, 0, -1), "sagittal": (0, 1, 0, 0, 0, -1),
        "prone": (-1, 0, 0, 0, -1, 0),
    }.items():  # fmt: skip
        volume = np.full((8, 10, 12), -1000, dtype=np.int16)
        volume[5, 3, 8] = 500
        paths = slices(tmp_path / name, volume, (3.0, 1.0, 2.0), orientation=orientation)
        across, down = np.array(orientation[:3]), np.array(orientation[3:])
        bright = np.array(ORIGIN) + 8 * 2.0 * across + 3 * 1.0 * down + 5 * 3.0 * np.cross(across, down)
        plan = plan3d(region=Region(kind="centre", size=(3, 1, 1)))
        # Files of one stack come in the order of row × column.
        (frame,) = conditioned_frames(case(paths, interest=tuple(bright)), plan)
        assert 500 in frame, name
        assert min(frame.shape) == 1


def test_a_centre_at_the_edge_is_shifted_inwards_and_keeps_its_size() -> None:
    blank = np.zeros(SHAPE, dtype=np.float32)
    region = Region(kind="centre", size=(10, 20, 20), margin=2)
    x, y, z = ORIGIN
    assert region_box(region, blank, grid((1, 1, 1)), interest=(x, y, z + 39)) == ((26, 40), (0, 24), (0, 24))
    huge = Region(kind="centre", size=(500, 500, 500))
    assert region_box(huge, blank, grid((1, 1, 1)), interest=(x, y, z)) == ((0, 40), (0, 60), (0, 64))
    with pytest.raises(ReadError, match="outside the image"):
        region_box(region, blank, grid((1, 1, 1)), interest=(x - 2, y, z))


def test_a_box_is_cut_at_the_edge_and_refused_outside() -> None:
    blank = np.zeros(SHAPE, dtype=np.float32)
    x, y, z = ORIGIN
    cut = region_box(
        Region(kind="box"), blank, grid((1, 1, 1)), interest=(x - 50, y - 50, z - 50, x + 4, y + 500, z + 9)
    )
    assert cut == ((0, 10), (0, 60), (0, 5))
    with pytest.raises(ReadError, match="outside the image"):
        region_box(Region(kind="box"), blank, grid((1, 1, 1)), interest=(x - 9, y, z, x - 5, y + 4, z + 4))


def test_the_middle_of_a_box_is_a_centre() -> None:
    blank = np.zeros(SHAPE, dtype=np.float32)
    region = Region(kind="centre", size=(4, 4, 4))
    x, y, z = middle((1, 1, 1))
    one = region_box(region, blank, grid((1, 1, 1)), interest=(x - 9, y - 2, z - 3, x + 9, y + 2, z + 3))
    assert one == region_box(region, blank, grid((1, 1, 1)), interest=(x, y, z))


@pytest.mark.parametrize(
    ("region", "columns"),
    [
        (Region(kind="box"), "roi_x1"),
        (Region(kind="centre", size=(9, 9, 9)), "roi_x, roi_y, roi_z"),
        (Region(kind="mask"), "roi_mask"),
    ],
)
def test_a_case_without_what_the_plan_needs_is_refused(tmp_path: Path, region: Region, columns: str) -> None:
    path = nifti(tmp_path / "a.nii", np.full((4, 8, 8), -500, dtype=np.int16))
    with pytest.raises(ReadError, match="the case has none") as error:
        case_array(case(path, 4), plan3d(region=region))
    assert columns in str(error.value)
    if region.kind == "box":
        with pytest.raises(ReadError, match="the case has none"):
            case_array(case(path, 4, interest=(0, 0, 0)), plan3d(region=region))


def test_where_files_state_no_place_voxels_are_counted(tmp_path: Path) -> None:
    """x is the column, y the row, z the slice, from 0; and margin and size are voxels too."""
    stack = np.arange(5 * 8 * 9, dtype=np.uint16).reshape(1, 5, 8, 9)
    np.savez(tmp_path / "a.npz", images=stack)
    sources = [(tmp_path / "a.npz", "0")]
    plan = plan3d(conditioning="range", windows=((0.5, 1.0),), region=Region(kind="box", margin=1))
    frames = conditioned_frames(case_files(sources, [5], "case", interest=(3, 2, 1, 5, 4, 2)), plan)
    np.testing.assert_allclose(np.stack(frames) * 65535, stack[0, 0:4, 1:6, 2:7], atol=0.01)
    around = plan3d(conditioning="range", windows=((0.5, 1.0),), region=Region(kind="centre", size=(1, 3, 5)))
    frames = conditioned_frames(case_files(sources, [5], "case", interest=(4, 2, 3)), around)
    np.testing.assert_allclose(np.stack(frames) * 65535, stack[0, 3:4, 1:4, 2:7], atol=0.01)


def test_of_one_picture_z_does_not_matter(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30), dtype=np.uint8)
    Picture.fromarray(pixels).save(tmp_path / "a.png")
    plan = Preparation("range", 1, recipe(32, ((0.5, 1.0),)), region=Region(kind="box"))
    (frame,) = conditioned_frames(case([tmp_path / "a.png"], interest=(4, 6, 77, 10, 8, 99)), plan)
    np.testing.assert_allclose(frame * 255, pixels[6:9, 4:11], atol=1e-3)


def test_millimetres_without_a_place_are_refused() -> None:
    """The numbers may be meant as mm or as voxels, and nobody can say which."""
    unplaced = Grid(SHAPE, (1.0, 1.0), None)
    blank = np.zeros(SHAPE, dtype=np.float32)
    with pytest.raises(ReadError, match="not where they lie"):
        region_box(Region(kind="box"), blank, unplaced, interest=(1, 1, 1, 5, 5, 5))
    volume = np.zeros(SHAPE, dtype=np.float32)
    volume[10:20, 10:20, 10:20] = 1
    assert region_box(Region(kind="foreground"), volume, unplaced) == ((10, 20),) * 3
    with pytest.raises(ReadError, match="the margin of the region"):
        region_box(Region(kind="foreground", margin=4), volume, unplaced)


def masked(tmp_path: Path, mask: np.ndarray, image: np.ndarray, **options: Any) -> list[np.ndarray]:
    source = (nifti(tmp_path / "mask.nii.gz", mask, **options), None)
    plan = plan3d(region=Region(kind="mask"))
    return conditioned_frames(case(nifti(tmp_path / "image.nii", image), len(image), mask=source), plan)


def test_a_mask_marks_its_box(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(-900, 900, (6, 10, 12)).astype(np.int16)
    mask = np.zeros(image.shape, dtype=np.uint8)
    mask[2, 3, 4], mask[4, 6, 5] = 1, 7
    np.testing.assert_array_equal(masked(tmp_path, mask, image), image[2:5, 3:7, 4:6])


def test_a_mask_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    image = np.full((6, 10, 12), -500, dtype=np.int16)
    mask = np.ones(image.shape, dtype=np.uint8)
    with pytest.raises(ReadError, match=r"6×10×11 voxels .* its image 6×10×12"):
        masked(tmp_path, mask[:, :, 1:], image)
    with pytest.raises(ReadError, match="beside its image"):
        masked(tmp_path, mask, image, origin=(-40, -30, 101))
    with pytest.raises(ReadError, match="another spacing or direction"):
        masked(tmp_path, mask, image, spacing=(2, 1, 1))
    with pytest.raises(ReadError, match="empty"):
        masked(tmp_path, np.zeros_like(mask), image)


def test_a_mask_of_sagittal_slices_is_turned_to_them(tmp_path: Path) -> None:
    """A NIfTI is read as axial slices, whatever plane was taken; a DICOM in its own."""
    volume = np.random.default_rng(0).integers(-900, 900, (5, 10, 12)).astype(np.int16)
    paths = slices(tmp_path / "dicom", volume, (3.0, 1.0, 2.0), orientation=(0, 1, 0, 0, 0, -1))
    whole = grid_of([read_image(path) for path in paths])
    assert whole.affine is not None
    mask = np.zeros(volume.shape, dtype=np.uint8)
    mask[1:3, 2:6, 7:9] = 1
    # As a converter writes it: axes as in the DICOM, and the affine says how they lie.
    stored = mask.transpose(2, 1, 0)
    path = tmp_path / "mask.nii"
    nibabel.Nifti1Image(stored, LPS_TO_RAS @ whole.affine).to_filename(path)
    assert read_image(path).pixels.shape != mask.shape
    frames = conditioned_frames(case(paths, mask=(path, None)), plan3d(region=Region(kind="mask")))
    np.testing.assert_array_equal(frames, volume[1:3, 2:6, 7:9])


def test_a_picture_as_mask_of_a_picture(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30), dtype=np.uint8)
    mask = np.zeros((20, 30, 3), dtype=np.uint8)
    mask[4:9, 10:12, 1] = 200
    Picture.fromarray(pixels).save(tmp_path / "a.png")
    Picture.fromarray(mask).save(tmp_path / "m.png")
    plan = Preparation("range", 1, recipe(32, ((0.5, 1.0),)), region=Region(kind="mask"))
    (frame,) = conditioned_frames(case([tmp_path / "a.png"], mask=(tmp_path / "m.png", None)), plan)
    np.testing.assert_allclose(frame * 255, pixels[4:9, 10:12], atol=1e-3)
    (frame,) = conditioned_frames(
        case([tmp_path / "a.png"], mask=(tmp_path / "m.png", None)),
        Preparation("colour", 1, recipe(32, ((0.5, 1.0),)), region=Region(kind="mask")),
    )
    assert frame.shape == (5, 2, 3)


@pytest.mark.parametrize("dimension", ["2d", "2.5d"])
def test_in_2d_the_region_is_a_crop_and_slices_come_from_it(tmp_path: Path, dimension: Any) -> None:
    volume = np.random.default_rng(0).integers(-900, 900, (20, 10, 12)).astype(np.int16)
    path = nifti(tmp_path / "a.nii", volume)
    x, y, z = ORIGIN
    files = case(path, 20, interest=(x + 2, y + 3, z + 8, x + 6, y + 5, z + 13))
    plan = Preparation("hounsfield", 3, recipe(), dimension=dimension, region=Region(kind="box"))
    np.testing.assert_array_equal(conditioned_frames(files, plan), volume[[9, 11, 13], 3:6, 2:7])


def test_the_centre_of_the_region_is_the_centre_of_the_grid(tmp_path: Path) -> None:
    volume = np.full((30, 40, 40), -1000, dtype=np.int16)
    volume[20, 12, 30] = 900
    path = nifti(tmp_path / "a.nii", volume, (2.0, 1.0, 1.0))
    x, y, z = np.add(ORIGIN, (30, 12, 40))
    region = Region(kind="centre", size=(10, 9, 9))
    plan = plan3d(spacing=(2.0, 1.0, 1.0), region=region, size=33, windows=((0.0, 2000.0),))
    array = case_array(case(path, 30, interest=(x, y, z)), plan)
    assert array.shape == (5, 1, 33, 33)
    assert np.unravel_index(array.argmax(), array.shape) == (2, 0, 16, 16)


def test_cleaning_that_crops_makes_a_given_region_invalid(tmp_path: Path) -> None:
    pixels = np.zeros((60, 60), dtype=np.uint8)
    pixels[20:40, 10:50] = np.random.default_rng(0).integers(100, 255, (20, 40))
    Picture.fromarray(pixels).save(tmp_path / "a.png")
    plan = Preparation("range", 1, recipe(32, ((0.5, 1.0),)), ("border",), region=Region(kind="box"))
    with pytest.raises(ReadError, match="were cropped"):
        conditioned_frames(case([tmp_path / "a.png"], interest=(4, 6, 0, 10, 8, 0)), plan)


def test_a_mask_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "mask.nii").write_text("no mask")
    path = nifti(tmp_path / "a.nii", np.full((4, 8, 8), -500, dtype=np.int16))
    with pytest.raises(ReadError, match="not an image"):
        case_array(case(path, 4, mask=(tmp_path / "mask.nii", None)), plan3d(region=Region(kind="mask")))
    assert case(path, 4, mask=(tmp_path / "mask.nii", None)).mask == Source(tmp_path / "mask.nii")
