"""One case from its files to the network's input: choose slices, read, condition, run the recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hounsfield.core.image import Image
from hounsfield.core.recipe import Recipe
from hounsfield.errors import ReadError
from hounsfield.prepare.conditioning import condition
from hounsfield.prepare.steps import apply_steps, apply_stored
from hounsfield.read import Source, read_image


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case in slice order, and how many frames each holds; small and picklable."""

    case: str
    sources: tuple[Source, ...]
    frames: tuple[int, ...]


@dataclass(frozen=True)
class Preparation:
    """What turns a case into arrays; a part of the Plan that workers can carry."""

    conditioning: str
    slices: int
    recipe: Recipe
    clean: tuple[str, ...] = ()


def evenly_spaced(count: int, wanted: int) -> list[int]:
    """Return `wanted` frame numbers, the centres of equal parts of `count`; repeated where there are too few.

    A fixed number per case lets one array hold all cases; repeats leave the mean logit of a case unchanged when
    each frame is repeated equally often, and nearly so otherwise.
    """
    return [min(count - 1, int((place + 0.5) * count / wanted)) for place in range(wanted)]


def conditioned_frames(files: CaseFiles, preparation: Preparation) -> list[np.ndarray]:
    """Read and condition the slices that the plan chose for a case: the values that the ONNX graph starts from.

    Raises
    ------
    ReadError
        If a file cannot be read, or is not what the rule expects.
    """
    chosen = evenly_spaced(sum(files.frames), preparation.slices)
    owners = np.repeat(np.arange(len(files.frames)), files.frames)
    starts = np.concatenate([[0], np.cumsum(files.frames)])
    images: dict[int, Image] = {}
    for owner in sorted({int(owners[frame]) for frame in chosen}):
        image = read_image(files.sources[owner], digest=False)
        if image.frames != files.frames[owner]:
            raise ReadError(f"the file holds {image.frames} frames, not the {files.frames[owner]} that its header said")
        images[owner] = image
    frames = condition(preparation.conditioning, list(images.values()), preparation.clean)
    offsets = _offsets(images)
    return [frames[offsets[int(owners[frame])] + frame - int(starts[owners[frame]])] for frame in chosen]


def case_array(files: CaseFiles, preparation: Preparation) -> np.ndarray:
    """Return a case as (slices, channels, H, W) float32 in [0, 1], ready for the store."""
    return np.stack([apply_stored(preparation.recipe, frame) for frame in conditioned_frames(files, preparation)])


def network_input(stored: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Run the late steps on (n, channels, H, W) values of the store → (n, network channels, H, W) float32."""
    return np.stack([apply_steps(recipe.late, planes) for planes in stored])


def _offsets(images: dict[int, Image]) -> dict[int, int]:
    ends = np.cumsum([0] + [image.frames for image in images.values()])
    return {owner: int(start) for owner, start in zip(images, ends[:-1], strict=True)}


def case_files(sources: Sequence[tuple[object, str | None]], frames: Sequence[int], case: str) -> CaseFiles:
    """Build CaseFiles from a cohort's (path, member) pairs."""
    found = tuple(Source(path, member) for path, member in sources)  # type: ignore[arg-type]
    return CaseFiles(case, found, tuple(int(count) for count in frames))
