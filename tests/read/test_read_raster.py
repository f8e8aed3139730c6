"""PNG, JPEG and TIFF, told by content and read in every mode that exports come in."""

from __future__ import annotations

import struct
import zlib

import imagecodecs
import numpy as np
import PIL.Image
import pytest
import tifffile

from hounsfield.errors import ReadError
from hounsfield.read import kind_of, read_headers, read_image

GENERATOR = np.random.default_rng(0)
GREY = GENERATOR.integers(0, 256, (6, 9), dtype=np.uint8)
COLOUR = GENERATOR.integers(0, 256, (6, 9, 3), dtype=np.uint8)
WORDS = GENERATOR.integers(0, 65536, (6, 9), dtype=np.uint16)
DEEP = GENERATOR.integers(0, 65536, (6, 9, 3), dtype=np.uint16)


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


def save_tiff(stored: np.ndarray, **options: object):
    return lambda path: tifffile.imwrite(path, stored, **options)


def save_png(stored: np.ndarray):
    return lambda path: path.write_bytes(imagecodecs.png_encode(stored))


OPAQUE = np.full((6, 9, 1), 65535, np.uint16)


@pytest.mark.parametrize(
    "save",
    [
        save_png(DEEP),
        save_png(np.dstack([DEEP, OPAQUE])),
        save_tiff(DEEP, photometric="rgb"),
        save_tiff(DEEP, photometric="rgb", byteorder=">", bigtiff=True),
        save_tiff(DEEP, photometric="rgb", compression="lzw", predictor=True),
        save_tiff(np.moveaxis(DEEP, 2, 0), photometric="rgb", planarconfig="separate"),
        save_tiff(np.dstack([DEEP, OPAQUE]), photometric="rgb", extrasamples=["unassalpha"]),
    ],
)
def test_deep_colours_keep_their_depth(tmp_path, save) -> None:
    save(tmp_path / "image")
    image = read_image(tmp_path / "image")
    assert (image.unit, image.facts.value_range) == ("RGB", (0.0, 255.0))
    assert np.array_equal(np.round(image.pixels[0] * 257), DEEP)


@pytest.mark.parametrize("save", [save_png, lambda stored: save_tiff(stored, photometric="rgb")])
def test_deep_colours_with_equal_channels_are_deep_grey(tmp_path, save) -> None:
    save(np.dstack([WORDS] * 3))(tmp_path / "image")
    image = read_image(tmp_path / "image")
    assert (image.unit, image.facts.value_range) == ("arbitrary", (0.0, 65535.0))
    assert np.array_equal(image.pixels[0], WORDS)


