"""The Recipe as ONNX nodes: the same sums as `hounsfield.prepare.steps`, for any height and width."""

from __future__ import annotations

import numpy as np

from hounsfield.core.recipe import Normalise, Pad, Recipe, Repeat, Resize, Step, Window
from hounsfield.errors import ExportError
from hounsfield.export.nodes import Nodes


def add_recipe(nodes: Nodes, image: str, recipe: Recipe, channels: int) -> str:
    """Add a recipe to a graph.

    Parameters
    ----------
    image:
        Name of the (n, channels, height, width) float32 input, conditioned values.
    channels:
        1 for grey, 3 for colour.

    Returns
    -------
    Name of the (n, network channels, H, W) float32 output.
    """
    for step in recipe.steps:
        image, channels = _add(nodes, image, step, channels)
    return image


def _add(nodes: Nodes, image: str, step: Step, channels: int) -> tuple[str, int]:
    match step:
        case Window():
            planes = [_window(nodes, image, centre, width) for centre, width in step.windows]
            if len(planes) == 1:
                return planes[0], channels
            return nodes.op("Concat", *planes, axis=1), channels * len(planes)
        case Resize():
            return _resize(nodes, image, step), channels
        case Pad():
            return _pad(nodes, image, step, channels), channels
        case Repeat():
            if channels == 1:
                return nodes.op("Concat", *[image] * step.channels, axis=1), step.channels
            return image, channels
        case Normalise():
            shape = (1, -1, 1, 1)
            mean = nodes.real(np.asarray(step.mean, dtype=np.float32).reshape(shape))
            std = nodes.real(np.asarray(step.std, dtype=np.float32).reshape(shape))
            return nodes.op("Div", nodes.op("Sub", image, mean), std), channels
        case _:
            raise ExportError(f"the step {step.kind!r} has no ONNX form")


def _window(nodes: Nodes, image: str, centre: float, width: float) -> str:
    moved = nodes.op("Sub", image, nodes.real(centre - width / 2))
    scaled = nodes.op("Mul", moved, nodes.real(np.float32(1 / width)))
    return nodes.op("Clip", scaled, nodes.real(0.0), nodes.real(1.0))


def _resize(nodes: Nodes, image: str, step: Resize) -> str:
    height, width = nodes.side(image, 2), nodes.side(image, 3)
    full_height, full_width = nodes.whole(step.height), nodes.whole(step.width)
    tall = nodes.op("GreaterOrEqual", nodes.op("Mul", height, full_width), nodes.op("Mul", width, full_height))
    out_height = nodes.op("Where", tall, full_height, _rounded(nodes, height, full_width, width))
    out_width = nodes.op("Where", tall, _rounded(nodes, width, full_height, height), full_width)
    rows, columns = add_operator(nodes, out_height, height), add_operator(nodes, out_width, width)
    return nodes.op("MatMul", nodes.op("MatMul", rows, image), nodes.op("Transpose", columns, perm=[1, 0]))


def _rounded(nodes: Nodes, side: str, full: str, other: str) -> str:
    """max(1, round(side * full / other)) in whole numbers, halves upwards."""
    two = nodes.whole(2)
    above = nodes.op("Add", nodes.op("Mul", nodes.op("Mul", two, side), full), other)
    return nodes.op("Max", nodes.whole(1), nodes.op("Div", above, nodes.op("Mul", two, other)))


def add_operator(nodes: Nodes, out: str, length: str) -> str:
    """The triangle filter's (out, length) matrix; see `hounsfield.prepare.steps.resize_operator`."""
    scale = nodes.op("Div", nodes.to_double(length), nodes.to_double(out))
    support = nodes.op("Max", scale, nodes.double(1.0))
    centres = nodes.op("Mul", nodes.op("Unsqueeze", _halves(nodes, out), nodes.vector(1)), scale)
    places = nodes.op("Unsqueeze", _halves(nodes, length), nodes.vector(0))
    distance = nodes.op("Div", nodes.op("Abs", nodes.op("Sub", places, centres)), support)
    weights = nodes.op("Max", nodes.double(0.0), nodes.op("Sub", nodes.double(1.0), distance))
    total = nodes.op("ReduceSum", weights, nodes.vector(1), keepdims=1)
    return nodes.to_float(nodes.op("Div", weights, total))


def _halves(nodes: Nodes, count: str) -> str:
    """0.5, 1.5, … as double."""
    numbers = nodes.op("Range", nodes.whole(0), count, nodes.whole(1))
    return nodes.op("Add", nodes.to_double(numbers), nodes.double(0.5))


def _pad(nodes: Nodes, image: str, step: Pad, channels: int) -> str:
    before, after = [], []
    for axis, full in ((2, step.height), (3, step.width)):
        missing = nodes.op("Sub", nodes.whole(full), nodes.side(image, axis))
        first = nodes.op("Div", missing, nodes.whole(2))
        before.append(nodes.op("Unsqueeze", first, nodes.vector(0)))
        after.append(nodes.op("Unsqueeze", nodes.op("Sub", missing, first), nodes.vector(0)))
    none = nodes.vector(0, 0)
    pads = nodes.op("Concat", none, *before, none, *after, axis=0)
    padded = nodes.op("Pad", image, pads, nodes.real(step.value), mode="constant")
    # The size is known from here on; saying so lets runtimes plan the network's memory.
    return nodes.op("Reshape", padded, nodes.vector(-1, channels, step.height, step.width))
