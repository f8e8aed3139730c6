"""The arithmetic of the Recipe's steps, on numpy arrays; `export` builds the same sums as ONNX nodes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from scipy.sparse import csr_array

from hounsfield.core.recipe import Normalise, Pad, Recipe, Repeat, Resize, Step, Window

_BLOCK = 16  # columns; the fastest of those tried for 512 → 224


def apply(recipe: Recipe, frame: np.ndarray) -> np.ndarray:
    """Run a whole recipe: (height, width) or (height, width, 3) conditioned values → (channels, H, W) float32."""
    return apply_steps(recipe.steps, _planes(frame))


def apply_stored(recipe: Recipe, frame: np.ndarray) -> np.ndarray:
    """Run the steps up to the store: the same input → (channels, H, W) float32 in [0, 1]."""
    return apply_steps(recipe.stored, _planes(frame))


def apply_steps(steps: Iterable[Step], planes: np.ndarray) -> np.ndarray:
    """Run steps on (channels, height, width) float32."""
    for step in steps:
        planes = _apply(step, planes)
    return planes


def fitted_size(height: int, width: int, resize: Resize) -> tuple[int, int]:
    """Return the largest size of the same aspect that fits; whole-number sums, so that every runtime agrees."""
    if height * resize.width >= width * resize.height:
        return resize.height, max(1, (2 * width * resize.height + height) // (2 * height))
    return max(1, (2 * height * resize.width + width) // (2 * width)), resize.width


@lru_cache(maxsize=256)
def resize_operator(out: int, length: int) -> np.ndarray:
    """Return the (out, length) float32 matrix of a triangle-filter resize along one axis.

    Row i weighs the inputs by a triangle around the centre of output pixel i; where the image shrinks, the triangle
    is as wide as the step between output pixels, which makes it antialiased. Rows sum to 1. It equals torch's
    `interpolate(mode="bilinear", antialias=True)`.
    """
    scale = length / out
    support = max(scale, 1.0)
    centres = (np.arange(out, dtype=np.float64)[:, None] + 0.5) * scale
    places = np.arange(length, dtype=np.float64)[None, :] + 0.5
    weights = np.maximum(0.0, 1.0 - np.abs(places - centres) / support)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


@lru_cache(maxsize=256)
def _rows_operator(out: int, length: int) -> csr_array:
    """The same operator without its zeros: of 512 weights in a row, some five count."""
    return csr_array(resize_operator(out, length))


@lru_cache(maxsize=256)
def _column_blocks(out: int, length: int) -> list[tuple[slice, slice, np.ndarray]]:
    """The operator for columns in blocks along its diagonal: (outputs, inputs they need, their weights transposed).

    A sparse product wants the other axis first, and to turn the picture over twice takes longer than these few products.
    """
    operator = resize_operator(out, length)
    blocks = []
    for start in range(0, out, _BLOCK):
        part = operator[start : start + _BLOCK]
        used = np.flatnonzero(part.any(axis=0))
        needed = slice(int(used[0]), int(used[-1]) + 1)
        blocks.append((slice(start, start + len(part)), needed, np.ascontiguousarray(part[:, needed].T)))
    return blocks


def _resized(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    half = _rows_operator(height, plane.shape[0]) @ np.ascontiguousarray(plane)
    result = np.empty((height, width), dtype=np.float32)
    for outputs, needed, weights in _column_blocks(width, plane.shape[1]):
        np.matmul(half[:, needed], weights, out=result[:, outputs])
    return result


def _planes(frame: np.ndarray) -> np.ndarray:
    frame = np.asarray(frame, dtype=np.float32)
    return frame[None] if frame.ndim == 2 else np.ascontiguousarray(np.moveaxis(frame, -1, 0))


def _apply(step: Step, planes: np.ndarray) -> np.ndarray:
    match step:
        case Window():
            return _window(step, planes)
        case Resize():
            height, width = fitted_size(planes.shape[1], planes.shape[2], step)
            if (height, width) == planes.shape[1:]:
                return planes
            return np.stack([_resized(plane, height, width) for plane in planes])
        case Pad():
            return _pad(step, planes)
        case Repeat():
            return np.repeat(planes, step.channels, axis=0) if planes.shape[0] == 1 else planes
        case Normalise():
            mean = np.asarray(step.mean, dtype=np.float32)[:, None, None]
            std = np.asarray(step.std, dtype=np.float32)[:, None, None]
            return (planes - mean) / std


def _window(step: Window, planes: np.ndarray) -> np.ndarray:
    if len(step.windows) == 1:
        return _linear(planes, *step.windows[0])
    return np.concatenate([_linear(planes, centre, width) for centre, width in step.windows])


def _linear(planes: np.ndarray, centre: float, width: float) -> np.ndarray:
    result = (planes - np.float32(centre - width / 2)) * np.float32(1 / width)
    return np.clip(result, 0.0, 1.0, out=result)


def _pad(step: Pad, planes: np.ndarray) -> np.ndarray:
    channels, height, width = planes.shape
    if (height, width) == (step.height, step.width):
        return planes
    top, left = (step.height - height) // 2, (step.width - width) // 2
    result = np.full((channels, step.height, step.width), step.value, dtype=np.float32)
    result[:, top : top + height, left : left + width] = planes
    return result
