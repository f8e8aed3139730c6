"""The tissue regions of an ultrasound picture, cut at its edges, in grey."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hounsfield.core import Region
from hounsfield.prepare import condition
from hounsfield.read import read_image
from tests.prepare.making import image

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60)).astype(np.float32)


@pytest.mark.parametrize(
    ("regions", "box"),
    [
        ((), (0, 0, 40, 60)),
        ((Region(5, 10, 30, 50),), (5, 10, 30, 50)),
        ((Region(5, 10, 30, 20), Region(8, 40, 35, 55)), (5, 10, 35, 55)),
        ((Region(-7, 20, 99, 70),), (0, 20, 40, 60)),
        ((Region(50, 70, 60, 90),), (0, 0, 40, 60)),
        ((Region(50, 70, 60, 90), Region(1, 2, 3, 4)), (1, 2, 3, 4)),
        ((Region(10, 10, 10, 30),), (0, 0, 40, 60)),
    ],
)
def test_crop(regions: tuple[Region, ...], box: tuple[int, int, int, int]) -> None:
    top, left, bottom, right = box
    stack = np.stack([PIXELS, 255 - PIXELS])
    frames = condition("ultrasound", [image(stack, regions=regions, value_range=(0.0, 255.0))])
    np.testing.assert_allclose(frames, stack[:, top:bottom, left:right] / 255, atol=1e-6)
    (whole,) = condition("range", [image(PIXELS, value_range=(0.0, 255.0))])
    np.testing.assert_array_equal(frames[0], whole[top:bottom, left:right])


def test_colour_becomes_luminance_and_colour_stays_for_who_asks() -> None:
    rgb = np.repeat(PIXELS[..., None], 3, axis=-1)
    rgb[..., 2] = 0
    made = image(rgb, "RGB", value_range=(0.0, 255.0), regions=(Region(0, 0, 10, 10),))
    (grey,) = condition("ultrasound", [made])
    np.testing.assert_allclose(grey, PIXELS[:10, :10] / 255 * (0.299 + 0.587), atol=1e-5)
    (coloured,) = condition("colour", [made])
    assert coloured.shape == (40, 60, 3)


@pytest.mark.parametrize("name", ["JPGLosslessP14SV1_1s_1f_8b.dcm", "OBXXXX1A_expb_2frame.dcm"])
def test_real_files_lose_their_screen(data: Path, name: str) -> None:
    made = read_image(data / "dicom-conformance" / "pydicom" / name)
    frames = condition("ultrasound", [made])
    assert len(frames) == made.frames
    assert all(frame.ndim == 2 and 0 <= frame.min() <= frame.max() <= 1 for frame in frames)
    if made.facts.regions:
        assert frames[0].size < made.size[0] * made.size[1]
