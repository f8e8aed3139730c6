"""The rules for values and for what may be mirrored, on fingerprints made by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hounsfield.errors import PlanError
from hounsfield.plan import Fingerprint
from hounsfield.plan.anatomy import flip_allowed, region_of
from hounsfield.plan.rules import shape, values
from hounsfield.prepare import RULES

Make = Callable[..., Fingerprint]


@pytest.mark.parametrize(
    ("known", "rule"),
    [
        ({}, "hounsfield"),
        ({"unit": "HU", "modality": "PT"}, "hounsfield"),
        ({"unit": "RGB", "modality": "US"}, "ultrasound"),
        ({"unit": "RGB", "modality": "ES"}, "colour"),
        ({"unit": "RGB", "modality": "XX"}, "colour"),
        ({"unit": "RGB", "modality": None, "kind": "raster"}, "colour"),
        ({"unit": "RGB", "modality": None, "kind": "npz"}, "colour"),
        ({"unit": "arbitrary", "modality": "MR"}, "percentiles"),
        ({"unit": "arbitrary", "modality": "MR", "is_picture": True}, "percentiles"),
        ({"unit": "arbitrary", "modality": "CR"}, "voi"),
        ({"unit": "arbitrary", "modality": "DX", "is_picture": True}, "voi"),
        ({"unit": "arbitrary", "modality": "MG"}, "mammogram"),
        ({"unit": "arbitrary", "modality": "MG", "is_picture": True, "kind": "raster"}, "mammogram"),
        ({"unit": "arbitrary", "modality": "US", "is_picture": True}, "ultrasound"),
        ({"unit": "arbitrary", "modality": "IVUS", "is_picture": True}, "ultrasound"),
        ({"unit": "arbitrary", "modality": "ES", "is_picture": True}, "range"),
        ({"unit": "arbitrary", "modality": None, "is_picture": True, "kind": "raster"}, "range"),
        ({"unit": "arbitrary", "modality": None, "is_picture": True, "kind": "npz"}, "range"),
        ({"unit": "arbitrary", "modality": "CT", "is_picture": True}, "range"),
        ({"unit": "arbitrary", "modality": "MR", "kind": "nifti"}, "percentiles"),
    ],
)
def test_conditioning(found: Make, known: dict[str, Any], rule: str) -> None:
    decision = values.conditioning(found(**known))
    assert decision.value == rule
    assert decision.value in RULES
    assert decision.reason


@pytest.mark.parametrize("kind", ["dicom", "nifti", "raster", "npz"])
@pytest.mark.parametrize("unit", ["arbitrary", "RGB"])
@pytest.mark.parametrize("is_picture", [True, False])
def test_no_modality_no_default(found: Make, kind: str, unit: str, is_picture: bool) -> None:
    """Only pictures, whose range is known, go without saying."""
    known = found(unit=unit, modality=None, kind=kind, is_picture=is_picture, looks_hounsfield=unit == "arbitrary")
    if kind in ("raster", "npz") and (is_picture or unit == "RGB"):
        assert values.conditioning(known).value == ("colour" if unit == "RGB" else "range")
        return
    with pytest.raises(PlanError, match=r"no modality|neither a modality") as caught:
        values.conditioning(known)
    fix = str(caught.value.fix)
    assert "--modality" in fix
    assert "--set conditioning=" in fix
    assert all(rule in fix for rule in RULES)


def test_nifti_said_to_be_ct(found: Make) -> None:
    nifti = found(unit="arbitrary", modality="CT", kind="nifti", looks_hounsfield=True)
    assert values.unit(nifti).value == "HU"
    assert "NIfTI" in values.unit(nifti).reason
    for other in ({"modality": "MR"}, {"modality": None}, {"kind": "npz"}, {"looks_hounsfield": False}):
        known = found(**{"unit": "arbitrary", "modality": "CT", "kind": "nifti", "looks_hounsfield": True, **other})
        assert values.unit(known).value == "arbitrary", other
    silent = found(unit="arbitrary", modality=None, kind="nifti", looks_hounsfield=True)
    assert values.unit(silent, "hounsfield").value == "HU", "who asks for the rule says that it is HU"
    masked = found(unit="arbitrary", modality="CT", kind="nifti", looks_hounsfield=False)
    for is_picture in (False, True):
        with pytest.raises(PlanError, match="Hounsfield") as caught:
            values.conditioning(found(**{**masked.__dict__, "is_picture": is_picture}))
        assert "percentiles" in str(caught.value.fix)


@pytest.mark.parametrize("modality", ["CT", "NM", "PT", "XX", "US"])
def test_an_unknown_modality_is_asked_about_and_never_guessed(found: Make, modality: str) -> None:
    with pytest.raises(PlanError, match=modality) as caught:
        values.conditioning(found(unit="arbitrary", modality=modality))
    fix = str(caught.value.fix)
    assert "conditioning=" in fix
    assert all(rule in fix for rule in ("voi", "percentiles", "range"))


@pytest.mark.parametrize(
    ("part", "windows"),
    [
        ("CHEST", [(-600, 1500), (40, 400), (400, 1800)]), ("Thorax", [(-600, 1500), (40, 400), (400, 1800)]),
        ("HEAD", [(40, 80), (75, 215), (600, 2800)]), ("BRAIN", [(40, 80), (75, 215), (600, 2800)]),
        ("ABDOMEN", [(50, 400), (80, 150), (400, 1800)]), ("NECK", [(50, 350), (300, 600), (400, 1800)]),
        ("LSPINE", [(50, 250), (50, 350), (400, 1800)]), ("KNEE", [(50, 350), (400, 1800), (700, 4000)]),
        ("WHOLEBODY", [(95, 430)]), (None, [(95, 430)]), ("", [(95, 430)]),
    ],
)  # fmt: skip
def test_windows(found: Make, part: str | None, windows: list[tuple[float, float]]) -> None:
    decision = values.windows(found(body_part=part), "hounsfield")
    assert decision.value == windows
    assert decision.reason
    assert ("fitted" in decision.reason) == (len(windows) == 1)


def test_windows_of_what_is_no_ct_and_of_a_flat_sample(found: Make) -> None:
    assert values.windows(found(), "range").value == [(0.5, 1.0)]
    (_, width), *_ = values.windows(found(body_part=None, low=10.0, high=10.0), "hounsfield").value
    assert width > 0


@pytest.mark.parametrize(
    ("asked", "value", "words"),
    [
        ("lung", [(-600, 1500)], "lung (-600, 1500)"), ("lung,bone", [(-600, 1500), (400, 1800)], "bone (400, 1800)"),
        ("fitted", [(95, 430)], "fitted (95, 430)"), (["lung", "fitted"], [(-600, 1500), (95, 430)], "fitted (95, 430)"),
        ([[40, 400], "bone"], [[40, 400], (400, 1800)], "bone (400, 1800)"), ([[40, 400]], [[40, 400]], "asked for"),
    ],
)  # fmt: skip
def test_windows_asked_for(found: Make, asked: Any, value: Any, words: str) -> None:
    decision = values.windows_asked_for(found(), "hounsfield", asked)
    assert decision.value == value
    assert decision.reason.startswith("asked for")
    assert words in decision.reason
    if words != "asked for":
        with pytest.raises(PlanError, match="Hounsfield"):
            values.windows_asked_for(found(), "percentiles", asked)


def test_unknown_windows_are_answered_with_the_known(found: Make) -> None:
    with pytest.raises(PlanError, match=r"lugn.*mediastinum.*fitted"):
        values.windows_asked_for(found(), "hounsfield", ["lugn"])


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
    decision = shape.augmentation(found(body_part=part), side_free=False)
    assert decision.value.flip_horizontal is allowed
    assert not decision.value.flip_vertical
    assert flip_allowed(part, False)[1] in decision.reason
    free = shape.augmentation(found(body_part=part), side_free=True)
    assert free.value.flip_horizontal
    assert "--side-free" in free.reason


@pytest.mark.parametrize(
    ("part", "region"),
    [
        ("CHEST", "chest"), ("lung", "chest"), ("SKULL", "head"), ("PELVIS", "abdomen"), ("KNEE", "extremity"),
        ("TSPINE", "spine"), ("CSPINE", "spine"), ("NECK", "neck"), ("HEADNECK", "head"), ("CHESTABDPELVIS", "chest"),
        ("FOREARM", "extremity"), ("WHOLEBODY", None), ("BREAST", None), (None, None),
    ],
)  # fmt: skip
def test_regions(part: str | None, region: str | None) -> None:
    assert region_of(part) == region


def test_no_flip_where_the_rule_has_turned_the_breast(found: Make) -> None:
    breast = found(body_part="BREAST")
    assert shape.augmentation(breast, side_free=True, rule="voi").value.flip_horizontal
    turned = shape.augmentation(breast, side_free=True, rule="mammogram")
    assert not turned.value.flip_horizontal
    assert "mammogram" in turned.reason
