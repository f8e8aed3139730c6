"""PNG, JPEG and TIFF, told by content and read in every mode that exports come in."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest

from hounsfield.errors import ReadError
from hounsfield.read import kind_of, read_headers, read_image

GENERATOR = np.random.default_rng(0)
GREY = GENERATOR.integers(0, 256, (6, 9), dtype=np.uint8)
COLOUR = GENERATOR.integers(0, 256, (6, 9, 3), dtype=np.uint8)
WORDS = GENERATOR.integers(0, 65536, (6, 9), dtype=np.uint16)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(("stored", "top"), [(GREY, 255.0), (WORDS, 65535.0), (COLOUR, 255.0)])
def test_pixels_are_those_of_the_file(tmp_path, suffix, stored, top) -> None:
    path = tmp_path / f"image{suffix}"
    PIL.Image.fromarray(stored).save(path)
    image, header = read_image(path), read_headers(path)[0]
    assert kind_of(path) == header.kind == "raster"
    assert image.unit == ("RGB" if stored.ndim == 3 else "arbitrary")
    assert np.array_equal(image.pixels[0], stored)
    assert image.facts.value_range == (0.0, top)
    assert (header.frames, header.rows, header.columns) == (1, 6, 9)


def test_name_does_not_matter(tmp_path) -> None:
    path = tmp_path / "IM1.dcm"
    PIL.Image.fromarray(GREY).save(path, format="PNG")
    assert np.array_equal(read_image(path).pixels[0], GREY)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, kind, orientation) -> None:
    path = tmp_path / "photo"
    stored = np.zeros((16, 32), dtype=np.uint8)
    stored[:8, :16] = 250  # bright at the top left as stored
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    PIL.Image.fromarray(stored).save(path, format=kind, exif=exif)
    image, header = read_image(path), read_headers(path)[0]
    turned = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.T,
        6: np.rot90(stored, -1),
        7: np.rot90(stored, 2).T,
        8: np.rot90(stored),
    }[orientation]
    assert np.abs(image.pixels[0] - turned).max() < 5
    assert (header.rows, header.columns) == turned.shape


def test_equal_channels_are_grey(tmp_path) -> None:
    path = tmp_path / "grey.png"
    PIL.Image.fromarray(np.repeat(GREY[..., None], 3, axis=2)).save(path)
    image = read_image(path)
    assert image.unit == "arbitrary"
    assert np.array_equal(image.pixels[0], GREY)


def test_one_bit_palette_and_alpha(tmp_path) -> None:
    path = tmp_path / "image.png"
    PIL.Image.fromarray(GREY > 100).save(path)
    assert np.array_equal(read_image(path).pixels[0], (GREY > 100) * 255)
    PIL.Image.fromarray(GREY).convert("P").save(path)
    assert np.array_equal(read_image(path).pixels[0], GREY)
    opaque = np.dstack([COLOUR, np.full((6, 9), 255, dtype=np.uint8)])
    PIL.Image.fromarray(opaque).save(path)
    assert np.array_equal(read_image(path).pixels[0], COLOUR)
    opaque[..., 3] = 0
    PIL.Image.fromarray(opaque).save(path)
    assert read_image(path).pixels.max() == 0


def test_pages_of_a_tiff_are_frames(tmp_path) -> None:
    path = tmp_path / "stack.tif"
    pages = [PIL.Image.fromarray(WORDS + shift) for shift in range(3)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    assert read_headers(path)[0].frames == 3
    assert np.array_equal(read_image(path).pixels, np.stack([np.asarray(page) for page in pages]))
    pages[0].save(path, save_all=True, append_images=[PIL.Image.fromarray(GREY[:3])])
    for read in (read_headers, read_image):
        with pytest.raises(ReadError, match="differ in size"):
            read(path)


def test_cut_short_and_too_large(tmp_path, monkeypatch) -> None:
    path = tmp_path / "image.png"
    PIL.Image.fromarray(GENERATOR.integers(0, 256, (300, 300), dtype=np.uint8)).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ReadError, match="cut short"):
        read_image(path)
    path.write_bytes(whole)
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 1000)
    for read in (read_headers, read_image):
        with pytest.raises(ReadError, match="million pixels"):
            read(path)
