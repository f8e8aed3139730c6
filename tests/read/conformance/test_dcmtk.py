"""Values, pictures and header numbers against DCMTK, an implementation that shares no code with pydicom.

Pictures are compared in whole grey levels of 0 to 255 and may differ by one: DCMTK cuts where we round. DCMTK 3.6 knows
no JPEG 2000, no LINEAR_EXACT and no pixel padding (it shows padding like a measurement, so padding is left out here).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import JPEG2000Lossless, RLELossless

from hounsfield.core.image import Image
from hounsfield.errors import ReadError
from hounsfield.prepare.conditioning.pictures import full_range
from hounsfield.prepare.conditioning.voi import apply_table, apply_window, shown
from hounsfield.read import read_headers, read_image
from tests.read.conformance.dcmtk import decompressed, numbers, picture, values_of
from tests.read.conformance.independent import collections, needed, padding_of, parsed, run, turn_between

# Real files that DCMTK does not show, or shows otherwise, and why. Everything else must agree.
NOT_SHOWN = {
    "SC_rgb_jpeg.dcm": "explicit VR is mixed with implicit: DCMTK cannot parse it",
    "gdcm-US-ALOKA-16.dcm": "its palette says 8 bits and stores 16: refused by DCMTK",
    "gdcm-US-ALOKA-16_big.dcm": "its palette says 8 bits and stores 16: refused by DCMTK",
    "SC_rgb_32bit.dcm": "colours of 32 bits are refused by DCMTK",
    "SC_rgb_32bit_2frame.dcm": "colours of 32 bits are refused by DCMTK",
    "SC_rgb_expb_32bit.dcm": "colours of 32 bits are refused by DCMTK",
    "SC_rgb_expb_32bit_2frame.dcm": "colours of 32 bits are refused by DCMTK",
}
# Grey levels by which the picture may differ, where it is not one (grey) or none (colour).
ALLOWED = {
    "SC_ybr_full_422_uncompressed.dcm": 1,
    "SC_ybr_full_uncompressed.dcm": 2,  # see test_uncompressed_ybr_is_nearer_to_the_standard_than_dcmtk
}


@pytest.fixture(autouse=True)
def _needs_dcmtk() -> None:
    needed("dcm2pnm")


def real_files(data: Path) -> list[Path]:
    """Return one of each name: pydicom's collections, the uncompressed WG-04 set, and every tenth slice of lung CT.

    Files above 4 MB are left out: they hold the same kinds of pixels as smaller ones, and take most of the time.
    """
    found = {path.name: path for _, *paths in collections(data).values() for path in paths if path.suffix == ".dcm"}
    found = {name: path for name, path in found.items() if path.stat().st_size < 4e6}
    others = [path for path in sorted((data / "dicom-conformance/WG04/REF").iterdir()) if path.stat().st_size < 4e6]
    others += sorted((data / "siim-ct-contrast/dicom").iterdir())[::10]
    return [*found.values(), *others]


def levels(shown_frame: np.ndarray) -> np.ndarray:
    return np.rint(shown_frame.astype(np.float64) * 255)


def difference(theirs: np.ndarray, ours: np.ndarray, padding: np.ndarray | None = None) -> float:
    """Return the largest difference, theirs turned as ours is."""
    ignore = None if padding is None else padding[:1]
    return turn_between(theirs[np.newaxis].astype(np.float64), ours[np.newaxis], ignore=ignore)[1]


# --- decompression -----------------------------------------------------------------------------------------------------


def compressed_files(data: Path) -> list[Path]:
    folders = [data / "dicom-conformance/WG04" / name for name in ("RLE", "JLSL", "JPLL", "JLSN", "JPLY")]
    known = {path.name: path for _, *paths in collections(data).values() for path in paths if path.suffix == ".dcm"}
    del known["color3d_jpeg_baseline.dcm"]  # 120 frames of what examples_ybr_color.dcm holds 30 of
    return [*known.values(), *(path for folder in folders for path in sorted(folder.iterdir()))]


def test_decoders_give_the_values_of_dcmtk(data, tmp_path) -> None:
    """RLE, JPEG of 8 and 12 bits, lossless JPEG and JPEG-LS, both kinds: every value equal, the lossy ones too."""
    wrong, compared = [], 0
    for path in compressed_files(data):
        try:
            image = read_image(path)
        except ReadError:
            continue
        syntax = parsed(path).file_meta.TransferSyntaxUID
        raw = decompressed(path, tmp_path / "raw.dcm", syntax) if syntax.is_compressed else None
        if raw is None:
            continue
        reference = read_image(raw)
        same = image.pixels == reference.pixels
        if path.name == "RG3_JPLY":
            # Lossy values overshoot the 10 bits in use. DCMTK leaves 1024 and more in the cell, where PS3.3 C.7.6.3.1.1
            # has no bits for them; we take white, the nearest value there is.
            top = image.facts.value_range[1]
            same |= (image.pixels == top) & (_cells(raw, image.pixels.shape) > top)
        compared += 1
        if not same.all() or image.unit != reference.unit:
            wrong.append((path.name, syntax.name, float(np.abs(image.pixels - reference.pixels).max())))
    assert wrong == []
    assert compared >= 75


def _cells(raw: Path, shape: tuple[int, ...]) -> np.ndarray:
    return np.frombuffer(dcmread(raw).PixelData, "<u2").reshape(shape)


# --- real files as they are shown --------------------------------------------------------------------------------------


def _shown_as(image: Image) -> list[tuple[tuple[str, ...], np.ndarray]]:
    """Return what to ask of DCMTK, and our grey levels (or colours) for it."""
    if image.unit == "RGB":
        return [((), image.pixels[0])]
    asked = [((), levels(full_range([image])[0]))]
    if image.facts.tables:
        asked.append((("+Wl", "1"), levels(shown(image)[0])))
    elif image.facts.windows:
        asked.append((("+Wi", "1"), levels(shown(image)[0])))
    return asked


def test_real_files_look_as_dcmtk_shows_them(data, tmp_path) -> None:
    """By the file's own VOI table or window, and over the whole range; palettes, RGB and YBR in colour."""
    wrong, compared, not_shown = [], 0, []
    for path in real_files(data):
        try:
            image = read_image(path)
        except ReadError:
            continue
        dataset = parsed(path)
        syntax = dataset.file_meta.TransferSyntaxUID
        if "2000" in syntax.name or image.frames > 10:
            continue
        padding = padding_of(dataset, "") if not syntax.is_compressed else None
        if "PerFrameFunctionalGroupsSequence" in dataset:
            continue  # DCMTK does not look into functional groups: no rescale and no window there
        for options, ours in _shown_as(image):
            theirs = picture(path, tmp_path / "shown.pnm", *options, syntax=syntax)
            if theirs is None:
                not_shown.append(path.name)
                continue
            compared += 1
            allowed = ALLOWED.get(path.name, 1e-4 if image.unit == "RGB" else 1)
            found = difference(theirs, ours, padding)
            if found > allowed:
                wrong.append((path.name, options, found))
    assert wrong == []
    assert sorted(not_shown) == sorted(NOT_SHOWN)
    assert compared >= 120


