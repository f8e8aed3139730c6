"""One case from its files to the network's input: choose slices, read, condition, cut to the region, run the recipe."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from hounsfield.core.image import Image
from hounsfield.core.plan import Region
from hounsfield.core.recipe import Recipe, Window
from hounsfield.errors import ReadError
from hounsfield.prepare.conditioning import conditioned, pictures
from hounsfield.prepare.place import Axis, Place, plane_at
from hounsfield.prepare.region import read_mask, region_box
from hounsfield.prepare.steps import apply_steps, apply_stored
from hounsfield.prepare.volume import Box, Grid, Vector, axes_of_grid, grid_of, on_grid
from hounsfield.read import Source, read_image

_GIVEN = ("mask", "box", "centre")


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case; small and picklable.

    Attributes
    ----------
    sources, frames:
        In slice order, and how many frames each holds.
    stacks:
        How many frames each of its volumes has, in order; empty means that all frames are one.
    interest:
        Where the region of interest lies, if that was given: x, y, z of its centre, or of two opposite corners.
    mask:
        An image that marks the region of interest.
    """

    case: str
    sources: tuple[Source, ...]
    frames: tuple[int, ...]
    stacks: tuple[int, ...] = ()
    interest: tuple[float, ...] | None = None
    mask: Source | None = None


@dataclass(frozen=True)
class Preparation:
    """What turns a case into arrays; a part of the Plan that workers can carry.

    Attributes
    ----------
    slices:
        The most that a case gives.
    adjacent:
        How many neighbours on either side are the further channels of every slice; 2d and 2.5d only.
    spacing:
        Millimetres between slices, rows and columns; 3d only. Rows and columns are then those of the recipe's size.
    """

    conditioning: str
    slices: int
    recipe: Recipe
    clean: tuple[str, ...] = ()
    adjacent: int = 0
    dimension: Literal["2d", "2.5d", "3d"] = "2d"
    spacing: Vector | None = None
    region: Region = field(default_factory=Region)

    @property
    def content(self) -> dict[str, Any]:
        """All that decides the values of `case_array`, plain, for a digest."""
        return {
            "conditioning": self.conditioning,
            "slices": self.slices,
            "clean": list(self.clean),
            "adjacent": self.adjacent,
            "dimension": self.dimension,
            "spacing": None if self.spacing is None else list(self.spacing),
            "region": self.region.model_dump(mode="json"),
            "steps": [step.model_dump(mode="json") for step in self.recipe.stored],
        }


@dataclass(frozen=True, eq=False)
class Seen:
    """What a network is given of a case, and where it lies.

    Attributes
    ----------
    frames:
        See `conditioned_frames`.
    places:
        Where each of them lies.
    pictures:
        The picture that each of them was made from, uncropped and in the file's own pixels; of a resampled plane the
        nearest. Conditioned values, (height, width) or (height, width, 3).
    """

    frames: list[np.ndarray]
    places: list[Place]
    pictures: list[np.ndarray]


def evenly_spaced(count: int, wanted: int) -> list[int]:
    """Return the numbers of at most `wanted` of `count` things, without repeats: the centres of equal parts."""
    parts = min(count, wanted)
    return [int((place + 0.5) * count / parts) for place in range(parts)]


def graph_values(files: CaseFiles, preparation: Preparation) -> tuple[list[np.ndarray], Vector | None]:
    """Read and condition what the ONNX graph starts from, which resamples volumes by itself.

    Returns
    -------
    Frames as of `conditioned_frames`, and None; or, in 3d with a spacing, the frames of the volume, cut to the region but
    not resampled, and the millimetres between slices, rows and columns.

    Raises
    ------
    ReadError
        As `conditioned_frames`.
    """
    if preparation.dimension == "3d" and preparation.spacing is not None:
        whole = _cut_out(files, preparation, pictured=False)
        return whole.inside, whole.spacing(preparation.spacing)
    return conditioned_frames(files, preparation), None


def frames_of_values(
    values: Sequence[np.ndarray], spacing: Vector | None, preparation: Preparation
) -> Sequence[np.ndarray]:
    """Return `conditioned_frames` from what `graph_values` gave."""
    if spacing is None:
        return values
    assert preparation.spacing is not None
    recipe = preparation.recipe
    return list(on_grid(values, spacing, preparation.spacing, preparation.slices, recipe.size, lowest_shown(recipe)))


def conditioned_frames(files: CaseFiles, preparation: Preparation) -> list[np.ndarray]:
    """Read, condition and choose what the plan wants of a case.

    Returns
    -------
    Between 1 and `preparation.slices` float32 arrays in the order of the slices. Each is (height, width); with the rule
    `colour` (height, width, 3); with adjacent slices (height, width, 2n + 1), the slice itself in the middle. In 3d with
    a spacing they are the planes of the resampled volume.

    Raises
    ------
    ReadError
        If a file cannot be read, is not what the rule expects, or lacks what the plan's spacing or region needs.
    """
    return _seen(files, preparation).frames


