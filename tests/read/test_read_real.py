"""Real files: the DICOM compression set, pydicom's odd ones, and a CT series' worth of slices."""

from __future__ import annotations

import numpy as np
import pytest

from hounsfield.read import kind_of, read_headers, read_image


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("OBXXXX1A.dcm", "OBXXXX1A_rle.dcm"),
        ("gdcm-US-ALOKA-16.dcm", "gdcm-US-ALOKA-16_big.dcm"),
        ("emri_small.dcm", "emri_small_jpeg_2k_lossless.dcm"),
        ("SC_rgb_16bit.dcm", "SC_rgb_expb_16bit.dcm"),
        ("color-pl.dcm", "color-px.dcm"),
    ],
)
def test_pairs_of_the_same_picture(data, name, same) -> None:
    folder = data / "dicom-conformance/pydicom"
    assert np.array_equal(read_image(folder / name).pixels, read_image(folder / same).pixels)


def test_ct_slices_are_in_hounsfield_units(data) -> None:
    for path in sorted((data / "siim-ct-contrast/dicom").iterdir())[::10]:
        image, header = read_image(path), read_headers(path)[0]
        assert image.unit == "HU"
        assert image.affine is not None
        assert header.modality == "CT"
        assert header.blocks[0].origin == pytest.approx(tuple(image.affine[:3, 3]))
        assert 0 < np.percentile(image.pixels[0, 100:400, 100:400], 90) < 500  # the chest: lung, soft tissue, bone


def test_kinds_of_real_files(data) -> None:
    assert kind_of(data / "dicom-conformance/WG04/REF/CT1_UNC") == "dicom"
    assert kind_of(data / "medmnist/breastmnist.npz") == "npz"
    assert kind_of(next((data / "head-ct/images").glob("*.png"))) == "raster"
    assert kind_of(data / "README.md") is None