@pytest.mark.parametrize("name", ["JPEG-lossy.dcm", "MR_small.dcm", "OT-PAL-8-face.dcm"])
def test_a_wrong_picture_is_noticed(data, tmp_path, name) -> None:
    """The comparison itself can fail: a shift by one column is seen."""
    path = data / "dicom-conformance/pydicom" / name
    image = read_image(path)
    theirs = picture(path, tmp_path / "shown.pnm", syntax=parsed(path).file_meta.TransferSyntaxUID)
    ours = image.pixels[0] if image.unit == "RGB" else levels(full_range([image])[0])
    assert difference(theirs, ours) <= 1
    assert difference(theirs, np.roll(ours, 1, axis=1)) > 2


def test_uncompressed_ybr_is_nearer_to_the_standard_than_dcmtk(data, tmp_path) -> None:
    """DCMTK converts YBR_FULL with whole numbers and is off by up to two; here is the sum of PS3.3 C.7.6.3.1.2."""
    path = data / "dicom-conformance/pydicom/SC_ybr_full_uncompressed.dcm"
    dataset = dcmread(path)
    luma, blue, red = np.moveaxis(np.frombuffer(dataset.PixelData, np.uint8).reshape(100, 100, 3) * 1.0, -1, 0)
    exact = np.stack(
        [
            luma + 1.402 * (red - 128),
            luma - (0.114 * 1.772 * (blue - 128) + 0.299 * 1.402 * (red - 128)) / 0.587,
            luma + 1.772 * (blue - 128),
        ],
        axis=-1,
    )
    ours, theirs = read_image(path).pixels[0], picture(path, tmp_path / "shown.pnm")
    assert np.abs(ours - np.clip(exact, 0, 255)).max() <= 1
    assert 1 < np.abs(theirs - np.clip(exact, 0, 255)).max() <= 2.01


