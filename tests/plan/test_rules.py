"""Each rule on fingerprints made by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hounsfield.errors import PlanError
from hounsfield.plan import Fingerprint, rules
from hounsfield.plan.anatomy import flip_allowed, region_of
from hounsfield.prepare import RULES

Make = Callable[..., Fingerprint]


@pytest.mark.parametrize(
    ("known", "rule"),
    [
        ({}, "hounsfield"),
        ({"unit": "HU", "modality": "PT"}, "hounsfield"),
        ({"unit": "RGB", "modality": "US"}, "colour"),
        ({"unit": "RGB", "modality": None}, "colour"),
        ({"unit": "arbitrary", "modality": "MR"}, "percentiles"),
        ({"unit": "arbitrary", "modality": "MR", "is_picture": True}, "percentiles"),
        ({"unit": "arbitrary", "modality": "CR"}, "voi"),
        ({"unit": "arbitrary", "modality": "DX", "is_picture": True}, "voi"),
        ({"unit": "arbitrary", "modality": "MG"}, "voi"),
        ({"unit": "arbitrary", "modality": "US", "is_picture": True}, "range"),
        ({"unit": "arbitrary", "modality": None, "is_picture": True}, "range"),
        ({"unit": "arbitrary", "modality": "CT", "is_picture": True}, "range"),
        ({"unit": "arbitrary", "modality": None, "is_picture": False}, "percentiles"),
    ],
)
def test_conditioning(found: Make, known: dict[str, Any], rule: str) -> None:
    decision = rules.conditioning(found(**known))
    assert decision.value == rule
    assert decision.value in RULES
    assert decision.reason


@pytest.mark.parametrize("modality", ["CT", "NM", "PT", "XX"])
def test_an_unknown_modality_is_asked_about_and_never_guessed(found: Make, modality: str) -> None:
    with pytest.raises(PlanError, match=modality) as caught:
        rules.conditioning(found(unit="arbitrary", modality=modality))
    fix = str(caught.value.fix)
    assert "conditioning=" in fix
    assert all(rule in fix for rule in ("voi", "percentiles", "range"))


@pytest.mark.parametrize(
    ("part", "windows"),
    [
        ("CHEST", [(-600, 1500), (40, 400), (400, 1800)]), ("Thorax", [(-600, 1500), (40, 400), (400, 1800)]),
        ("HEAD", [(40, 80), (75, 215), (600, 2800)]), ("BRAIN", [(40, 80), (75, 215), (600, 2800)]),
        ("ABDOMEN", [(50, 400), (80, 150), (400, 1800)]), ("KNEE", [(95, 430)]), (None, [(95, 430)]), ("", [(95, 430)]),
    ],
)  # fmt: skip
def test_windows(found: Make, part: str | None, windows: list[tuple[float, float]]) -> None:
    decision = rules.windows(found(body_part=part), "hounsfield")
    assert decision.value == windows
    assert decision.reason
    assert ("fitted" in decision.reason) == (len(windows) == 1)


def test_windows_of_what_is_no_ct_and_of_a_flat_sample(found: Make) -> None:
    assert rules.windows(found(), "range").value == [(0.5, 1.0)]
    (_, width), *_ = rules.windows(found(body_part=None, low=10.0, high=10.0), "hounsfield").value
    assert width > 0


@pytest.mark.parametrize(
    ("part", "allowed"),
    [
        ("BREAST", True), ("KNEE", True), ("HAND", True), ("SKIN", True), ("CHEST", False), ("HEAD", False),
        ("ABDOMEN", False),
        ("Lung", False), ("LUMBAR SPINE", False), (None, False), ("", False), ("FOREARM", True),
        ("WHOLEBODY", False), ("CHESTABDPELVIS", False), ("HEADNECK", False), ("CHEST AND ARM", False),
    ],
)  # fmt: skip
def test_flips_respect_anatomy(found: Make, part: str | None, allowed: bool) -> None:
    decision = rules.augmentation(found(body_part=part), side_free=False)
    assert decision.value.flip_horizontal is allowed
    assert not decision.value.flip_vertical
    assert flip_allowed(part, False)[1] in decision.reason
    free = rules.augmentation(found(body_part=part), side_free=True)
    assert free.value.flip_horizontal
    assert "--side-free" in free.reason


@pytest.mark.parametrize(
    ("part", "region"),
    [("CHEST", "chest"), ("lung", "chest"), ("SKULL", "head"), ("PELVIS", "abdomen"), ("KNEE", None), (None, None)],
)
def test_regions(part: str | None, region: str | None) -> None:
    assert region_of(part) == region


@pytest.mark.parametrize(("frames", "slices"), [(1, 1), (2, 2), (8, 8), (300, 8)])
def test_slices(found: Make, frames: int, slices: int) -> None:
    assert rules.slices(found(frames=frames)).value == slices


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(28, 28, 128), (64, 64, 128), (65, 40, 128), (150, 100, 160), (512, 512, 224), (200, 1000, 224)],
)
def test_size_is_a_multiple_of_32_and_no_larger_than_needed(found: Make, height: int, width: int, size: int) -> None:
    assert rules.size(found(height=height, width=width), 224).value == (size, size)


def test_loss_weighs_rare_classes_more(found: Make) -> None:
    decision = rules.loss(found(), "cross-entropy")
    assert decision.value.class_weights == {"no": pytest.approx(2 / 3, abs=1e-4), "yes": 2.0}
    assert "75 no, 25 yes" in decision.reason
    assert rules.loss(found(), "focal").value.name == "focal"
    assert rules.loss(found(counts={"no": 10, "yes": 0}), "cross-entropy").value.class_weights["yes"] < 100


def test_members_follow_folds_and_cases(found: Make) -> None:
    assert [
        rules.members(found(folds=5)).value,
        rules.members(found()).value,
        rules.members(found(cases=5000)).value,
    ] == [5, 3, 1]


@pytest.mark.parametrize("cases", [1, 7, 40, 100, 100_000])
@pytest.mark.parametrize("slices", [1, 8, 200])
def test_batches_and_views_are_never_nothing(found: Make, cases: int, slices: int) -> None:
    assert 4 <= rules.batch(found(cases=cases), slices).value <= 32
    assert 4 <= rules.cached_views(found(cases=cases), "all", slices).value <= 16
    assert rules.cached_views(found(cases=cases), "none", slices).value == 0