def test_deep_png_with_transparency(tmp_path) -> None:
    path = tmp_path / "image"
    save_png(np.dstack([WORDS, OPAQUE]))(path)
    assert np.array_equal(read_image(path).pixels[0], WORDS)
    save_png(np.dstack([WORDS, OPAQUE // 2]))(path)
    assert np.abs(read_image(path).pixels[0] - WORDS / 2).max() <= 1
    save_png(DEEP)(path)
    raw, corner = path.read_bytes(), struct.pack(">3H", *DEEP[0, 0])
    chunk = struct.pack(">I", 6) + b"tRNS" + corner + struct.pack(">I", zlib.crc32(b"tRNS" + corner))
    place = raw.index(b"IDAT") - 4
    path.write_bytes(raw[:place] + chunk + raw[place:])
    seen = read_image(path).pixels[0]
    assert (seen[0, 0] == 0).all()
    assert np.array_equal(np.round(seen[0, 1:] * 257), DEEP[0, 1:])


@pytest.mark.parametrize(
    ("stored", "options", "top"),
    [
        (WORDS, {"bigtiff": True}, 65535.0),
        (WORDS, {"bigtiff": True, "byteorder": ">"}, 65535.0),
        (GREY, {"bigtiff": True, "byteorder": ">"}, 255.0),
        (WORDS >> 4, {"bitspersample": 12}, 4095.0),
        (WORDS, {"compression": "zstd", "tile": (16, 16)}, 65535.0),
        (GREY.view(np.int8), {}, None),
        (WORDS.view(np.int16), {}, None),
        (WORDS.astype(np.uint32) << 16, {}, None),
        (WORDS.astype(np.int32) - 70000, {}, None),
        (GREY.astype(np.float16), {}, None),
        (WORDS / np.float32(7), {}, None),
        (WORDS.astype(np.float64) * 0.5, {}, None),
        (COLOUR.astype(np.float32) / 255, {"photometric": "rgb"}, None),
    ],
)
def test_tiff_of_every_type(tmp_path, stored, options, top) -> None:
    tifffile.imwrite(tmp_path / "image", stored, **{"photometric": "minisblack", **options})
    image, header = read_image(tmp_path / "image"), read_headers(tmp_path / "image")[0]
    assert kind_of(tmp_path / "image") == "raster"
    assert (header.frames, header.rows, header.columns) == image.pixels.shape[:3]
    assert np.array_equal(image.pixels[0], stored.astype(np.float32))
    assert image.facts.value_range == (None if top is None else (0.0, top))


def test_white_at_zero(tmp_path) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, GREY, photometric="miniswhite")
    assert np.array_equal(read_image(path).pixels[0], 255 - GREY)
    assert not read_image(path).facts.inverted
    tifffile.imwrite(path, WORDS, photometric="miniswhite")
    assert np.array_equal(read_image(path).pixels[0], WORDS)
    assert read_image(path).facts.inverted


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_images_are_turned_like_others(tmp_path, orientation) -> None:
    tifffile.imwrite(tmp_path / "deep", DEEP, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    PIL.Image.fromarray((DEEP >> 8).astype(np.uint8)).save(tmp_path / "byte", "PNG", exif=exif)
    deep, byte = (read_image(tmp_path / name).pixels for name in ("deep", "byte"))
    assert np.array_equal(np.round(deep * 257) // 256, byte)
    assert read_headers(tmp_path / "deep")[0].rows == read_headers(tmp_path / "byte")[0].rows == byte.shape[1]


@pytest.mark.parametrize("stored", [GREY, WORDS])
def test_thumbnails_of_a_tiff_are_no_frames(tmp_path, stored) -> None:
    with tifffile.TiffWriter(tmp_path / "image") as writer:
        writer.write(stored[::2, ::2].copy(), subfiletype=1, photometric="minisblack")
        writer.write(stored, photometric="minisblack")
    assert read_headers(tmp_path / "image")[0].frames == 1
    assert np.array_equal(read_image(tmp_path / "image").pixels[0], stored)


def test_pages_of_different_depth(tmp_path) -> None:
    with tifffile.TiffWriter(tmp_path / "image") as writer:
        for page in (GREY, WORDS):
            writer.write(page, photometric="minisblack")
    with pytest.raises(ReadError, match="differ in depth"):
        read_image(tmp_path / "image")


@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
@pytest.mark.parametrize("type_", [np.uint8, np.uint16])
def test_tiff_cut_short_loses_no_page_in_silence(tmp_path, capfd, compression, type_) -> None:
    path, page = tmp_path / "image", GENERATOR.integers(0, 256, (64, 64)).astype(type_)
    with tifffile.TiffWriter(path) as writer:
        for _ in range(3):
            writer.write(page, photometric="minisblack", compression=compression, contiguous=False)
    whole = path.read_bytes()
    for part in (0.1, 0.4, 0.7, 0.99):
        path.write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(ReadError, match="cut short"):
            read_image(path)
    assert "tifffile" not in capfd.readouterr().err


def test_refused_variants_of_tiff(tmp_path) -> None:
    path = tmp_path / "image"
    tifffile.imwrite(path, np.dstack([WORDS, WORDS]), photometric="minisblack", planarconfig="contig")
    with pytest.raises(ReadError, match="variant"):
        read_image(path)
    tifffile.imwrite(path, np.dstack([DEEP, WORDS]), photometric="separated", planarconfig="contig")
    with pytest.raises(ReadError, match="variant"):
        read_image(path)


def test_deep_png_cut_short(tmp_path) -> None:
    path = tmp_path / "image"
    save_png(GENERATOR.integers(0, 65536, (64, 64, 3), dtype=np.uint16))(path)
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(ReadError, match="cut short"):
        read_image(path)


def test_pixels_that_are_no_number(tmp_path) -> None:
    stored = WORDS.astype(np.float32)
    stored[0, :3] = np.nan, np.inf, -np.inf
    tifffile.imwrite(tmp_path / "image", stored)
    pixels = read_image(tmp_path / "image").pixels[0]
    assert (pixels[0, :3] == pixels.min()).all()
    assert np.array_equal(pixels[1:], WORDS[1:])
    tifffile.imwrite(tmp_path / "image", np.full((6, 9), np.nan))
    with pytest.raises(ReadError, match="no pixel"):
        read_image(tmp_path / "image")


def test_large_tiff_is_refused_before_it_is_decoded(tmp_path, monkeypatch) -> None:
    path = tmp_path / "image"
    tifffile.imwrite(path, np.zeros((90, 90), np.uint16))
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 1000)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", None)
    for read in (read_headers, read_image):
        with pytest.raises(ReadError, match="million pixels"):
            read(path)