# --- header values -----------------------------------------------------------------------------------------------------


def test_header_values_equal_those_of_dcmdump(data) -> None:
    """Names, identifiers, rows, columns, spacing, the windows, and the range that bits, sign and rescale make."""
    compared = 0
    for path in real_files(data):
        try:
            image, header = read_image(path), read_headers(path)[0]
        except ReadError:
            continue
        found = values_of(path)
        if (
            "5200,9229" in found
            or "5200,9230" in found
            or "0028,0010" not in found
            or path.name == "explicit_VR-UN.dcm"
        ):
            continue  # enhanced: the values stand in functional groups; or DCMTK does not know their types
        compared += 1
        text = {tag: (found.get(tag) or [""])[0] or None for tag in TEXTS}
        assert text == {tag: getattr(header, name) for tag, name in TEXTS.items()}, path.name
        sides = [int(numbers(found, tag)[0]) for tag in ("0028,0010", "0028,0011")]
        spacing = numbers(found, "0028,0030")
        if image.pixels.shape[1:3] != tuple(sides):  # turned
            sides, spacing = sides[::-1], spacing[::-1]
        assert list(image.pixels.shape[1:3]) == sides, path.name
        assert header.frames == int((numbers(found, "0028,0008") or [1])[0]), path.name
        if spacing and min(spacing) > 0:
            assert header.spacing == pytest.approx(spacing), path.name
        if image.unit == "RGB":
            continue
        windows = list(zip(numbers(found, "0028,1050"), numbers(found, "0028,1051"), strict=True))
        assert [(window.centre, window.width) for window in image.facts.windows] == [w for w in windows if w[1] >= 1]
        if "0028,3000" not in found and numbers(found, "0028,0101"):
            assert image.facts.value_range == pytest.approx(_range(found)), path.name
    assert compared >= 110


TEXTS = {
    "0008,0060": "modality",
    "0008,0070": "manufacturer",
    "0008,1090": "model",
    "0010,0020": "patient_id",
    "0020,000d": "study_uid",
    "0020,000e": "series_uid",
    "0008,0018": "sop_uid",
}


def _range(found: dict[str, list[str]]) -> tuple[float, float]:
    bits = int(numbers(found, "0028,0101")[0])
    signed = numbers(found, "0028,0103") == [1]
    slope = (numbers(found, "0028,1053") or [1.0])[0]
    intercept = (numbers(found, "0028,1052") or [0.0])[0]
    ends = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    low, high = sorted(slope * end + intercept for end in ends)
    return low, high


