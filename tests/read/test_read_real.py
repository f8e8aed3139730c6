"""Real files: the DICOM compression set, pydicom's odd ones, and a CT series' worth of slices."""

from __future__ import annotations

import numpy as np
import pytest

from hounsfield.errors import ReadError
from hounsfield.read import kind_of, read_headers, read_image


@pytest.mark.parametrize("folder", ["J2KR", "JLSL", "JPLL", "RLE"])
def test_lossless_equals_the_reference(data, folder) -> None:
    paths = sorted((data / "dicom-conformance/WG04" / folder).iterdir())
    assert paths
    for path in paths:
        reference = read_image(data / "dicom-conformance/WG04/REF" / path.name.replace(folder, "UNC"))
        image = read_image(path)
        assert np.array_equal(image.pixels, reference.pixels), path.name
        assert image.unit == reference.unit
        assert image.spacing == reference.spacing


@pytest.mark.parametrize("folder", ["J2KI", "JLSN", "JPLY"])
def test_lossy_is_near_the_reference(data, folder) -> None:
    for path in sorted((data / "dicom-conformance/WG04" / folder).iterdir()):
        reference = read_image(data / "dicom-conformance/WG04/REF" / path.name.replace(folder, "UNC")).pixels
        # In CT1 the padding was compressed like a measurement, so it no longer has its exact value; below air, ignore it.
        image = read_image(path)
        pixels = np.maximum(image.pixels, -1024) if image.unit == "HU" else image.pixels
        error = np.abs(pixels - np.maximum(reference, -1024) if image.unit == "HU" else pixels - reference)
        assert np.median(error) <= 0.02 * np.ptp(reference), path.name
        assert np.percentile(error, 99.9) <= 0.3 * np.ptp(reference), path.name  # no value went round past its last bit


def test_every_odd_file_reads_or_is_refused(data) -> None:
    read = 0
    for path in sorted((data / "dicom-conformance/pydicom").iterdir()):
        try:
            header = read_headers(path)[0]
        except ReadError:
            with pytest.raises(ReadError):
                read_image(path)
            continue
        image = read_image(path)
        read += 1
        assert image.pixels.shape[:3] == (header.frames, header.rows, header.columns), path.name
        assert image.spacing == header.spacing
        assert (image.facts.modality, image.facts.body_part) == (header.modality, header.body_part)
        low, high = image.facts.value_range
        assert low - 1e-3 <= image.pixels.min() <= image.pixels.max() <= high + 1e-3, path.name
        assert np.isfinite(image.pixels).all()
    assert read >= 90


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
        assert header.position == pytest.approx(image.affine[2, 3])
        assert 0 < np.percentile(image.pixels[0, 100:400, 100:400], 90) < 500  # the chest: lung, soft tissue, bone


def test_positions_order_a_sagittal_series(data) -> None:
    headers = [read_headers(path)[0] for path in (data / "dicom-series/mr-t1-sag").glob("*.dcm")]
    positions = [header.position for header in sorted(headers, key=lambda header: header.instance_number)]
    steps = np.diff(positions)
    assert len(headers) == 35
    assert np.allclose(steps, steps[0], atol=1e-2)


def test_kinds_of_real_files(data) -> None:
    assert kind_of(data / "dicom-conformance/WG04/REF/CT1_UNC") == "dicom"
    assert kind_of(data / "medmnist/breastmnist.npz") == "npz"
    assert kind_of(next((data / "head-ct/images").glob("*.png"))) == "raster"
    assert kind_of(data / "README.md") is None
