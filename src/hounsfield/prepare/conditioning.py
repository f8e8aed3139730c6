"""Conditioning: what depends on one case's tags or content, as named rules. The Plan names the rule and its reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from hounsfield.core.image import Image, VOIWindow
from hounsfield.errors import PlanError, ReadError

# ITU-R BT.601, the luminance that DICOM's YBR_FULL uses too (PS3.3 C.7.6.3.1.2).
LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def condition(rule: str, images: Sequence[Image]) -> list[np.ndarray]:
    """Apply one rule to all images of a case.

    Returns
    -------
    list of float32 arrays, one per frame, (height, width) or for the rule `colour` (height, width, 3).

    Raises
    ------
    PlanError
        If no rule has that name; the choices are listed.
    ReadError
        If an image is not of the kind that the rule is for (no Hounsfield units, say).
    """
    check_rule(rule)
    return RULES[rule][0](images)


def check_rule(rule: str) -> None:
    """Raise a PlanError, which lists the choices, if no rule has that name."""
    if rule not in RULES:
        raise PlanError(f"conditioning: there is no rule named {rule!r}", fix=f"Choose from: {', '.join(RULES)}.")


def describe(rule: str) -> str:
    """Return in words what a rule does."""
    return RULES[rule][1]


def _hounsfield(images: Sequence[Image]) -> list[np.ndarray]:
    if any(image.unit != "HU" for image in images):
        raise ReadError(
            "the image is not in Hounsfield units, as the plan expects",
            fix="Give a CT image with rescale slope and intercept.",
        )
    return [frame for image in images for frame in image]


def _percentiles(images: Sequence[Image]) -> list[np.ndarray]:
    """One range for the whole case, from its foreground, so that slices stay comparable with each other."""
    grey = [_grey(frame) for image in images for frame in image]
    sample = np.concatenate([frame[::2, ::2].ravel() for frame in grey])
    foreground = sample[sample > sample.min()]
    if foreground.size == 0:
        return [np.zeros_like(frame) for frame in grey]
    low, high = np.percentile(foreground, [1.0, 99.0])
    if high <= low:  # two values only, as in a mask
        low = float(sample.min())
    return [_unit_range(frame, float(low), float(high)) for frame in grey]


def _voi(images: Sequence[Image]) -> list[np.ndarray]:
    frames = []
    for image in images:
        for frame in image:
            grey = _grey(frame)
            if image.facts.windows:
                shown = apply_voi(grey, image.facts.windows[0])
            else:
                low, high = np.percentile(grey[::2, ::2], [0.5, 99.5])
                shown = _unit_range(grey, float(low), float(high))
            frames.append(1.0 - shown if image.facts.inverted else shown)
    return frames


def _full_range(images: Sequence[Image]) -> list[np.ndarray]:
    frames = []
    for image in images:
        low, high = _range_of(image)
        for frame in image:
            shown = _unit_range(_grey(frame), low, high)
            frames.append(1.0 - shown if image.facts.inverted else shown)
    return frames


def _colour(images: Sequence[Image]) -> list[np.ndarray]:
    frames = []
    for image in images:
        low, high = _range_of(image)
        for frame in image:
            planes = frame if frame.ndim == 3 else np.repeat(frame[..., None], 3, axis=-1)
            frames.append(_unit_range(planes, low, high))
    return frames


def apply_voi(grey: np.ndarray, window: VOIWindow) -> np.ndarray:
    """Apply a file's window: (height, width) → [0, 1], by LINEAR, LINEAR_EXACT or SIGMOID (PS3.3 C.11.2.1.2, .3)."""
    centre, width = window.centre, window.width
    if window.function == "SIGMOID":
        return (1.0 / (1.0 + np.exp(-4.0 * (grey - centre) / width))).astype(np.float32)
    if window.function == "LINEAR":
        centre, width = centre - 0.5, max(width - 1.0, 1e-6)
    return _unit_range(grey, centre - width / 2, centre + width / 2)


def _range_of(image: Image) -> tuple[float, float]:
    if image.facts.value_range is not None:
        return image.facts.value_range
    return float(image.pixels.min()), float(image.pixels.max())


def _grey(frame: np.ndarray) -> np.ndarray:
    return frame @ LUMINANCE if frame.ndim == 3 else frame


def _unit_range(values: np.ndarray, low: float, high: float) -> np.ndarray:
    if high <= low:
        return np.zeros(values.shape, dtype=np.float32)
    result = (values.astype(np.float32, copy=False) - np.float32(low)) * np.float32(1.0 / (high - low))
    return np.clip(result, 0.0, 1.0, out=result)


RULES: dict[str, tuple[Callable[[Sequence[Image]], list[np.ndarray]], str]] = {
    "hounsfield": (_hounsfield, "Hounsfield units as they are; the windows of the plan follow"),
    "percentiles": (_percentiles, "the 1st to 99th percentile of the case's foreground becomes 0 to 1"),
    "voi": (_voi, "the file's own window (else its 0.5th to 99.5th percentile) becomes 0 to 1, MONOCHROME1 inverted"),
    "range": (_full_range, "the range that the file can hold becomes 0 to 1; colour becomes luminance"),
    "colour": (_colour, "red, green and blue from 0 to 1; grey is repeated"),
}