def seen(files: CaseFiles, preparation: Preparation) -> Seen:
    """Return the frames of `conditioned_frames` with their places and pictures; errors are the same."""
    return _seen(files, preparation, pictured=True)


def case_array(files: CaseFiles, preparation: Preparation) -> np.ndarray:
    """Return a case as (slices, channels, H, W) float32 in [0, 1], ready for the store; 1 to `preparation.slices` slices."""
    return np.stack([apply_stored(preparation.recipe, frame) for frame in conditioned_frames(files, preparation)])


def case_of_job(job: tuple[CaseFiles, Preparation]) -> np.ndarray:
    """Return `case_array` of a job, for worker processes: they import this module, and need not wait for torch."""
    return case_array(*job)


def network_input(stored: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Run the late steps on (n, channels, H, W) values of the store → (n, network channels, H, W) float32."""
    return np.stack([apply_steps(recipe.late, planes) for planes in stored])


def case_files(
    sources: Sequence[tuple[object, str | None]],
    frames: Sequence[int],
    case: str,
    *,
    stacks: Sequence[int] | None = None,
    interest: Sequence[float] | None = None,
    mask: tuple[object, str | None] | None = None,
) -> CaseFiles:
    """Build CaseFiles from a cohort's (path, member) pairs."""
    found = tuple(Source(path, member) for path, member in sources)  # type: ignore[arg-type]
    return CaseFiles(
        case,
        found,
        tuple(int(count) for count in frames),
        tuple(int(count) for count in stacks or ()),
        None if interest is None else tuple(float(value) for value in interest),
        None if mask is None else Source(*mask),  # type: ignore[arg-type]
    )


def _seen(files: CaseFiles, preparation: Preparation, *, pictured: bool = False) -> Seen:
    if preparation.dimension == "3d" or preparation.region.kind != "none":
        return _of_the_whole(files, preparation, pictured)
    total = sum(files.frames)
    chosen = evenly_spaced(total, preparation.slices)
    shown = _with_neighbours(chosen, total, files.stacks, preparation.adjacent)
    wanted = sorted({number for numbers in shown for number in numbers})
    read = _read(files, preparation, wanted, pictured=pictured)[0]
    at = {number: place for place, number in enumerate(wanted)}
    frames = [_channels([read.frames[at[number]] for number in numbers]) for numbers in shown]
    mine = [at[number] for number in chosen]
    return Seen(frames, [read.places[one] for one in mine], [read.pictures[one] for one in mine] if pictured else [])


@dataclass(frozen=True, eq=False)
class _Whole:
    """All frames of a case, the grid they lie on, and the region that is cut out of them."""

    read: Seen
    grid: Grid
    box: Box

    @property
    def inside(self) -> list[np.ndarray]:
        """The frames of the region; views."""
        planes, rows, columns = (slice(*part) for part in self.box)
        return [frame[rows, columns] for frame in self.read.frames[planes]]

    def spacing(self, wanted: Vector) -> Vector:
        """Return the millimetres between slices, rows and columns; a ReadError says where the plan's are needed."""
        return self.grid.spacing(f"the plan's spacing of {'×'.join(f'{mm:g}' for mm in wanted)} mm")


def _cut_out(files: CaseFiles, preparation: Preparation, *, pictured: bool) -> _Whole:
    region, total = preparation.region, sum(files.frames)
    if len(files.stacks) > 1:
        what = "a region of interest" if preparation.dimension != "3d" else "a 3d plan"
        raise ReadError(
            f"the case holds {len(files.stacks)} volumes, and {what} needs a single one",
            fix="Label series and not studies or patients (a key column of SeriesInstanceUID), or plan in 2.5d.",
        )
    # Before the images, so that both are never in memory as floats; a mask that is missing is told by `region_box`.
    mask = read_mask(files.mask) if region.kind == "mask" and files.mask is not None else None
    read, grid = _read(files, preparation, range(total), pictured=pictured, placed=True)
    assert grid is not None
    box = region_box(
        region,
        read.frames,
        grid,
        interest=files.interest,
        mask=mask,
        hounsfield=preparation.conditioning == "hounsfield",
    )
    return _Whole(read, grid, box)


def _of_the_whole(files: CaseFiles, preparation: Preparation, pictured: bool) -> Seen:
    """Cut the region out of all frames of a case; then resample them, or choose some."""
    whole = _cut_out(files, preparation, pictured=pictured)
    read, grid, box, total = whole.read, whole.grid, whole.box, sum(files.frames)
    inside, rows, columns = (slice(*part) for part in box)
    down, across = Axis.part(*box[1]), Axis.part(*box[2])
    if preparation.spacing is None:
        chosen = [inside.start + place for place in evenly_spaced(inside.stop - inside.start, preparation.slices)]
        shown = _with_neighbours(chosen, total, files.stacks, preparation.adjacent)
        # Copies, so that the few slices do not keep the whole volume in memory.
        found = [_channels([read.frames[number][rows, columns] for number in numbers]).copy() for numbers in shown]
        numbers: list[float] = list(chosen)
    else:
        cut, spacing = whole.inside, whole.spacing(preparation.spacing)
        found = list(frames_of_values(cut, spacing, preparation))
        along, *of_plane = axes_of_grid(
            (len(cut), *cut[0].shape), spacing, preparation.spacing, preparation.slices, preparation.recipe.size
        )
        down, across = down.then(of_plane[0]), across.then(of_plane[1])
        numbers = [inside.start + along.at(place) for place in range(len(found))]
    places, pictures = [], []
    for frame, number in zip(found, numbers, strict=True):
        nearest = min(max(math.floor(number + 0.5), inside.start), inside.stop - 1)
        place = read.places[nearest].within(down, across, (frame.shape[0], frame.shape[1]))
        if number != nearest:
            place = replace(place, number=number, plane=plane_at(grid.affine, number))
        places.append(place)
        pictures += read.pictures[nearest : nearest + 1]
    return Seen(found, places, pictures)


def _read(
    files: CaseFiles, preparation: Preparation, wanted: Sequence[int], *, pictured: bool, placed: bool = False
) -> tuple[Seen, Grid | None]:
    """Return the wanted frames of a case, conditioned, and the grid they are on if that is asked for; each file is decoded once.

    Conditioning sees all frames of the files that hold a wanted one.
    """
    starts = [0, *itertools.accumulate(files.frames)]
    owners = np.repeat(np.arange(len(files.frames)), files.frames)
    images: dict[int, Image] = {}
    for owner in sorted({int(owners[frame]) for frame in wanted}):
        image = read_image(files.sources[owner], digest=False)
        if image.frames != files.frames[owner]:
            raise ReadError(f"the file holds {image.frames} frames, not the {files.frames[owner]} that its header said")
        images[owner] = image
    grid = grid_of(list(images.values())) if placed else None
    of_files = list(images.values())
    frames = conditioned(preparation.conditioning, of_files, preparation.clean)
    whole = pictures(preparation.conditioning, of_files, preparation.clean) if pictured else []
    offsets = dict(
        zip(images, itertools.accumulate((image.frames for image in images.values()), initial=0), strict=False)
    )
    found = Seen([], [], [])
    for number in wanted:
        owner = int(owners[number])
        within = number - starts[owner]
        frame, cut = frames[offsets[owner] + within]
        size, plane = (frame.shape[0], frame.shape[1]), plane_at(images[owner].affine, within)
        found.frames.append(frame)
        found.places.append(Place(size, images[owner].size, cut.rows, cut.columns, number, plane))
        found.pictures.extend(whole[offsets[owner] + within :][:1])
    return found, None if grid is None else _fitted(grid, found.frames, preparation)


def _fitted(grid: Grid, frames: Sequence[np.ndarray], preparation: Preparation) -> Grid:
    """Return the grid of conditioned frames, some of which are cropped: their place is then no longer known."""
    _check_sizes(frames)
    shape = (len(frames), *frames[0].shape[:2])
    if shape == grid.shape:
        return grid
    if preparation.region.kind in _GIVEN:
        raise ReadError(
            "the images were cropped before their region of interest was cut out",
            fix="Plan without the removal of borders, and with a conditioning rule that does not crop.",
        )
    # The step between slices outlives a crop, and of the affine nothing else is asked for any more.
    return Grid(shape, grid.plane, grid.affine, grid.trouble)


def _with_neighbours(chosen: Sequence[int], total: int, stacks: Sequence[int], adjacent: int) -> list[list[int]]:
    """Return for every chosen slice the numbers of its channels: neighbours as acquired, the last one again at an end."""
    ends = [0, *itertools.accumulate(stacks or (total,))]
    found = []
    for number in chosen:
        first, stop = next(part for part in itertools.pairwise(ends) if part[0] <= number < part[1])
        around = range(number - adjacent, number + adjacent + 1)
        found.append([min(max(place, first), stop - 1) for place in around])
    return found


def _channels(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Return one frame as it is, and several as the channels (last axis) of one."""
    if len(frames) == 1:
        return frames[0]
    if frames[0].ndim != 2:
        raise ReadError("adjacent slices are channels of grey images, and these have colours", fix="Set adjacent to 0.")
    _check_sizes(frames)
    return np.stack(frames, axis=-1)


def _check_sizes(frames: Sequence[np.ndarray]) -> None:
    sizes = sorted({f"{frame.shape[0]}×{frame.shape[1]}" for frame in frames})
    if len(sizes) > 1:
        raise ReadError(
            f"the slices of the case differ in size ({' and '.join(sizes)})",
            fix="Give cases whose slices are of one size, or a 2d plan without region and adjacent slices.",
        )


def lowest_shown(recipe: Recipe) -> float:
    """Return the value that every window of a recipe shows as 0."""
    windows = [window for step in recipe.steps if isinstance(step, Window) for window in step.windows]
    return min(centre - width / 2 for centre, width in windows)
