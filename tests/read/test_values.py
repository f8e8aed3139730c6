"""The table of value rules, each against sums worked out by hand; and the look-up tables and windows of a file."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from hounsfield.read import read_image
from hounsfield.read.lut import Table
from hounsfield.read.values import RULES

GRADIENT = (np.arange(30, dtype=np.uint16) * 100).reshape(5, 6)
SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]


def _lut(name: str, entries: np.ndarray, first: int, bits: int, **more: str):
    def edit(dataset: Dataset) -> None:
        item = Dataset()
        kind = "SS" if dataset.PixelRepresentation else "US"
        item.add_new("LUTDescriptor", kind, [len(entries) % 65536, first, bits])
        item.add_new("LUTData", "US", [int(entry) for entry in entries])
        for keyword, value in more.items():
            setattr(item, keyword, value)
        setattr(dataset, name, Sequence([item]))

    return edit


def test_every_rule_names_its_place_in_the_standard() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(re.fullmatch(r"C\.\d+(\.\d+)+", rule.place) for rule in RULES)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_modality_table_takes_the_place_of_the_rescale(write, syntax) -> None:
    table = np.array([7, 100, 5000, 60000, 65535])
    edit = _lut("ModalityLUTSequence", table, 2, 16, ModalityLUTType="HU")
    stored = np.array([[0, 1, 2, 3], [4, 5, 6, 9]], np.uint16)
    image = read_image(write(stored, syntax=syntax, edit=edit, RescaleSlope=3, RescaleIntercept=1))
    assert image.pixels[0].tolist() == [[7, 7, 7, 100], [5000, 60000, 65535, 65535]]
    assert (image.unit, image.facts.value_range) == ("HU", (0, 65535))


def test_modality_table_with_a_negative_first_value(write) -> None:
    stored = np.array([[-5, -2, -1, 0]], np.int16)
    image = read_image(write(stored, edit=_lut("ModalityLUTSequence", np.array([10, 20, 30]), -2, 8), Modality="MR"))
    assert image.pixels[0].tolist() == [[10, 10, 20, 30]]
    assert (image.unit, image.facts.value_range) == ("arbitrary", (0, 255))


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_voi_tables_are_facts_in_unit_range(write, syntax) -> None:
    edit = _lut("VOILUTSequence", np.array([0, 1023, 4095]), 100, 12, LUTExplanation="NORMAL")
    image = read_image(write(GRADIENT, syntax=syntax, edit=edit, Modality="MG"))
    (table,) = image.facts.tables
    assert (table.first, table.explanation) == (100, "NORMAL")
    assert table.values == pytest.approx(np.array([0, 1023 / 4095, 1]))
    assert np.array_equal(image.pixels[0], GRADIENT)  # facts change no value


def test_a_damaged_voi_table_leaves_the_windows(write) -> None:
    def edit(dataset: Dataset) -> None:
        item = Dataset()
        item.add_new("LUTDescriptor", "US", [256, 0, 8])
        item.add_new("LUTData", "US", [1, 2, 3])
        dataset.VOILUTSequence = Sequence([item])

    image = read_image(
        write(GRADIENT, edit=edit, WindowCenter=[40, 50], WindowWidth=[400, 0.5], WindowCenterWidthExplanation="A")
    )
    assert image.facts.tables == ()
    assert [(window.centre, window.width, window.explanation) for window in image.facts.windows] == [(40, 400, "A")]


@pytest.mark.parametrize(("stored_bits", "high"), [(12, 11), (12, 15), (10, 12), (16, 15), (1, 0)])
@pytest.mark.parametrize("signed", [False, True])
def test_bits_in_use_are_taken_out_of_their_cells(write, stored_bits, high, signed) -> None:
    rng = np.random.default_rng(3)
    low, top = (-(2 ** (stored_bits - 1)), 2 ** (stored_bits - 1)) if signed else (0, 2**stored_bits)
    values = rng.integers(low, top, (9, 11))
    shift = high - stored_bits + 1
    mask = (2**stored_bits - 1) << shift
    others = rng.integers(0, 2**16, values.shape) & ~mask & 0xFFFF  # old overlays, or rubbish
    cells = ((values << shift) & mask | others).astype(np.uint16)

    def edit(dataset: Dataset) -> None:
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = stored_bits, high, int(signed)

    image = read_image(write(cells, edit=edit, Modality="OT"))
    assert np.array_equal(image.pixels[0], values)
    assert image.facts.value_range == (low, top - 1)


def test_padding_beyond_the_bits_in_use_is_found_before_they_are_cleared(write) -> None:
    cells = np.full((4, 4), 1000, np.uint16)
    cells[0] = 63536

    def edit(dataset: Dataset) -> None:
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.add_new("PixelPaddingValue", "SS", -2000)

    image = read_image(write(cells, edit=edit, RescaleSlope=1, RescaleIntercept=-1024))
    assert np.unique(image.pixels).tolist() == [-24]


def test_presentation_shape_and_photometric_interpretation_say_what_is_bright(write) -> None:
    for values, inverted in (
        ({}, False),
        ({"PresentationLUTShape": "IDENTITY"}, False),
        ({"PresentationLUTShape": "INVERSE"}, True),
        ({"PhotometricInterpretation": "MONOCHROME1"}, True),
        ({"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}, True),
    ):
        image = read_image(write(GRADIENT, **values))
        assert image.facts.inverted is inverted
        assert np.array_equal(image.pixels[0], GRADIENT)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 300),
    st.integers(-400, 400),
    st.lists(st.integers(-70000, 70000), min_size=1, max_size=20),
    st.booleans(),
)
def test_a_table_is_clamped_at_both_ends(count, first, asked, as_float) -> None:
    entries = np.arange(count, dtype=np.float32) * 3 + 1
    values = np.array(asked, dtype=np.float32 if as_float else np.int32)
    found = Table(first, entries, 65535.0).look_up(values)
    for value, entry in zip(asked, found, strict=True):
        assert entry == 3 * min(max(value - first, 0), count - 1) + 1
