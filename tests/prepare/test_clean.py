"""What the plan removes is gone before the rule sees the image, and all else stays where it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from hounsfield.artefacts import Artefact
from hounsfield.core import Region
from hounsfield.core.plan import Removal
from hounsfield.core.recipe import Pad, Recipe, Resize, Window
from hounsfield.prepare import Preparation, case_files, clean, condition, conditioned_frames, fill
from tests.prepare.making import image

PIXELS = np.random.default_rng(0).integers(20, 200, (40, 50)).astype(np.float32)


def finding(monkeypatch: pytest.MonkeyPatch, *artefacts: Artefact) -> None:
    monkeypatch.setattr(clean, "_found", lambda image: [list(artefacts)] * image.frames)


def box(kind: Any, top: int, left: int, bottom: int, right: int) -> Artefact:
    return Artefact(kind, (top / 40, left / 50, bottom / 40, right / 50), 1.0)


def test_nothing_is_removed_and_nothing_is_sought_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clean, "_found", lambda *_: pytest.fail("nobody asked"))
    made = image(PIXELS)
    assert clean.cleaned(made, ())[0] is made
    np.testing.assert_array_equal(condition("range", [made], ()), condition("range", [made]))


def test_letters_are_blanked_with_what_is_dark_in_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    finding(monkeypatch, box("text", 3, 4, 8, 20), box("marker", 30, 40, 36, 46), box("line", 10, 10, 20, 20))
    for what, kinds in (("text", [(3, 4, 8, 20)]), ("marker", [(30, 40, 36, 46)])):
        for inverted in (False, True):
            made = image(PIXELS, inverted=inverted)
            found = clean.cleaned(made, [what])[0]
            expected = PIXELS.copy()
            for top, left, bottom, right in kinds:
                expected[top:bottom, left:right] = PIXELS.max() if inverted else PIXELS.min()
            np.testing.assert_array_equal(found.pixels[0], expected)
            np.testing.assert_array_equal(made.pixels[0], PIXELS, "the image itself is left as it was")
    both = clean.cleaned(image(PIXELS), ["text", "marker"])[0]
    assert (both.pixels[0, 3:8, 4:20] == PIXELS.min()).all()
    assert (both.pixels[0, 30:36, 40:46] == PIXELS.min()).all()
    assert both.pixels[0, 12, 12] == PIXELS[12, 12], "lines are not letters"


def test_a_border_is_cropped_and_geometry_moves_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    finding(monkeypatch, box("border", 5, 7, 30, 45))
    affine = np.array([[0.5, 0.1, 0, 10], [0, 0.7, 0, 20], [0.2, 0, 2, 30], [0, 0, 0, 1.0]])
    made = replace(image(PIXELS, regions=(Region(6, 10, 20, 40),)), affine=affine, spacing=(0.7, 0.5))
    found = clean.cleaned(made, ["border"])[0]
    np.testing.assert_array_equal(found.pixels[0], PIXELS[5:30, 7:45])
    assert found.affine is not None
    np.testing.assert_allclose(found.affine @ [3, 4, 0, 1], affine @ [3 + 7, 4 + 5, 0, 1])
    assert (found.spacing, found.source) == (made.spacing, made.source)
    cropped = condition("ultrasound", [found])
    np.testing.assert_array_equal(cropped[0].shape, (14, 30))
    whole = image(PIXELS, value_range=(0.0, 255.0), regions=(Region(6, 10, 20, 40),))
    np.testing.assert_array_equal(condition("ultrasound", [whole], ["border"]), condition("ultrasound", [whole]))


def test_frames_are_cropped_to_what_any_of_them_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = np.stack([PIXELS, PIXELS + 1, PIXELS + 2])
    boxes = {20.0: box("border", 5, 7, 30, 45), 21.0: box("border", 8, 3, 35, 40), 22.0: box("border", 9, 9, 10, 10)}
    monkeypatch.setattr(clean, "_found", lambda image: [[boxes[float(frame.min())]] for frame in image])
    found = clean.cleaned(image(stack), ["border"])[0]
    np.testing.assert_array_equal(found.pixels, stack[:, 5:35, 3:45])
    monkeypatch.setattr(clean, "_found", lambda image: [[boxes[20.0]], [], [boxes[22.0]]])
    assert clean.cleaned(image(stack), ["border"])[0].size == (40, 50), "one frame fills the picture"


def test_letters_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Letters on the border would else hold it open."""
    asked = []

    def found(image: Any) -> list[list[Artefact]]:
        asked.append(image.pixels[0].copy())
        return [[box("text", 0, 0, 4, 10)]] if len(asked) == 1 else [[box("border", 5, 5, 35, 45)]]

    monkeypatch.setattr(clean, "_found", found)
    result = clean.cleaned(image(PIXELS), ["border", "text"])[0]
    assert len(asked) == 2
    assert (asked[1][0:4, 0:10] == PIXELS.min()).all()
    assert result.size == (30, 40)


def drawn() -> np.ndarray:
    """A noisy disc with letters beside it, on a black border of its own."""
    picture = Picture.new("L", (320, 300))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((70, 60, 250, 240), fill=90)
    draw.text((76, 44), "PORTABLE 12", fill=255, font=ImageFont.load_default(size=16))
    pixels = np.asarray(picture).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 6, pixels.shape)
    return np.rint(np.clip(pixels + np.where(pixels == 90, noise, 0), 0, 255)).astype(np.float32)


def test_real_letters_and_a_real_border() -> None:
    pixels = drawn()
    made = image(pixels, value_range=(0.0, 255.0))
    without = clean.cleaned(made, ["text"])[0]
    assert pixels.max() == 255
    assert without.pixels.max() < 150, "the letters are gone"
    assert np.mean(without.pixels[0, 70:230, 100:220] == pixels[70:230, 100:220]) == 1, "the disc is not touched"
    both = clean.cleaned(made, ["text", "border"])[0]
    assert all(150 < side < 230 for side in both.size), both.size
    assert both.pixels.mean() > 1.5 * without.pixels.mean()


@pytest.mark.parametrize("what", ["text", "marker", "border"])
def test_an_inverted_image_is_cleaned_as_its_positive_is(what: Removal) -> None:
    pixels = drawn()
    positive = clean.cleaned(image(pixels, value_range=(0.0, 255.0)), [what])[0]
    negative = clean.cleaned(image(255 - pixels, value_range=(0.0, 255.0), inverted=True), [what])[0]
    np.testing.assert_array_equal(255 - negative.pixels, positive.pixels)


def test_cases_and_stores_follow_the_plan(tmp_path: Path) -> None:
    Picture.fromarray(drawn().astype(np.uint8)).save(tmp_path / "one.png")
    case = case_files([(tmp_path / "one.png", None)], [1], "case")
    recipe = Recipe(
        steps=(Window(windows=((0.5, 1.0),)), Resize(height=32, width=32), Pad(height=32, width=32)),
    )
    plain = Preparation("range", 1, recipe)
    cleaning = Preparation("range", 1, recipe, ("text", "border"))
    (before,), (after,) = conditioned_frames(case, plain), conditioned_frames(case, cleaning)
    assert after.size < before.size
    assert after.max() < before.max()
    names = [fill(tmp_path / "store", [case], preparation, 1, workers=0).digest for preparation in (plain, cleaning)]
    assert names[0] != names[1]
