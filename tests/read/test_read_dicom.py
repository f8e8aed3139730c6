"""Write DICOM, read it back: the numbers must be those that were meant."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from hounsfield.read import read_headers, read_image

SIGNED = (np.arange(20 * 24, dtype=np.int16) - 200).reshape(20, 24)
BYTES = np.random.default_rng(0).integers(0, 256, (10, 12, 3), dtype=np.uint8)
SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("stored", [SIGNED, (SIGNED + 200).astype(np.uint16), np.stack([SIGNED, SIGNED + 7])])
def test_rescaled_values_are_the_same_in_every_byte_order(write, syntax, stored) -> None:
    path = write(stored, syntax=syntax, RescaleSlope=2, RescaleIntercept=-1024)
    image = read_image(path)
    expected = stored.astype(np.float64) * 2 - 1024
    assert image.unit == "HU"
    assert image.pixels.flags.c_contiguous
    assert np.array_equal(image.pixels, expected.reshape(-1, 20, 24))
    assert image.source == hashlib.sha256(path.read_bytes()).hexdigest()
    low, high = image.facts.value_range
    assert (low, high) == ((-66560.0, 64510.0) if stored.dtype.kind == "i" else (-1024.0, 130046.0))
    header = read_headers(path)[0]
    assert (header.frames, header.rows, header.columns) == image.pixels.shape
    assert header.transfer_syntax == syntax


@pytest.mark.parametrize("stored", [SIGNED, BYTES, BYTES.astype(np.uint16) * 257])
def test_rle_equals_uncompressed(write, stored) -> None:
    plain = write(stored, RescaleIntercept=0, RescaleSlope=1)
    dataset = dcmread(plain)
    dataset.compress(RLELossless)
    packed = plain.with_name("packed")
    dataset.save_as(packed)
    assert np.array_equal(read_image(packed).pixels, read_image(plain).pixels)
    assert read_headers(packed)[0].transfer_syntax == RLELossless


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        ({"RescaleIntercept": -1024, "RescaleSlope": 1}, "HU"),
        ({"RescaleIntercept": -1024, "RescaleSlope": 1, "RescaleType": "HU"}, "HU"),
        ({"RescaleIntercept": -1024, "RescaleSlope": 1, "RescaleType": "US"}, "arbitrary"),
        ({"RescaleIntercept": -1024, "RescaleSlope": 1, "Modality": "MR"}, "arbitrary"),
        ({}, "arbitrary"),
    ],
)
def test_only_rescaled_ct_is_in_hounsfield_units(write, values, unit) -> None:
    assert read_image(write(SIGNED, **values)).unit == unit


def test_monochrome1_is_said_and_not_inverted(write) -> None:
    image = read_image(write(SIGNED, PhotometricInterpretation="MONOCHROME1", Modality="DX"))
    assert image.facts.inverted
    assert image.facts.photometric == "MONOCHROME1"
    assert np.array_equal(image.pixels[0], SIGNED)


@pytest.mark.parametrize("stored", [BYTES, BYTES.astype(np.uint16) * 257])
def test_colours_of_any_depth_end_at_255(write, stored) -> None:
    image = read_image(write(stored, Modality="US"))
    assert image.unit == "RGB"
    assert np.allclose(image.pixels[0], BYTES, atol=1e-4)
    assert image.facts.value_range == (0.0, 255.0)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("depth", [8, 16])
def test_palette_colours_are_looked_up(write, syntax, depth) -> None:
    stored = np.arange(12, dtype=np.uint8).reshape(3, 4)
    table = np.array([[0, 10, 200], [5, 5, 5], [255, 0, 128], [9, 8, 7]], dtype=np.uint16)  # for the values 2 to 5

    def add_palette(dataset: Dataset) -> None:
        for channel, colour in enumerate(("Red", "Green", "Blue")):
            entries = table[:, channel] * (257 if depth == 16 else 1)
            raw = entries.astype("<u2") if depth == 16 else entries.astype(np.uint8).view("<u2")
            raw = raw.astype(">u2" if syntax == ExplicitVRBigEndian else "<u2")
            dataset.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [4, 2, depth])
            dataset.add_new(f"{colour}PaletteColorLookupTableData", "OW", raw.tobytes())

    path = write(stored, syntax=syntax, PhotometricInterpretation="PALETTE COLOR", Modality="US", edit=add_palette)
    image = read_image(path)
    assert image.unit == "RGB"
    assert np.array_equal(image.pixels[0], table[np.clip(stored.astype(int) - 2, 0, 3)])


def test_padding_becomes_the_darkest_real_value(write) -> None:
    stored = SIGNED.copy()
    stored[:, 0] = -2000
    stored[:, 1] = -1990
    image = read_image(write(stored, RescaleSlope=1, RescaleIntercept=-100, PixelPaddingValue=-2000))
    assert image.pixels[0, :, 0].tolist() == [-2090] * 20
    ranged = write(stored, RescaleIntercept=0, PixelPaddingValue=-2000, PixelPaddingRangeLimit=-1980)
    assert read_image(ranged).pixels.min() == stored[:, 2:].min()
    unsigned = write(stored, RescaleIntercept=0, edit=lambda dataset: dataset.add_new("PixelPaddingValue", "US", 63536))
    assert read_image(unsigned).pixels.min() == -1990
    assert read_image(write(stored, Modality="MR", PixelPaddingValue=-2000)).pixels.min() == -1990
    bright = read_image(write(stored, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=-2000))
    assert (
        bright.pixels[0, :, 0].tolist() == [stored.max()] * 20
    )  # low values are shown bright, so the highest is black
    assert (
        read_image(write(np.full((4, 4), 7, np.int16), PixelPaddingValue=7)).pixels.min() == 7
    )  # nothing else is there


def test_geometry_and_facts(write) -> None:
    path = write(
        SIGNED,
        PixelSpacing=[0.5, 0.75],
        ImageOrientationPatient=[0, 1, 0, 0, 0, -1],
        ImagePositionPatient=[10, -20, 30],
        SliceThickness=3,
        BodyPartExamined="Chest",
        Laterality="l",
        WindowCenter=[40, -600],
        WindowWidth=[400, 1500],
        VOILUTFunction="SIGMOID",
        PatientAge="006M",
        PatientSex="F",
        StudyDate="2020.01.31",
        InstanceNumber=7,
    )
    image, header = read_image(path), read_headers(path)[0]
    assert image.spacing == header.spacing == (0.5, 0.75)
    assert (image.affine @ [2, 4, 0, 1]).tolist() == [10, -20 + 2 * 0.75, 30 - 4 * 0.5, 1]
    assert (image.affine @ [0, 0, 1, 1]).tolist() == [7, -20, 30, 1]  # the normal runs to the patient's right
    assert header.blocks[0].origin == (10, -20, 30)
    assert header.blocks[0].orientation == (0, 1, 0, 0, 0, -1)
    assert (image.facts.modality, image.facts.body_part, image.facts.laterality) == ("CT", "CHEST", "L")
    assert [(window.centre, window.width, window.function) for window in image.facts.windows] == [
        (40, 400, "SIGMOID"),
        (-600, 1500, "SIGMOID"),
    ]
    assert (header.age, header.sex, header.study_date, header.instance_number) == (0.5, "F", "20200131", 7)


def test_age_from_dates_and_malformed_values(write) -> None:
    born = write(SIGNED, PatientAge="", PatientBirthDate="19500101", StudyDate="20200101")
    assert read_headers(born)[0].age == pytest.approx(70, abs=0.01)

    def spoil(dataset: Dataset) -> None:
        dataset.add_new("InstanceNumber", "LO", "seven")
        dataset.add_new("PixelSpacing", "LO", "a\\b")
        dataset.add_new("PatientAge", "LO", "old")

    header = read_headers(write(SIGNED, edit=spoil))[0]
    assert (header.instance_number, header.spacing, header.age) == (None, None, None)


@pytest.mark.parametrize(("units", "spacing"), [(3, (0.2, 0.1)), (4, None)])
def test_spacing_of_a_single_ultrasound_region(write, units, spacing) -> None:
    region = Dataset()
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = units
    region.PhysicalDeltaX, region.PhysicalDeltaY = 0.01, -0.02
    path = write(SIGNED, Modality="US", SequenceOfUltrasoundRegions=Sequence([region]))
    assert read_headers(path)[0].spacing == (pytest.approx(spacing) if spacing else None)


@pytest.mark.parametrize("steps", [[0, 2, 4], [0, 2, 7]])
def test_enhanced_frames_have_their_own_rescale_and_plane(write, steps) -> None:
    frames = []
    for slope, step in zip((1, 2, 3), steps, strict=True):
        values, position, frame = Dataset(), Dataset(), Dataset()
        values.RescaleSlope, values.RescaleIntercept, values.RescaleType = slope, -10, "HU"
        position.ImagePositionPatient = [0, 0, step]
        frame.PixelValueTransformationSequence, frame.PlanePositionSequence = Sequence([values]), Sequence([position])
        frames.append(frame)
    measures, orientation, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, orientation.ImageOrientationPatient = [0.5, 0.5], [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([orientation])
    path = write(
        np.stack([SIGNED] * 3),
        SOPClassUID=EnhancedCTImageStorage,
        SharedFunctionalGroupsSequence=Sequence([shared]),
        PerFrameFunctionalGroupsSequence=Sequence(frames),
    )
    image = read_image(path)
    assert image.unit == "HU"
    assert np.array_equal(image.pixels, np.stack([SIGNED * slope - 10 for slope in (1, 2, 3)]).astype(np.float32))
    assert image.spacing == (0.5, 0.5)
    assert read_headers(path)[0].spacing == (0.5, 0.5)
    if steps == [0, 2, 4]:
        assert image.affine.tolist() == np.diag([0.5, 0.5, 2, 1]).tolist()
    else:
        assert image.affine is None  # unevenly spaced: no one matrix fits


def test_overlay_bits_above_the_stored_ones_do_not_count(write) -> None:
    stored = (SIGNED + 200).astype(np.uint16)
    path = write(stored | 0x8000, BitsStored=12, HighBit=11, Modality="MR")
    assert np.array_equal(read_image(path).pixels[0], stored)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_no_preamble_and_no_extension(write, syntax) -> None:
    path = write(SIGNED, syntax=syntax, preamble=False, name="IM0001")
    assert np.array_equal(read_image(path).pixels[0], SIGNED)
    assert read_headers(path)[0].kind == "dicom"


def test_header_does_not_print_the_patient(write) -> None:
    header = read_headers(write(SIGNED))[0]
    assert header.patient_id == "MRN-778899"
    assert "MRN-778899" not in repr(header)
    assert header.study_uid not in repr(header)


def test_path_may_be_text(write) -> None:
    path: Path = write(SIGNED)
    assert read_image(str(path)).source == read_image(path).source
