"""An Image that contradicts itself cannot be made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hounsfield.core import Image


@pytest.mark.parametrize(
    ("shape", "unit", "changes"),
    [
        ((4, 5), "HU", {}),
        ((1, 4, 5, 3), "HU", {}),
        ((1, 4, 5), "RGB", {}),
        ((1, 4, 5, 4), "RGB", {}),
        ((0, 4, 5), "HU", {}),
        ((1, 4, 5), "HU", {"dtype": np.float64}),
        ((1, 4, 5), "HU", {"affine": np.eye(3)}),
    ],
)
def test_contradictions(shape: tuple[int, ...], unit: Any, changes: dict[str, Any]) -> None:
    pixels = np.zeros(shape, dtype=changes.pop("dtype", np.float32))
    with pytest.raises(ValueError, match=r"Image|affine"):
        Image(pixels, unit, "source", **changes)


def test_frames() -> None:
    image = Image(np.arange(24, dtype=np.float32).reshape(2, 3, 4), "HU", "source", spacing=(0.5, 1))
    assert (image.frames, image.size) == (2, (3, 4))
    assert [frame.shape for frame in image] == [(3, 4)] * 2
    assert str(image) == "Image 2×3×4 HU [0, 23], 0.5×1 mm"
