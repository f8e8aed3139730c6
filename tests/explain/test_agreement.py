"""Where maps agree: hand-made maps whose strongest places are known, and the letters at the edge of a picture."""

from __future__ import annotations

import numpy as np
import pytest

from hounsfield.explain.agreement import MARKS, agreement, marked_picture, overlap, strongest
from hounsfield.explain.orientation import marks

SIDE = 20


def square(top: int, left: int, height: int = 5, width: int = 8) -> np.ndarray:
    """A map that is 1 in a tenth of the image (40 of 400 places), and 0 elsewhere."""
    values = np.zeros((SIDE, SIDE), dtype=np.float32)
    values[top : top + height, left : left + width] = 1
    return values


def test_the_strongest_tenth_is_of_the_area_and_speaks_for_the_target() -> None:
    ramp = np.arange(400, dtype=np.float32).reshape(SIDE, SIDE)
    mask = strongest(ramp)
    assert mask.sum() == 40 and mask[-2:].all() and not mask[:-2].any()
    few = np.full((SIDE, SIDE), -1.0)
    few[3, 4] = 0.5
    assert strongest(few).sum() == 1, "what speaks against the target is never strong"
    assert not strongest(np.full((SIDE, SIDE), 2.0)).any() and not strongest(-ramp - 1).any()
    pieces = np.repeat(np.arange(10.0), 40).reshape(SIDE, SIDE)
    halves = np.where(np.arange(400) < 80, 1.0, 0.1).reshape(SIDE, SIDE)
    rounded = halves + 1e-7 * np.random.default_rng(0).normal(size=halves.shape)
    for values, area in ((pieces, 40), (halves, 80), (rounded, 80)):
        assert strongest(values).sum() == area, "a superpixel stands or falls as a whole"


def test_counts_areas_and_overlaps_are_those_of_the_squares() -> None:
    # The second lies half over the first, the third elsewhere.
    maps = {"A": square(0, 0), "B": square(0, 4), "C": square(10, 0)}
    found = agreement(maps, "yes")
    assert found.counts.max() == 2 and (found.counts == 2).sum() == 20 and (found.counts == 1).sum() == 80
    assert found.areas == pytest.approx([0.2, 0.05, 0.0])
    assert [pair.overlap for pair in found.pairs] == pytest.approx([1 / 3, 0, 0])
    same = agreement({"A": square(0, 0), "B": 3 * square(0, 0)}, "yes").pairs[0]
    assert same.overlap == 1 and same.rank_correlation == pytest.approx(1)
    assert overlap(np.zeros((2, 2), bool), np.zeros((2, 2), bool)) == 0


def test_what_speaks_against_does_not_count_in_the_rank_correlation() -> None:
    values = square(0, 0)
    other = values - 5 * square(10, 0)
    assert agreement({"A": values, "B": other}, "yes").pairs[0].rank_correlation == pytest.approx(1)
    assert agreement({"A": values, "B": np.zeros_like(values)}, "yes").pairs[0].rank_correlation is None


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ([(0, 0), (0, 0), (0, 0)], "Grad-CAM, SHAP and LIME point to the same place."),
        ([(0, 0), (0, 0), (10, 0)], "Grad-CAM and SHAP point to the same place; LIME points elsewhere."),
        ([(10, 0), (0, 0), (0, 0)], "SHAP and LIME point to the same place; Grad-CAM points elsewhere."),
        ([(0, 0), (0, 0), (0, 6)], "Grad-CAM and SHAP point to the same place; LIME overlaps with it in part."),
        ([(0, 0), (0, 6), (10, 0)], "Grad-CAM, SHAP and LIME overlap in part only."),
        ([(0, 0), (7, 0), (14, 0)], "Grad-CAM, SHAP and LIME point to different places."),
        (
            [(0, 0), None, (0, 0)],
            "Grad-CAM and LIME point to the same place. SHAP found nothing here that speaks for yes.",
        ),
        ([(0, 0), None, None], "SHAP and LIME found nothing here that speaks for yes."),
    ],
)
def test_the_sentence_says_who_points_where(places: list[tuple[int, int] | None], said: str) -> None:
    titles = ["Grad-CAM", "SHAP (superpixels)", "LIME"]
    # 2 of 8 columns shared: 10 of 70 places, a seventh.
    maps = [np.zeros((SIDE, SIDE), np.float32) if place is None else square(*place) for place in places]
    assert agreement(dict(zip(titles, maps, strict=True)), "yes").sentence == said


def test_two_kinds_of_shap_keep_their_full_names() -> None:
    found = agreement({"SHAP (superpixels)": square(0, 0), "SHAP (gradients)": square(0, 0)}, "yes")
    assert found.sentence == "SHAP (superpixels) and SHAP (gradients) point to the same place."


def test_the_picture_has_one_colour_per_count_and_is_the_image_elsewhere() -> None:
    maps = {"A": square(0, 0), "B": square(0, 4), "C": square(0, 4, 5, 8)}
    counts = agreement(maps, "yes").counts
    picture = np.full((SIDE, SIDE, 3), 100, dtype=np.uint8)
    drawn = marked_picture(picture, counts)
    for number, place in ((0, (12, 12)), (1, (0, 0)), (2, (0, 10)), (3, (0, 5))):
        assert counts[place] == number
        colour, weight = (picture[place], 1.0) if number == 0 else MARKS[number - 1]
        expected = 100 * (1 - weight) + np.array(colour) * weight
        assert np.abs(drawn[place].astype(float) - expected).max() <= 0.5
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) == 4
    five, three = (marked_picture(picture, np.full((SIDE, SIDE), number, np.uint8)) for number in (5, 3))
    np.testing.assert_array_equal(five, three)


def affine(right: tuple[float, ...], down: tuple[float, ...]) -> np.ndarray:
    made = np.eye(4)
    made[:3, 0], made[:3, 1] = right, down
    return made


@pytest.mark.parametrize(
    ("right", "down", "said"),
    [
        ((0.5, 0, 0), (0, 0.5, 0), ("R", "L", "A", "P")),  # axial, as it is shown
        ((-0.5, 0, 0), (0, 0.5, 0), ("L", "R", "A", "P")),  # mirrored
        ((0, 1, 0), (0, 0, -1), ("A", "P", "H", "F")),  # sagittal
        ((1, 0, 0), (0, 0, -1), ("R", "L", "H", "F")),  # coronal
        ((0.8, 0.6, 0), (-0.6, 0.8, 0), ("RA", "LP", "AL", "PR")),  # oblique
        ((1, 0.02, 0), (0, 1, 0.1), ("R", "L", "A", "P")),  # hardly tilted
    ],
)
def test_letters_follow_the_axes_of_the_patient(
    right: tuple[float, ...], down: tuple[float, ...], said: tuple[str, ...]
) -> None:
    found = marks(affine(right, down))
    assert tuple(found[side] for side in ("left", "right", "top", "bottom")) == said
