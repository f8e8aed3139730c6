"""Resampling of a volume as ONNX nodes: the same sums as `hounsfield.prepare.volume.on_grid`, for any size and spacing."""

from __future__ import annotations

from hounsfield.export.nodes import Nodes
from hounsfield.export.recipe import add_operator


def add_grid(
    nodes: Nodes,
    image: str,
    spacing: str,
    *,
    wanted: tuple[float, float, float],
    slices: int,
    size: tuple[int, int],
    fill: float,
) -> str:
    """Add the resampling of volumes to another spacing, cut and filled around their centre.

    Parameters
    ----------
    image:
        Name of the (n, slices, channels, height, width) float32 input.
    spacing:
        Name of the (3,) float64 input: millimetres between slices, rows and columns.
    wanted, slices, size, fill:
        As for `hounsfield.prepare.volume.on_grid`.

    Returns
    -------
    Name of the (n, at most `slices`, channels, *size) float32 output.
    """
    counts = [nodes.side(image, axis) for axis in (1, 3, 4)]
    lengths = [
        _length(nodes, count, nodes.op("Gather", spacing, nodes.whole(axis), axis=0), wanted[axis])
        for axis, count in enumerate(counts)
    ]
    single = nodes.op("Equal", counts[0], nodes.whole(1))
    lengths[0] = nodes.op("Where", single, nodes.whole(1), lengths[0])
    along, down, across = (
        _kept(nodes, add_operator(nodes, length, count), length, most)
        for length, count, most in zip(lengths, counts, (slices, *size), strict=True)
    )
    planes = nodes.op("MatMul", nodes.op("MatMul", down, image), nodes.op("Transpose", across, perm=[1, 0]))
    # Slices as rows of a matrix: what one slice holds is moved to one axis, and back.
    flat = nodes.op("Reshape", planes, nodes.vector(0, 0, -1))
    volume = nodes.op("MatMul", along, flat)
    rest = nodes.op("Slice", nodes.op("Shape", planes), nodes.vector(2), nodes.vector(5), nodes.vector(0))
    volume = nodes.op("Reshape", volume, nodes.op("Concat", nodes.vector(0, 0), rest, axis=0))
    return _filled(nodes, volume, size, fill)


def _length(nodes: Nodes, count: str, now: str, then: float) -> str:
    """max(1, floor(count · now / then + 0.5)), in the order of the sums of `prepare.volume.lengths`."""
    scaled = nodes.op("Div", nodes.op("Mul", nodes.to_double(count), now), nodes.double(then))
    rounded = nodes.op("Floor", nodes.op("Add", scaled, nodes.double(0.5)))
    return nodes.op("Max", nodes.whole(1), nodes.to_whole(rounded))


def _kept(nodes: Nodes, operator: str, length: str, most: int) -> str:
    """The rows of an operator that lie around its middle, at most so many."""
    count = nodes.op("Min", length, nodes.whole(most))
    start = nodes.op("Div", nodes.op("Sub", length, count), nodes.whole(2))
    ends = [nodes.op("Unsqueeze", end, nodes.vector(0)) for end in (start, nodes.op("Add", start, count))]
    return nodes.op("Slice", operator, *ends, nodes.vector(0))


def _filled(nodes: Nodes, volume: str, size: tuple[int, int], fill: float) -> str:
    before, after = [], []
    for axis, full in ((3, size[0]), (4, size[1])):
        missing = nodes.op("Sub", nodes.whole(full), nodes.side(volume, axis))
        first = nodes.op("Div", missing, nodes.whole(2))
        before.append(nodes.op("Unsqueeze", first, nodes.vector(0)))
        after.append(nodes.op("Unsqueeze", nodes.op("Sub", missing, first), nodes.vector(0)))
    none = nodes.vector(0, 0, 0)
    return nodes.op(
        "Pad", volume, nodes.op("Concat", none, *before, none, *after, axis=0), nodes.real(fill), mode="constant"
    )