def test_every_pixel_lies_where_the_header_says(data) -> None:
    """The affine with the numbers of dcmdump: each stored pixel is found at its place in the patient, with its value.

    PS3.3 C.7.6.2.1.1: place = position + row direction × column spacing × column + column direction × row spacing × row.
    """
    rng, compared = np.random.default_rng(5), 0
    series = [next((data / "dicom-series" / name).iterdir()) for name in ("ct-ge", "mr-t1-sag")]
    series.append(next((data / "dicom-series/mr-epi/20180918GE/mr_0004").glob("*.dcm")))
    for path in [*real_files(data), *series]:
        found = values_of(path)
        position, turned, spacing = (numbers(found, tag) for tag in ("0020,0032", "0020,0037", "0028,0030"))
        if (len(position), len(turned), len(spacing)) != (3, 6, 2) or numbers(found, "0028,0008") not in ([], [1.0]):
            continue
        dataset = parsed(path)
        if dataset.file_meta.TransferSyntaxUID.is_compressed:
            continue  # the turn has nothing to do with it
        try:
            image = read_image(path)
        except ReadError:
            continue
        stored, padding = dataset.pixel_array, padding_of(dataset, "") if "PixelPaddingValue" in dataset else None
        if stored.ndim != 2:
            continue
        slope = (numbers(found, "0028,1053") or [1.0])[0]
        intercept = (numbers(found, "0028,1052") or [0.0])[0]
        rows, columns = (rng.integers(0, side, 200) for side in stored.shape)
        across, down = np.outer(columns * spacing[1], turned[:3]), np.outer(rows * spacing[0], turned[3:])
        places = np.array(position) + across + down
        ours = np.linalg.solve(image.affine, np.c_[places, np.ones(200)].T)[:3]
        assert np.abs(ours - np.rint(ours)).max() < 1e-3, path.name
        column, row, frame = np.rint(ours).astype(int)
        assert not frame.any()
        kept = np.ones(200, bool) if padding is None else ~padding[0][rows, columns]
        values, expected = image.pixels[0][row, column], stored[rows, columns] * slope + intercept
        assert np.abs(values - expected)[kept].max() <= 2**-22 * np.abs(expected).max(), path.name
        compared += 1
    assert compared >= 30


# --- what has no real file ---------------------------------------------------------------------------------------------

RAMP = np.arange(4096, dtype=np.int64).reshape(64, 64)  # every value of 12 bits once
SIGNED = (RAMP - 2048).astype(np.int16)
COLOURS = np.random.default_rng(1).integers(0, 256, (16, 20, 3), dtype=np.uint8)


def table(name: str, entries: np.ndarray, first: int, bits: int, *, data_vr: str = "OW") -> Callable[[Dataset], None]:
    """Return an edit that adds a look-up table (PS3.3 C.11.1.1.1, C.11.2.1.1)."""

    def edit(dataset: Dataset) -> None:
        item = Dataset()
        item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries) % 65536, first, bits])
        if data_vr == "OW":
            item.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
        else:
            item.add_new("LUTData", "US", [int(entry) for entry in entries])
        if name == "ModalityLUTSequence":
            item.ModalityLUTType = "US"
        setattr(dataset, name, Sequence([item]))

    return edit


def root(count: int, top: int) -> np.ndarray:
    """Return a table that is no straight line: the square root of its place, up to `top`."""
    return np.sqrt(np.linspace(0, 1, count)) * top


def bits(stored: int, high: int, *, dirty: bool = False) -> Callable[[Dataset], None]:
    """Return an edit that says which bits of a 16-bit cell are in use, and may fill the others."""

    def edit(dataset: Dataset) -> None:
        dataset.BitsStored, dataset.HighBit = stored, high
        cells = np.frombuffer(dataset.PixelData, "<u2")
        used = np.uint16((2**stored - 1) << (high - stored + 1))
        cells = (cells << (high - stored + 1)) & used
        if dirty:
            cells = cells | (np.random.default_rng(2).integers(0, 65536, cells.shape, dtype=np.uint16) & ~used)
        dataset.PixelData = cells.tobytes()

    return edit


