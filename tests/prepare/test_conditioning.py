"""Conditioning: what depends on one case, rule by rule, on numbers that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hounsfield.core import Recipe
from hounsfield.core.recipe import Pad, Window
from hounsfield.errors import PlanError, ReadError
from hounsfield.prepare import RULES, apply, condition, describe
from hounsfield.prepare.conditioning.foreground import HIGHEST_Z, LOWEST_Z, foreground
from hounsfield.prepare.conditioning.otsu import otsu
from tests.prepare.making import image


def test_unknown_rules_are_refused_with_the_choices() -> None:
    with pytest.raises(PlanError, match="histogram") as caught:
        condition("histogram", [image([[1, 2]])])
    assert all(rule in str(caught.value.fix) for rule in RULES)


def test_every_rule_says_what_it_does_and_where_that_stands() -> None:
    for name, rule in RULES.items():
        assert rule.name == name
        assert describe(name) == rule.words
        assert rule.apply.__doc__
        assert len(rule.source) > 20
        assert "DICOM" in rule.source or any(str(year) in rule.source for year in range(1970, 2030)), name


def test_hounsfield_passes_hu_and_refuses_all_else() -> None:
    frames = condition("hounsfield", [image([[-1000, 40]], "HU"), image([[[1, 2]], [[3, 4]]], "HU")])
    assert [frame.tolist() for frame in frames] == [[[-1000, 40]], [[1, 2]], [[3, 4]]]
    for other in (image([[1, 2]]), image(np.zeros((1, 2, 3)), "RGB")):
        with pytest.raises(ReadError, match="Hounsfield"):
            condition("hounsfield", [image([[1, 2]], "HU"), other])


def test_nifti_is_believed_to_be_ct_where_it_holds_air() -> None:
    """It has no place for a unit; the file that has one, or a modality, speaks for itself."""
    lung = np.array([[-900.0, 40.0], [-150.0, 60.0]])
    (found,) = condition("hounsfield", [image(lung)])
    np.testing.assert_array_equal(found, lung)
    frames = condition("hounsfield", [image(lung), image(lung + 800)])
    assert len(frames) == 2, "one file of a case may be without air"
    for other in (
        image(lung + 800), image(lung * 0.001), image(np.abs(lung)), image(lung, modality="MR"),
        image(lung, modality="CT", photometric="MONOCHROME2"), image(lung, photometric="MONOCHROME2"),
    ):  # fmt: skip
        with pytest.raises(ReadError, match="Hounsfield") as caught:
            condition("hounsfield", [other])
        assert "NIfTI" in str(caught.value.fix)
    with pytest.raises(ReadError, match="-100"):
        condition("hounsfield", [image(lung + 800)])


@pytest.mark.parametrize("rule", [name for name, rule in RULES.items() if not rule.takes_hu])
def test_a_ct_is_refused_by_rules_for_other_images(rule: str) -> None:
    with pytest.raises(ReadError, match=rule):
        condition(rule, [image([[1, 2]]), image([[-1000, 40]], "HU")])


def test_several_windows_are_the_channels_of_single_ones() -> None:
    hu = np.random.default_rng(0).uniform(-1200, 2000, (9, 7))
    (frame,) = condition("hounsfield", [image(hu, "HU")])
    windows = ((-600.0, 1500.0), (40.0, 400.0), (400.0, 1800.0))

    def through(*chosen: tuple[float, float]) -> np.ndarray:
        return apply(Recipe(steps=(Window(windows=chosen), Pad(height=9, width=7))), frame)

    together = through(*windows)
    assert together.shape == (3, 9, 7)
    for channel, window in zip(together, windows, strict=True):
        np.testing.assert_array_equal(channel, through(window)[0])


def test_percentiles_are_of_the_whole_case() -> None:
    generator = np.random.default_rng(0)
    dark = generator.uniform(100, 200, (64, 64)).astype(np.float32)
    bright = generator.uniform(800, 900, (64, 64)).astype(np.float32)
    frames = condition("percentiles", [image(dark), image(bright)])
    assert frames[0].max() < 0.2 < 0.8 < frames[1].min(), "slices stay comparable"
    together = condition("percentiles", [image(np.stack([dark, bright]))])
    np.testing.assert_array_equal(together, frames)
    alone = condition("percentiles", [image(dark)])[0]
    assert alone.max() == 1


def test_percentiles_leave_the_background_out_and_the_scale_of_the_scanner() -> None:
    body = np.zeros((64, 64), dtype=np.float32)
    body[20:40, 20:40] = np.random.default_rng(0).uniform(300, 700, (20, 20))
    (found,) = condition("percentiles", [image(body)])
    low, high = np.percentile(body[::2, ::2][body[::2, ::2] > 0], [1, 99])
    np.testing.assert_allclose(found, np.clip((body - low) / (high - low), 0, 1), atol=1e-6)
    (scaled,) = condition("percentiles", [image(body * 7)])
    np.testing.assert_allclose(scaled, found, atol=1e-5)


def test_percentiles_of_nothing_and_of_a_mask() -> None:
    (flat,) = condition("percentiles", [image(np.full((8, 8), 5.0))])
    assert not flat.any()
    mask = np.zeros((8, 8))
    mask[2:6, 2:6] = 3
    (found,) = condition("percentiles", [image(mask)])
    np.testing.assert_array_equal(found, mask / 3)


def head(generator: np.random.Generator, size: int = 64) -> np.ndarray:
    """Tissue of about 600 in noisy air of about 20."""
    air = np.abs(generator.normal(0, 20, (size, size)))
    rows, columns = np.mgrid[:size, :size] - size / 2
    inside = np.hypot(rows, columns) < size / 3
    return np.where(inside, generator.normal(600, 80, (size, size)), air)


def test_otsu_parts_two_hills_whatever_their_scale() -> None:
    generator = np.random.default_rng(0)
    values = np.concatenate([generator.normal(10, 2, 5000), generator.normal(90, 8, 1500)])
    threshold = otsu(values)
    assert 20 < threshold < 70
    assert otsu(values * 1e4 - 7) == pytest.approx(threshold * 1e4 - 7, rel=1e-2)
    assert otsu(np.append(values, 1e7)) == pytest.approx(threshold, abs=10), "one hot pixel changes little"
    assert otsu(np.array([0.0, 0, 0, 10, 10])) == pytest.approx(5, abs=0.1), "the middle of the gap"
    assert otsu(np.full(9, 3.0)) == 3
    slow = max(np.linspace(11, 89, 79), key=lambda cut: _between(values, cut))
    assert abs(_between(values, threshold) / _between(values, slow) - 1) < 0.01


def _between(values: np.ndarray, cut: float) -> float:
    below, above = values[values <= cut], values[values > cut]
    return len(below) * len(above) * (below.mean() - above.mean()) ** 2


def test_zscore_is_of_the_foreground_of_the_whole_case() -> None:
    generator = np.random.default_rng(0)
    dark, bright = head(generator), 1.2 * head(generator)
    frames = condition("zscore", [image(dark), image(bright)])
    values = np.concatenate([dark[::2, ::2].ravel(), bright[::2, ::2].ravel()])
    inside = values[values > 300]  # between the two hills, so that any threshold there gives the same
    for frame, stored in zip(frames, (dark, bright), strict=True):
        z = (stored - inside.mean()) / inside.std()
        expected = (np.clip(z, LOWEST_Z, HIGHEST_Z) - LOWEST_Z) / (HIGHEST_Z - LOWEST_Z)
        np.testing.assert_allclose(frame, expected, atol=1e-4)
    np.testing.assert_array_equal(condition("zscore", [image(np.stack([dark, bright]))]), frames)


def test_zscore_knows_no_scale_and_no_offset() -> None:
    body = head(np.random.default_rng(1))
    (found,) = condition("zscore", [image(body)])
    (other,) = condition("zscore", [image(body * 37 + 500)])
    np.testing.assert_allclose(other, found, atol=1e-3)
    air = found[:5, :5]
    assert not air.any(), "air is far below the mean of tissue"


def test_zscore_where_the_foreground_cannot_be_told() -> None:
    (flat,) = condition("zscore", [image(np.full((8, 8), 5.0))])
    assert not flat.any()
    mask = np.zeros((8, 8))
    mask[2:6, 2:6] = 3
    (found,) = condition("zscore", [image(mask)])
    np.testing.assert_array_equal(found, mask / 3)
    # A few hot voxels are not the patient: all above the lowest value is.
    sample = np.concatenate([np.zeros(100), np.linspace(50, 60, 885), np.full(15, 5000.0)]).astype(np.float32)
    assert len(foreground(sample)) == 900


def test_the_range_that_the_file_can_hold() -> None:
    frames = condition(
        "range", [image([[0, 51, 255]], value_range=(0.0, 255.0)), image([[0, 51, 204]], value_range=(0.0, 255.0))]
    )
    np.testing.assert_allclose(frames, [[[0, 0.2, 1]], [[0, 0.2, 0.8]]], atol=1e-6)
    (turned,) = condition("range", [image([[0, 51, 255]], value_range=(0.0, 255.0), inverted=True)])
    np.testing.assert_allclose(turned, [[1, 0.8, 0]], atol=1e-6)
    (unknown,) = condition("range", [image([[2, 3, 4]])])
    np.testing.assert_allclose(unknown, [[0, 0.5, 1]], atol=1e-6)


def test_colour_becomes_luminance_where_grey_is_wanted() -> None:
    pixels = [[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]]
    for rule in ("range", "percentiles", "zscore", "voi", "ultrasound"):
        (found,) = condition(rule, [image(pixels, "RGB", value_range=(0.0, 255.0))])
        assert found.shape == (1, 4)
    (found,) = condition("range", [image(pixels, "RGB", value_range=(0.0, 255.0))])
    np.testing.assert_allclose(found, [[0.299, 0.587, 0.114, 1]], atol=1e-5)


def test_colour_and_grey_repeated() -> None:
    pixels = np.array([[[255, 0, 51], [0, 102, 255]]])
    (found,) = condition("colour", [image(pixels, "RGB", value_range=(0.0, 255.0))])
    np.testing.assert_allclose(found, pixels / 255, atol=1e-6)
    (grey,) = condition("colour", [image([[0, 51]], value_range=(0.0, 255.0))])
    np.testing.assert_allclose(grey, [[[0] * 3, [0.2] * 3]], atol=1e-6)


@pytest.mark.parametrize("rule", list(RULES))
def test_no_rule_changes_its_image_or_depends_on_another_case(rule: str) -> None:
    values = np.random.default_rng(0).uniform(0, 255, (2, 9, 7)).astype(np.float32)
    made = image(values, "HU" if rule == "hounsfield" else "arbitrary", value_range=(0.0, 255.0))
    values = values.copy()
    once = condition(rule, [made])
    assert len(once) == 2
    assert all(frame.dtype == np.float32 for frame in once)
    if rule != "hounsfield":
        assert 0 <= min(frame.min() for frame in once) <= max(frame.max() for frame in once) <= 1
    np.testing.assert_array_equal(made.pixels, values)
    np.testing.assert_array_equal(condition(rule, [made]), once)
