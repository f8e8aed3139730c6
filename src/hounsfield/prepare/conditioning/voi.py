"""The rule `voi`: a radiograph as its file asks to be shown (VOI LUT module, DICOM PS3.3 C.11.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from hounsfield.core.image import Image, VOITable, VOIWindow
from hounsfield.prepare.conditioning.grey import bright_up, grey_of, unit_range


def voi(images: Sequence[Image]) -> list[np.ndarray]:
    """Show each image as its file asks, bright being dense: see `shown`."""
    return [frame for image in images for frame in shown(image)]


def shown(image: Image) -> list[np.ndarray]:
    """Return the frames of one file in [0, 1], turned round where low values are to be bright.

    By the file's first VOI LUT; without one by its first valid window; without one the 0.5th to 99.5th percentile of
    each frame becomes 0 to 1. Where a file states several they are alternative views (PS3.3 C.11.2.1.2), the first
    being what a viewer shows first.
    """
    table = image.facts.tables[0] if image.facts.tables else None
    window = next((window for window in image.facts.windows if is_valid(window)), None)
    frames = []
    for frame in image:
        grey = grey_of(frame)
        if table is not None:
            result = apply_table(grey, table)
        elif window is not None:
            result = apply_window(grey, window)
        else:
            low, high = np.percentile(grey[::2, ::2], [0.5, 99.5])
            result = unit_range(grey, float(low), float(high))
        frames.append(bright_up(result, image))
    return frames


def is_valid(window: VOIWindow) -> bool:
    """Say whether the standard allows the width: at least 1 for LINEAR (C.11.2.1.2.1), else greater than 0."""
    return window.width >= 1 if window.function == "LINEAR" else window.width > 0


def apply_window(grey: np.ndarray, window: VOIWindow) -> np.ndarray:
    """Apply a window: (height, width) → float32 in [0, 1].

    LINEAR (C.11.2.1.2.1) has its centre half a value lower and is one value narrower than it says, because it counts
    whole values: c = 2048, w = 4096 is exactly 0 to 4095. LINEAR_EXACT (C.11.2.1.3.2) is what it says. SIGMOID is
    C.11.2.1.3.1.

    Raises
    ------
    ValueError
        If the window is not valid, see `is_valid`.
    """
    if not is_valid(window):
        raise ValueError(f"a {window.function} window cannot have the width {window.width:g}")
    centre, width = window.centre, window.width
    if window.function == "SIGMOID":
        return expit((grey.astype(np.float64) - centre) * (4.0 / width)).astype(np.float32)
    if window.function == "LINEAR":
        centre, width = centre - 0.5, width - 1.0
    if width == 0:
        return (grey > centre).astype(np.float32)
    return unit_range(grey, centre - width / 2, centre + width / 2)


def apply_table(grey: np.ndarray, table: VOITable) -> np.ndarray:
    """Look values up in a VOI LUT (C.11.2.1.1): (height, width) → float32; values between two entries take the nearer."""
    place = np.clip(np.rint(grey - np.float32(table.first)), 0, len(table.values) - 1).astype(np.intp)
    return table.values[place]
