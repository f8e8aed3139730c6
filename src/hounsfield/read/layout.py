"""The layout of a DICOM image: how many frames it gives, how large, in which order, turned how, and where they lie.

Header and pixels both come from here, so that a header always says what `read_image` will give.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hounsfield.read import tags, usable
from hounsfield.read.geometry import STRAIGHT, Plane, Turn, Vector, affine_of, plane_of, single_step, turn_of
from hounsfield.read.header import Block
from hounsfield.read.keys import key_of
from hounsfield.read.mosaic import Mosaic, mosaic_of
from hounsfield.read.stacks import Place, Stack, stacks_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Layout:
    """What becomes of the stored frames.

    Attributes
    ----------
    frames, rows, columns, spacing:
        Of the Image, after the turn.
    stored:
        Frames in the file.
    order:
        Which stored frame (or tile) each frame of the Image is; None where nothing changes.
    blocks:
        As in a Header.
    affine:
        Of the Image, where its frames are one volume whose place is known.
    """

    frames: int
    rows: int
    columns: int
    stored: int
    spacing: tuple[float, float] | None
    turn: Turn
    mosaic: Mosaic | None
    order: tuple[int, ...] | None
    blocks: tuple[Block, ...]
    affine: np.ndarray | None

    def arrange(self, stored: np.ndarray) -> np.ndarray:
        """Return (frames, rows, columns, …) for the stored (frames, rows, columns, …), as a view where it can be."""
        if self.mosaic is not None:
            stored = self.mosaic.split(stored)
        return self.turn.pixels(stored if self.order is None else stored[list(self.order)])


def layout_of(dataset: Dataset) -> Layout:
    """Return the layout of a data set that `usable.check` accepts.

    Raises
    ------
    ReadError
        For a mosaic that cannot be split.
    """
    stored = usable.frames_of(dataset)
    rows, columns = tags.needed(dataset, "Rows"), tags.needed(dataset, "Columns")
    mosaic = mosaic_of(dataset) if stored == 1 else None
    if mosaic is not None:
        return _of_mosaic(dataset, mosaic)
    if stored > 1 and len(tags.items(dataset, "PerFrameFunctionalGroupsSequence")) >= stored:
        return _of_frames(dataset, stored, rows, columns)
    plane = plane_of(dataset)
    turn = turn_of(plane.orientation)
    turned = turn.plane(plane, rows, columns)
    if stored > 1:  # frames that follow each other in time, or of which nobody says where they lie
        block = Block(stored)
        return Layout(
            stored, *turn.size(rows, columns), stored, turned.spacing, turn, None, None, (block,), None
        )  # fmt: skip
    block = _block(turned, 1, None, dataset)
    affine = affine_of(turned.spacing, block.orientation, block.origin, single_step(turned))
    return Layout(1, *turn.size(rows, columns), 1, turned.spacing, turn, None, None, (block,), affine)


def _block(plane: Plane, frames: int, step: Vector | None, dataset: Dataset) -> Block:
    return Block(frames, plane.orientation, plane.position, step, key_of(dataset))


def _of_mosaic(dataset: Dataset, mosaic: Mosaic) -> Layout:
    plane = mosaic.plane(plane_of(dataset))
    turn = turn_of(plane.orientation)
    turned = turn.plane(plane, mosaic.rows, mosaic.columns)
    order = None
    step, origin = None, turned.position
    if turned.normal is not None and plane.thickness is not None:
        along = np.array(mosaic.normal) * plane.thickness
        if float(along @ turned.normal) < 0:  # frames follow row × column, so the last tile comes first
            order = tuple(reversed(range(mosaic.count)))
            origin = None if origin is None else _vector(np.array(origin) + along * (mosaic.count - 1))
            along = -along
        step = _vector(along)
    block = Block(mosaic.count, turned.orientation, origin, step, key_of(dataset))
    affine = affine_of(turned.spacing, block.orientation, block.origin, block.step)
    size = turn.size(mosaic.rows, mosaic.columns)
    return Layout(mosaic.count, *size, 1, turned.spacing, turn, mosaic, order, (block,), affine)


def _of_frames(dataset: Dataset, stored: int, rows: int, columns: int) -> Layout:
    planes = [plane_of(dataset, frame) for frame in range(stored)]
    turns = {turn_of(plane.orientation) for plane in planes}
    turn = turns.pop() if len(turns) == 1 else STRAIGHT  # mixed planes of one file stay as they are
    turned = [turn.plane(plane, rows, columns) for plane in planes]
    height, width = turn.size(rows, columns)
    places = [
        Place(
            height,
            width,
            plane.spacing,
            plane.orientation,
            plane.position,
            frame,
            key_of(dataset, frame),
        )
        for frame, plane in enumerate(turned)
    ]
    stacks = stacks_of(places)
    order = tuple(member for stack in stacks for member in stack.members)
    blocks = tuple(_of_stack(stack, places) for stack in stacks)
    spacing = places[order[0]].spacing
    affine = None
    if len(blocks) == 1:
        step = single_step(turned[0]) if stored == 1 else blocks[0].step
        affine = affine_of(spacing, blocks[0].orientation, blocks[0].origin, step)
    kept = None if order == tuple(range(stored)) else order
    return Layout(stored, height, width, stored, spacing, turn, None, kept, blocks, affine)


def _of_stack(stack: Stack, places: list[Place]) -> Block:
    first = places[stack.members[0]]
    return Block(
        len(stack.members),
        first.orientation,
        stack.origin,
        stack.step,
        stack.key or first.key,
        stack.notes,
        stack.trouble,
    )


def _vector(values: np.ndarray) -> Vector:
    x, y, z = values.tolist()
    return x, y, z
