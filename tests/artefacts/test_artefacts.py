"""Artefacts: what is drawn into a picture is found where it was drawn, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from scipy import ndimage

from hounsfield.artefacts import Artefact, content_box, find, find_in, mask_of
from hounsfield.artefacts.components import components
from hounsfield.artefacts.morphology import along, dilate, erode, top_hat
from hounsfield.artefacts.picture import LONGEST, picture_of, plane_of, shown_range
from hounsfield.core import Facts, Image
from hounsfield.read import read_image

RANGE = (0.0, 255.0)
WORDS = ("PORTABLE", "AP SUPINE", "Smith, John", "12.03.1987", "RT AXILLA", "ID 483920", "ERECT")
Box = tuple[float, float, float, float]


def body(seed: int, height: int = 300, width: int = 320) -> np.ndarray:
    """A smooth body of broad soft structures on a dark ground, with the grain of a radiograph; uint8."""
    generator = np.random.default_rng(seed)
    soft = ndimage.gaussian_filter(generator.normal(size=(height, width)), min(height, width) / 16)
    down, across = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    shape = 1 / (1 + np.exp(12 * (down**2 + across**2 - 0.9)))
    grain = ndimage.gaussian_filter(generator.normal(size=(height, width)), 0.8)
    return np.clip(20 + shape * (100 + 40 * soft / np.abs(soft).max()) + 3 * grain, 5, 180).astype(np.uint8)


def overlap(box: Box, other: Box) -> float:
    """Intersection over union."""
    shared = max(0.0, min(box[2], other[2]) - max(box[0], other[0])) * max(
        0.0, min(box[3], other[3]) - max(box[1], other[1])
    )
    areas = [(one[2] - one[0]) * (one[3] - one[1]) for one in (box, other)]
    return shared / (sum(areas) - shared)


def best(found: list[Artefact], kind: str, box: Box) -> float:
    return max((overlap(one.box, box) for one in found if one.kind == kind), default=0.0)


def written(
    picture: np.ndarray, text: str, size: int, down: float, across: float, ink: int = 255
) -> tuple[np.ndarray, Box]:
    """Write a text whose box begins at these fractions of height and width; return the box too."""
    canvas = Pillow.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=size)
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    y, x = round(down * canvas.height), round(across * canvas.width)
    draw.text((x - left, y - top), text, font=font, fill=ink if picture.ndim == 2 else (ink, ink, 0))
    box = (y, x, y + bottom - top, x + right - left)
    return np.asarray(canvas), tuple(
        edge / side for edge, side in zip(box, (canvas.height, canvas.width) * 2, strict=True)
    )


def wired(picture: np.ndarray, generator: np.random.Generator, thick: float, contrast: float) -> tuple[np.ndarray, Box]:
    """Add a curved wire of even width (drawn larger, then averaged)."""
    height, width = picture.shape
    larger = 4 if width < 1000 else 2
    ends = generator.uniform(0.15, 0.85, (4, 2)) * (height, width)
    t = np.linspace(0, 1, 300)[:, None]
    curve = (1 - t) ** 3 * ends[0] + 3 * (1 - t) ** 2 * t * ends[1] + 3 * (1 - t) * t**2 * ends[2] + t**3 * ends[3]
    canvas = Pillow.new("L", (width * larger, height * larger))
    points = [(larger * x, larger * y) for y, x in curve]
    ImageDraw.Draw(canvas).line(points, fill=255, width=round(larger * thick), joint="curve")
    wire = np.asarray(canvas.resize((width, height), Pillow.Resampling.BOX)) / 255.0
    box = (*(curve.min(0) / (height, width)), *(curve.max(0) / (height, width)))
    return np.clip(picture + wire * contrast, 0, 255).astype(np.uint8), box


@pytest.mark.parametrize("size", [10, 14, 20, 28])
def test_text_is_found_where_it_was_written(size: int) -> None:
    generator = np.random.default_rng(size)
    overlaps = []
    for seed in range(20):
        picture, box = written(
            body(seed), WORDS[seed % len(WORDS)], size, generator.uniform(0.05, 0.85), generator.uniform(0.02, 0.35)
        )
        overlaps.append(best(find_in(picture, value_range=RANGE), "text", box))
    assert np.mean(np.array(overlaps) > 0.3) >= 0.85, overlaps
    assert np.median(overlaps) > 0.6


@pytest.mark.parametrize("letter", ["L", "R"])
def test_markers_are_found_where_they_lie(letter: str) -> None:
    generator = np.random.default_rng(5)
    overlaps = []
    for seed in range(20):
        place = generator.uniform(0.05, 0.6), generator.choice([0.05, 0.88])
        picture, box = written(body(seed), letter, int(generator.integers(16, 34)), *place, ink=230)
        overlaps.append(best(find_in(picture, value_range=RANGE), "marker", box))
    assert np.mean(np.array(overlaps) > 0.5) >= 0.9, overlaps


def test_a_letter_in_the_middle_is_no_marker() -> None:
    picture, _ = written(body(0), "R", 24, 0.45, 0.48)
    assert not [one for one in find_in(picture, value_range=RANGE) if one.kind == "marker"]


@pytest.mark.parametrize(("side", "thick", "many"), [(320, 1.5, 12), (640, 3.0, 6), (1024, 5.0, 4)])
def test_lines_are_found_where_they_run(side: int, thick: float, many: int) -> None:
    generator = np.random.default_rng(side)
    hits = []
    for seed in range(many):
        picture, box = wired(body(seed, side, side), generator, thick, 70.0)
        lines = [one.box for one in find_in(picture, value_range=RANGE, modality="DX") if one.kind == "line"]
        inside = [box[0] - 0.03 <= one[0] and box[1] - 0.03 <= one[1] for one in lines]
        inside = [
            near and one[2] <= box[2] + 0.03 and one[3] <= box[3] + 0.03
            for near, one in zip(inside, lines, strict=True)
        ]
        assert all(inside), "a line where none was drawn"
        hits.append(bool(lines))
    assert np.mean(hits) >= 0.75


@pytest.mark.parametrize("edges", [(30, 0, 0, 0), (0, 12, 0, 40), (8, 8, 8, 8)])
def test_borders_are_found_exactly(edges: tuple[int, int, int, int]) -> None:
    top, left, bottom, right = edges
    picture = np.pad(body(1) + 20, ((top, bottom), (left, right)))
    height, width = picture.shape
    (border,) = [one for one in find_in(picture, value_range=RANGE) if one.kind == "border"]
    content = (top, left, height - bottom, width - right)
    assert content_box(picture, value_range=RANGE) == content
    np.testing.assert_allclose(border.box, np.array(content) / (height, width, height, width))
    outside = mask_of([border], (height, width))
    assert outside.sum() == height * width - 300 * 320
    assert not outside[top : height - bottom, left : width - right].any()


def test_borders_of_jpeg_traces_and_stray_pixels_are_found() -> None:
    picture = np.pad(body(1) + 20, ((0, 0), (40, 0)))
    picture[:, :40] = np.random.default_rng(0).integers(0, 5, (300, 40))
    picture[7, 20] = 255
    assert content_box(picture, value_range=RANGE) == (0, 40, 300, 360)


def test_air_is_no_border_of_a_section_but_padding_is() -> None:
    air = np.random.default_rng(0).normal(-1000, 8, (256, 256)).astype(np.float32)
    air[64:192, 64:192] = 40
    assert find_in(air, modality="CT") == []
    padded = np.pad(air, ((0, 0), (16, 16)), constant_values=-2000)
    assert content_box(padded, modality="CT") == (0, 16, 256, 272)
    assert [one.kind for one in find_in(padded, modality="CT")] == ["border"]


def test_text_in_ct_is_what_has_the_greatest_value() -> None:
    generator = np.random.default_rng(0)
    slice_ = generator.normal(-1000, 8, (512, 512)).astype(np.float32)
    slice_[100:400, 100:400] = generator.normal(40, 15, (300, 300))
    ink, box = written(np.zeros((512, 512), np.uint8), "Smith, John", 18, 0.03, 0.05)
    burned = np.where(ink > 127, np.float32(3071), slice_)
    image = Image(np.stack([slice_, burned]), "HU", "source")
    clean, found = find(image)
    assert clean == []
    assert best(found, "text", box) > 0.6
    # The same letters, of as many values as bone has, are not called text.
    others = find_in(np.where(ink > 127, generator.normal(900, 100, ink.shape), slice_), modality="CT")
    assert not [one for one in others if one.kind == "text"]


@pytest.mark.parametrize("modality", [None, "DX", "US", "MR", "CT"])
def test_smooth_pictures_and_noise_hold_nothing(modality: str | None) -> None:
    generator = np.random.default_rng(0)
    pictures = [body(seed) for seed in range(6)] + [body(7, 600, 500)]
    pictures += [generator.integers(0, 256, (300, 300)).astype(np.uint8)]
    pictures += [ndimage.gaussian_filter(generator.normal(128, 400, (300, 300)), sigma) for sigma in (0.7, 1.5, 4.0)]
    for picture in pictures:
        assert find_in(picture, value_range=RANGE, modality=modality) == []


def everything(colour: bool = False) -> np.ndarray:
    """A picture with text, a marker, a wire and a border."""
    picture, _ = written(body(3, 320, 320), "PORTABLE", 14, 0.9, 0.1)
    picture, _ = written(picture, "R", 24, 0.2, 0.06, ink=230)
    picture, _ = wired(picture, np.random.default_rng(4), 1.5, 90.0)
    picture = np.pad(np.maximum(picture, 10), ((0, 0), (0, 32)))
    return np.repeat(picture[..., None], 3, -1) if colour else picture


def kinds(found: list[Artefact]) -> set[str]:
    return {one.kind for one in found}


def test_all_kinds_are_found_together() -> None:
    found = find_in(everything(), value_range=RANGE, modality="DX")
    assert kinds(found) == {"text", "marker", "line", "border"}
    assert all(0.5 <= one.score <= 1 for one in found)
    assert all(0 <= one.box[0] < one.box[2] <= 1 and 0 <= one.box[1] < one.box[3] <= 1 for one in found)


@pytest.mark.parametrize(
    ("turn", "mirror"),
    [
        (np.fliplr, lambda box: (box[0], 1 - box[3], box[2], 1 - box[1])),
        (np.flipud, lambda box: (1 - box[2], box[1], 1 - box[0], box[3])),
    ],
    ids=["left-right", "up-down"],
)
def test_a_mirrored_picture_has_mirrored_boxes(
    turn: Callable[[np.ndarray], np.ndarray], mirror: Callable[[Box], Box]
) -> None:
    plain = find_in(everything(), value_range=RANGE, modality="DX")
    turned = find_in(turn(everything()), value_range=RANGE, modality="DX")
    expected = sorted((one.kind, *np.round(mirror(one.box), 3)) for one in plain)
    assert sorted((one.kind, *np.round(one.box, 3)) for one in turned) == expected


def test_inverted_colour_scaled_and_deep_pictures_give_the_same() -> None:
    picture = everything()
    plain = find_in(picture, value_range=RANGE, modality="DX")
    assert find_in(255 - picture, value_range=RANGE, inverted=True, modality="DX") == plain
    assert find_in(everything(colour=True), value_range=RANGE, modality="DX") == plain
    deep = picture.astype(np.float32) * 16
    assert find_in(deep, value_range=(0, 255 * 16), modality="DX") == plain
    image = Image(deep[None], "arbitrary", "source", facts=Facts("DX", value_range=(0, 255 * 16)))
    assert find(image) == [plain]


def test_yellow_letters_are_text() -> None:
    picture, box = written(np.repeat(body(2)[..., None] // 2, 3, -1), "MI 1.1 TIs 0.4", 14, 0.9, 0.1)
    image = Image(picture[None].astype(np.float32), "RGB", "source", facts=Facts("US", value_range=RANGE))
    (found,) = find(image)
    assert best(found, "text", box) > 0.5


def test_odd_pictures_do_no_harm() -> None:
    generator = np.random.default_rng(0)
    for shape in [(1, 1), (1, 300), (300, 1), (3, 3), (28, 28), (28, 28, 3), (40, 2000)]:
        for value in (0.0, 255.0, np.nan, np.inf):
            assert find_in(np.full(shape, value, np.float32)) == [], (shape, value)
        noise = generator.normal(size=shape)
        assert kinds(find_in(noise)) <= {"border"}
        top, left, bottom, right = content_box(noise)
        assert 0 <= top < bottom <= shape[0]
        assert 0 <= left < right <= shape[1]
    for shape in [(4,), (2, 2, 4), (0, 5)]:
        with pytest.raises(ValueError, match="a frame is"):
            find_in(np.zeros(shape))


def test_nan_does_not_hide_or_make_anything() -> None:
    picture = everything().astype(np.float32)
    plain = find_in(picture, value_range=RANGE, modality="DX")
    picture[:, -31:] = np.nan  # one black column is left, whose value they take
    found = find_in(picture, value_range=RANGE, modality="DX")
    assert kinds(found) == kinds(plain)
    assert all(np.isfinite([*one.box, one.score]).all() for one in found)


def test_mask_covers_the_pixels_of_each_box() -> None:
    mask = mask_of(
        [Artefact("text", (0.1, 0.3, 0.2, 0.6), 1.0), Artefact("marker", (0.5, 0.5, 0.55, 0.52), 1.0)], (10, 10)
    )
    assert mask.sum() == 3 + 1
    assert mask[1, 3:6].all()
    assert mask[5, 5]
    assert not mask_of([], (4, 5)).any()


def test_morphology_is_that_of_scipy() -> None:
    generator = np.random.default_rng(0)
    for shape in [(40, 31), (5, 7)]:
        picture = generator.integers(0, 256, shape).astype(np.uint8)
        for size in (1, 3, 7, 17):
            np.testing.assert_array_equal(dilate(picture, size), ndimage.grey_dilation(picture, size, mode="nearest"))
            np.testing.assert_array_equal(erode(picture, size), ndimage.grey_erosion(picture, size, mode="nearest"))
            assert (top_hat(picture, size) <= picture).all()
            assert (along(picture, size) <= picture).all()


def test_components_are_measured_as_by_hand() -> None:
    mask = np.zeros((6, 9), dtype=bool)
    mask[1:4, 1] = mask[1:4, 3] = mask[2, 2] = True  # an H
    mask[0, 8] = mask[5, 0] = True  # too small
    grey = np.arange(54, dtype=np.uint8).reshape(6, 9)
    table, labels = components(mask, grey, grey, 2)
    assert (len(table), labels.max()) == (1, 3)
    assert [int(edge[0]) for edge in (table.top, table.left, table.bottom, table.right)] == [1, 1, 4, 4]
    assert table.area[0] == 7
    assert table.contrast[0] == pytest.approx(grey[mask & (labels == table.label[0])].mean())
    assert table.peak[0] == 30
    assert table.runs[0] == pytest.approx(5 / 3)


def test_large_pictures_are_made_smaller_and_low_ranges_stretched() -> None:
    plane = plane_of(np.random.default_rng(0).uniform(0, 4095, (2600, 1300)))
    shown = shown_range(plane, (0, 65535))
    assert shown == (plane.min(), plane.max())
    assert shown_range(plane, (0, 4095)) == (0, 4095)
    assert max(picture_of(plane, shown, inverted=False).shape) <= LONGEST


def _rates(folder: Path, pattern: str, many: int) -> dict[str, float]:
    files = sorted(folder.glob(pattern))
    files = files[:: max(1, len(files) // many)][:many]
    assert len(files) >= 20
    found = [kinds(find(read_image(file))[0]) for file in files]
    return {kind: float(np.mean([kind in one for one in found])) for kind in ("text", "marker", "line", "border")}


@pytest.mark.parametrize(
    ("pattern", "bands"),
    [
        # Nearly every picture of Guangzhou has a marker, few have text; those of NIH have both; BUSI is ultrasound.
        ("cxr-pneumonia/guangzhou/train/*/*", {"text": (0, 0.06), "marker": (0.5, 0.85), "line": (0, 0.01)}),
        (
            "cxr-pneumonia/nih/*/*",
            {"text": (0.08, 0.3), "marker": (0.2, 0.5), "line": (0, 0.08), "border": (0.1, 0.35)},
        ),
        ("busi/images/*/*", {"text": (0.06, 0.25), "marker": (0, 0.15), "line": (0, 0.05), "border": (0, 0.1)}),
        ("head-ct/images/*", {"text": (0, 0.08), "marker": (0.08, 0.3), "line": (0, 0.15)}),
        # One patient lies under a shield, whose edge is a bright line.
        ("siim-ct-contrast/dicom/*", {"text": (0, 0), "marker": (0, 0), "line": (0, 0.03), "border": (0, 0.05)}),
        ("dicom-series/mr-t1-sag/*", {"text": (0, 0), "marker": (0, 0), "line": (0, 0), "border": (0, 0.05)}),
    ],
    ids=["guangzhou", "nih", "busi", "head-ct", "siim-ct", "mr"],
)
def test_rates_on_real_pictures(data: Path, pattern: str, bands: dict[str, tuple[float, float]]) -> None:
    rates = _rates(data, pattern, 80)
    wrong = {kind: rates[kind] for kind, (low, high) in bands.items() if not low <= rates[kind] <= high}
    assert not wrong, rates


def test_ultrasound_screens_hold_text(data: Path) -> None:
    for name in ("WG04/REF/US1_UNC", "pydicom/JPGLosslessP14SV1_1s_1f_8b.dcm", "pydicom/gdcm-US-ALOKA-16.dcm"):
        texts = [one for one in find(read_image(data / "dicom-conformance" / name))[0] if one.kind == "text"]
        assert len(texts) >= 4, name


def test_tiny_pictures_of_medmnist_hold_no_text(data: Path) -> None:
    with np.load(data / "medmnist/pneumoniamnist.npz") as archive:
        pictures = archive["test_images"][:200]
    for picture in pictures:
        assert kinds(find_in(picture, value_range=RANGE)) <= {"border"}
