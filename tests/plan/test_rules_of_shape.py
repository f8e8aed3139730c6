"""What the network is shown, on fingerprints made by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hounsfield.core.plan import Augmentation
from hounsfield.plan import Fingerprint
from hounsfield.plan.rules import shape

Make = Callable[..., Fingerprint]


def _dimension(found: Fingerprint, device: str = "cpu", rule: str = "hounsfield", **known: bool) -> Any:
    return shape.dimension(found, device, rule, **{"pretrained": True, "volume_weights": False, **known})


def test_dimension_follows_from_what_a_case_is(found: Make) -> None:
    assert _dimension(found()).value == "2d"
    stack = found(frames=40, most_frames=60)
    assert _dimension(stack).value == "2.5d" and "pretrained" in _dimension(stack).reason
    assert _dimension(stack, "cuda").value == "2.5d", "pretrained 2D weights are kept on a GPU too"
    assert _dimension(stack, "cuda", pretrained=False).value == "3d"
    assert _dimension(stack, pretrained=False).value == "2.5d", "a CPU does not train 3D from nothing"
    assert _dimension(stack, volume_weights=True).value == "3d"


@pytest.mark.parametrize(
    ("side", "deepest", "kind"), [(28, 28, "3d"), (64, 64, "3d"), (65, 64, "2.5d"), (64, 65, "2.5d")]
)
def test_small_volumes_are_seen_as_a_whole(found: Make, side: int, deepest: int, kind: str) -> None:
    volumes = found(frames=28, most_frames=deepest, height=side, width=side, unit="arbitrary")
    assert _dimension(volumes, rule="range").value == kind
    assert _dimension(volumes, rule="colour").value == "2.5d", "a 3D network takes grey volumes"
    assert _dimension(found(height=side, width=side)).value == "2d", "and one image is no volume"


@pytest.mark.parametrize(("frames", "deepest", "kind", "slices"), [
    (1, 1, "2d", 1), (2, 2, "2d", 2), (300, 300, "2d", 8), (4, 6, "2.5d", 6), (30, 90, "2.5d", 16), (28, 28, "3d", 28),
    (40, 200, "3d", 64),
])  # fmt: skip
def test_slices(found: Make, frames: int, deepest: int, kind: str, slices: int) -> None:
    assert shape.slices(found(frames=frames, most_frames=deepest), kind, None).value == slices


def test_a_grid_in_millimetres_fits_and_is_never_finer_than_the_files(found: Make) -> None:
    fine = found(frames=300, most_frames=400, pixel_spacing=(0.7, 0.7), slice_spacing=1.0)
    grid = shape.spacing(fine, "3d")
    assert grid.value is not None and "coarsened" in grid.reason
    depth, side = shape.slices(fine, "3d", grid.value), shape.size(fine, 0, "3d", grid.value)
    assert depth.value == 64 and side.value == (96, 96)
    assert depth.value * grid.value[0] >= 400, "the deepest case fits"
    assert side.value[0] * grid.value[1] >= 512 * 0.7 - 1
    coarse = found(frames=20, most_frames=24, height=64, width=64, pixel_spacing=(3.0, 3.0), slice_spacing=5.0)
    kept = shape.spacing(coarse, "3d")
    assert kept.value == (5.0, 3.0, 3.0) and "coarsened" not in kept.reason
    assert shape.slices(coarse, "3d", kept.value).value == 24
    assert shape.size(coarse, 0, "3d", kept.value).value == (64, 64)
    assert coarse.anisotropy == pytest.approx(5 / 3)


def test_no_spacing_where_files_state_none_or_nothing_is_resampled(found: Make) -> None:
    assert shape.spacing(found(frames=28), "3d").value is None
    assert shape.spacing(found(frames=28, pixel_spacing=(1.0, 1.0)), "3d").value is None
    assert shape.spacing(found(frames=28, pixel_spacing=(1.0, 1.0), slice_spacing=1.0), "2.5d").value is None
    assert found().anisotropy is None


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(28, 28, 128), (64, 64, 128), (65, 40, 128), (150, 100, 160), (512, 512, 224), (200, 1000, 224)],
)
def test_size_is_a_multiple_of_32_and_no_larger_than_needed(found: Make, height: int, width: int, size: int) -> None:
    assert shape.size(found(height=height, width=width), 224).value == (size, size)
    assert shape.size(found(height=height, width=width), 224, fixed=True).value == (224, 224)


@pytest.mark.parametrize(("side", "size"), [(20, 32), (28, 32), (60, 64), (512, 96)])
def test_size_of_volumes(found: Make, side: int, size: int) -> None:
    assert shape.size(found(frames=28, height=side, width=side), 0, "3d").value == (size, size)


def test_neighbours_take_the_channels_that_are_free(found: Make) -> None:
    stack = found(frames=40)
    assert shape.adjacent(stack, "2.5d", "percentiles", 1).value == 1
    for kind, rule, windows in (("2.5d", "hounsfield", 3), ("3d", "percentiles", 1), ("2.5d", "colour", 1)):
        assert shape.adjacent(stack, kind, rule, windows).value == 0
    assert shape.adjacent(found(frames=2), "2.5d", "percentiles", 1).value == 0
    assert shape.channels("2.5d", 1, 1, "percentiles").value == 3
    assert shape.channels("3d", 0, 1, "percentiles").value == 1
    assert shape.channels("3d", 0, 3, "hounsfield").value == 3
    assert shape.channels("2d", 0, 1, "range").value == 3


def test_normalisation_is_the_backbones_where_the_channels_are(found: Make) -> None:
    own = {"mean": [0.1, 0.2, 0.3], "std": [1.0, 1.0, 1.0]}
    assert shape.normalisation(own, 3, "2d").value == own
    for count, kind in ((1, "3d"), (3, "3d"), (5, "2.5d")):
        assert len(shape.normalisation(own, count, kind).value["mean"]) == count
        assert len(set(shape.normalisation(own, count, kind).value["mean"])) == 1


@pytest.mark.parametrize(
    ("known", "kind", "rule", "region"),
    [
        ({"frames": 90, "most_frames": 90}, "3d", "hounsfield", "body"),
        ({"frames": 90, "most_frames": 90, "modality": "MR"}, "3d", "percentiles", "foreground"),
        ({"frames": 90, "most_frames": 90, "modality": None}, "3d", "range", "none"),
        ({"frames": 28, "most_frames": 28, "height": 28, "width": 28}, "3d", "hounsfield", "none"),
        ({"frames": 90}, "2.5d", "hounsfield", "none"), ({}, "2d", "hounsfield", "none"),
    ],
)  # fmt: skip
def test_region(found: Make, known: dict[str, Any], kind: str, rule: str, region: str) -> None:
    assert shape.region(found(**known), kind, rule).value.kind == region


def test_a_flip_at_test_follows_the_flip_in_training() -> None:
    for flip in (True, False):
        assert shape.flip_at_test(Augmentation(flip_horizontal=flip)).value is flip