U12, U16 = RAMP.astype(np.uint16), (RAMP * 16 + 7).astype(np.uint16)
WINDOW = {"WindowCenter": 1500, "WindowWidth": 2000}
TWELVE = bits(12, 11)
# Name → (stored values, DCMTK's options, edit of the data set or None, values of the header).
PICTURES: dict[str, tuple[np.ndarray, tuple[str, ...], Callable[[Dataset], None] | None, dict]] = {
    "unsigned 16 bits": (U16, ("+Wi", "1"), None, {"WindowCenter": 30000, "WindowWidth": 20000}),
    "signed 16 bits": (SIGNED, ("+Wi", "1"), None, {"WindowCenter": -100, "WindowWidth": 1500}),
    "signed 8 bits": ((RAMP // 16 - 128).astype(np.int8), ("+Wi", "1"), None, {"WindowCenter": -10, "WindowWidth": 99}),
    "window from a rescale": (
        U12,
        ("+Wi", "1"),
        TWELVE,
        {"WindowCenter": 40, "WindowWidth": 400, "RescaleSlope": 1, "RescaleIntercept": -1024},
    ),
    "fractional slope": (U12, ("+Wi", "1"), TWELVE, {**WINDOW, "RescaleSlope": 0.37, "RescaleIntercept": 900.5}),
    "negative slope": (U12, ("+Wi", "1"), TWELVE, {**WINDOW, "RescaleSlope": -1, "RescaleIntercept": 4095}),
    "window of one value": (U12, ("+Wi", "1"), TWELVE, {"WindowCenter": 700, "WindowWidth": 1}),
    "window of two values": (U12, ("+Wi", "1"), TWELVE, {"WindowCenter": 700, "WindowWidth": 2}),
    "window wider than the values": (U12, ("+Wi", "1"), TWELVE, {"WindowCenter": 2048, "WindowWidth": 65536}),
    "centre with a fraction": (U12, ("+Wi", "1"), TWELVE, {"WindowCenter": 699.5, "WindowWidth": 301.5}),
    "no window: the range of the bits": (U12, (), TWELVE, {}),
    "no window, signed": (SIGNED, (), bits(12, 11), {"PixelRepresentation": 1}),
    "MONOCHROME1": (U12, ("+Wi", "1"), TWELVE, {**WINDOW, "PhotometricInterpretation": "MONOCHROME1"}),
    "MONOCHROME1 without a window": (U12, (), TWELVE, {"PhotometricInterpretation": "MONOCHROME1"}),
    "12 of 16 bits, the others filled": (U12, ("+Wi", "1"), bits(12, 11, dirty=True), WINDOW),
    "the upper 12 of 16 bits": (U12, ("+Wi", "1"), bits(12, 15), WINDOW),
    "bits 13 to 2, the others filled": (U12, ("+Wi", "1"), bits(12, 13, dirty=True), WINDOW),
    "12 of 16 bits, signed, the others filled": (
        SIGNED,
        ("+Wi", "1"),
        bits(12, 11, dirty=True),
        {"WindowCenter": -100, "WindowWidth": 1500, "PixelRepresentation": 1},
    ),
    "SIGMOID": (U12, ("+Wi", "1"), TWELVE, {**WINDOW, "VOILUTFunction": "SIGMOID"}),
    "SIGMOID, narrow": (
        U12,
        ("+Wi", "1"),
        TWELVE,
        {"WindowCenter": 2000, "WindowWidth": 80, "VOILUTFunction": "SIGMOID"},
    ),
    "VOI table": (U12, ("+Wl", "1"), table("VOILUTSequence", root(4096, 4095), 0, 12), {}),
    "VOI table as numbers": (U12, ("+Wl", "1"), table("VOILUTSequence", root(4096, 65535), 0, 16, data_vr="US"), {}),
    "VOI table of a part": (U12, ("+Wl", "1"), table("VOILUTSequence", root(1000, 1023), 900, 10), {}),
    "VOI table with a window beside it": (U12, ("+Wl", "1"), table("VOILUTSequence", root(4096, 255), 0, 8), WINDOW),
    "VOI table of signed pixels": (SIGNED, ("+Wl", "1"), table("VOILUTSequence", root(4096, 4095), -2048, 12), {}),
    "VOI table after a rescale": (
        U12,
        ("+Wl", "1"),
        table("VOILUTSequence", root(3000, 4095), -1024, 12),
        {"RescaleSlope": 1, "RescaleIntercept": -1024},
    ),
    "VOI table, MONOCHROME1": (
        U12,
        ("+Wl", "1"),
        table("VOILUTSequence", root(4096, 4095), 0, 12),
        {"PhotometricInterpretation": "MONOCHROME1"},
    ),
    "Modality table": (U12, (), table("ModalityLUTSequence", root(4096, 65535), 0, 16), {}),
    "Modality table of a part": (U12, (), table("ModalityLUTSequence", root(1000, 1023), 900, 10), {}),
    "Modality table of signed pixels": (SIGNED, (), table("ModalityLUTSequence", root(4096, 4095), -2048, 12), {}),
    "window after a Modality table": (
        U12,
        ("+Wi", "1"),
        table("ModalityLUTSequence", root(4096, 4095), 0, 12),
        {"WindowCenter": 2000, "WindowWidth": 1000},
    ),
    "presentation INVERSE of MONOCHROME2": (U12, ("+Wi", "1"), TWELVE, {**WINDOW, "PresentationLUTShape": "INVERSE"}),
    "presentation INVERSE of MONOCHROME1": (
        U12,
        ("+Wi", "1"),
        TWELVE,
        {**WINDOW, "PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
    ),
    "presentation IDENTITY": (U12, ("+Wi", "1"), TWELVE, {**WINDOW, "PresentationLUTShape": "IDENTITY"}),
}


def _written(write, name: str, **more) -> Path:
    stored, _, edit, values = PICTURES[name]
    values = {"Modality": "DX", "PixelRepresentation": int(stored.dtype.kind == "i"), **values, **more}
    return write(stored, edit=edit, **values)


@pytest.mark.parametrize("name", PICTURES)
def test_written_pictures_look_as_dcmtk_shows_them(write, tmp_path, name) -> None:
    path = _written(write, name)
    options = PICTURES[name][1]
    image = read_image(path)
    theirs = picture(path, tmp_path / "shown.pnm", *options)
    ours = levels((shown(image) if options else full_range([image]))[0])
    assert theirs is not None
    assert len(np.unique(ours)) > 1
    assert np.abs(theirs - ours).max() <= 1


@pytest.mark.parametrize(
    "name", ["window from a rescale", "signed 16 bits", "VOI table after a rescale", "MONOCHROME1"]
)
@pytest.mark.parametrize("option", ["+te", "+tb", "+ti", "+td"])  # explicit little and big endian, implicit, deflated
def test_every_byte_order_looks_the_same(write, tmp_path, name, option) -> None:
    path, other = _written(write, name), tmp_path / "other.dcm"
    run("dcmconv", option, path, other)
    theirs = picture(other, tmp_path / "shown.pnm", *PICTURES[name][1])
    expected = levels(shown(read_image(path))[0])
    assert np.abs(theirs - expected).max() <= 1
    assert np.array_equal(levels(shown(read_image(other))[0]), expected)


def test_each_of_several_windows(write, tmp_path) -> None:
    path = write(
        U12,
        edit=TWELVE,
        WindowCenter=[500, 1500, 3000],
        WindowWidth=[300, 2000, 77],
        Modality="DX",
        RescaleIntercept=-10,
        RescaleSlope=1,  # DCMTK takes an intercept alone for none
    )
    image = read_image(path)
    assert len(image.facts.windows) == 3
    for number, window in enumerate(image.facts.windows, start=1):
        theirs = picture(path, tmp_path / "shown.pnm", "+Wi", str(number))
        assert np.abs(theirs - levels(apply_window(image.pixels[0], window))).max() <= 1


def test_each_of_several_voi_tables(write, tmp_path) -> None:
    def both(dataset: Dataset) -> None:
        items = []
        for count, top, first, depth in ((4096, 4095, 0, 12), (500, 255, 1700, 8)):
            table("VOILUTSequence", root(count, top), first, depth)(dataset)
            items.append(dataset.VOILUTSequence[0])
        dataset.VOILUTSequence = Sequence(items)

    path = write(U12, edit=both, Modality="DX")
    image = read_image(path)
    assert len(image.facts.tables) == 2
    for number, voi_table in enumerate(image.facts.tables, start=1):
        theirs = picture(path, tmp_path / "shown.pnm", "+Wl", str(number))
        assert np.abs(theirs - levels(apply_table(image.pixels[0], voi_table))).max() <= 1


@pytest.mark.parametrize(("value", "limit"), [(0, None), (0, 300), (4095, 3000), (100, 200)])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_outside_what_is_measured(write, tmp_path, value, limit, photometric) -> None:
    """DCMTK shows padding like a measurement; around it the pictures agree, and ours is dark where padding lies."""
    more = {} if limit is None else {"PixelPaddingRangeLimit": limit}
    values = {**WINDOW, "WindowWidth": 5000, "PixelPaddingValue": value, "PhotometricInterpretation": photometric}
    path = write(U12, edit=TWELVE, Modality="DX", **values, **more)
    image = read_image(path)
    theirs, ours = picture(path, tmp_path / "shown.pnm", "+Wi", "1"), levels(shown(image)[0])
    padding = padding_of(dcmread(path), "")[0]
    assert padding.sum() == (1 if limit is None else abs(limit - value) + 1)
    assert np.abs(theirs - ours)[~padding].max() <= 1
    assert (ours[padding] == ours[~padding].min()).all()


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("depth", [8, 16])
def test_colour_by_pixel_and_by_plane(write, tmp_path, planar, depth) -> None:
    stored = COLOURS.astype(np.uint16) * 257 if depth == 16 else COLOURS

    def edit(dataset: Dataset) -> None:
        dataset.PlanarConfiguration = planar
        if planar:
            dataset.PixelData = np.moveaxis(stored, -1, 0).tobytes()

    path = write(stored, edit=edit, Modality="OT")
    assert np.array_equal(read_image(path).pixels[0], COLOURS)
    assert np.array_equal(picture(path, tmp_path / "shown.pnm"), COLOURS)


def _ybr(colours: np.ndarray) -> np.ndarray:
    """PS3.3 C.7.6.3.1.2, the sum for YBR_FULL."""
    red, green, blue = np.moveaxis(colours.astype(np.float64), -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    both = [luma, (blue - luma) / 1.772 + 128, (red - luma) / 1.402 + 128]
    return np.clip(np.rint(np.stack(both, axis=-1)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", ["YBR_FULL", "YBR_FULL_422"])
def test_uncompressed_ybr(write, tmp_path, kind) -> None:
    flat = np.repeat(COLOURS[:, ::2], 2, axis=1)  # pairs of equal pixels, so that halving the colours loses nothing
    ybr = _ybr(flat)

    def edit(dataset: Dataset) -> None:
        dataset.PhotometricInterpretation = kind
        if kind == "YBR_FULL_422":
            pairs = [ybr[:, ::2, 0], ybr[:, 1::2, 0], ybr[:, ::2, 1], ybr[:, ::2, 2]]
            dataset.PixelData = np.stack(pairs, axis=-1).tobytes()
        else:
            dataset.PixelData = ybr.tobytes()

    path = write(flat, edit=edit, Modality="US")
    ours, theirs = read_image(path).pixels[0], picture(path, tmp_path / "shown.pnm")
    assert np.abs(ours - flat).max() <= 2  # what rounding to whole Y, B and R costs
    assert np.abs(ours - theirs).max() <= 2


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_colour_rle(write, tmp_path, photometric) -> None:
    def edit(dataset: Dataset) -> None:
        dataset.PhotometricInterpretation = photometric

    plain = write(COLOURS if photometric == "RGB" else _ybr(COLOURS), edit=edit, Modality="US")
    dataset = dcmread(plain)
    dataset.compress(RLELossless)
    packed = tmp_path / "packed.dcm"
    dataset.save_as(packed)
    ours = read_image(packed).pixels
    assert np.array_equal(ours, read_image(plain).pixels)
    assert np.abs(ours[0] - picture(packed, tmp_path / "shown.pnm")).max() <= (0 if photometric == "RGB" else 2)


def test_reversible_jpeg_2000_colours(write, tmp_path) -> None:
    """YBR_RCT (PS3.3 C.7.6.3.1.2): the codec turns it back into RGB; DCMTK has no JPEG 2000, so against the original."""
    large = np.tile(COLOURS, (4, 4, 1))
    dataset = dcmread(write(large, Modality="US"))
    dataset.PhotometricInterpretation = "YBR_RCT"
    dataset.compress(JPEG2000Lossless)
    packed = tmp_path / "packed.dcm"
    dataset.save_as(packed)
    image = read_image(packed)
    assert dcmread(packed).PhotometricInterpretation == "YBR_RCT"
    assert image.facts.photometric == "YBR_RCT"
    assert np.array_equal(image.pixels[0], large)
