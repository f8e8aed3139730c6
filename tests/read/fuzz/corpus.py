"""About forty small real DICOM files: every transfer syntax at hand, colours, palettes, tables, enhanced objects, mosaics."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pydicom
from pydicom import config, dcmread

# In pydicom's own folder of test files, and in that of pydicom-data.
_FILES = """
    693_J2KI.dcm CT_small.dcm ExplVR_BigEnd.dcm GDCMJ2K_TextGBR.dcm JPEG-lossy.dcm JPEG2000.dcm JPEGLSNearLossless_08.dcm
    JPEGLSNearLossless_16.dcm JPGExtended.dcm MR_small.dcm MR_small_RLE.dcm MR_small_bigendian.dcm MR_small_implicit.dcm
    MR_small_jp2klossless.dcm MR_small_jpeg_ls_lossless.dcm MR_small_padded.dcm SC_jpeg_no_color_transform.dcm
    SC_rgb_dcmtk_+eb+cy+n1.dcm SC_rgb_dcmtk_+eb+cy+s4.dcm SC_rgb_gdcm_KY.dcm SC_rgb_jls_lossy_line.dcm
    SC_rgb_jls_lossy_sample.dcm SC_rgb_jpeg_dcmtk.dcm SC_rgb_rle_2frame.dcm SC_rgb_rle_16bit.dcm SC_rgb_small_odd.dcm
    SC_rgb_small_odd_jpeg.dcm SC_ybr_full_422_uncompressed.dcm image_dfl.dcm no_meta_group_length.dcm
    dicomdirtests/77654033/CR1/6154 dicomdirtests/77654033/CT2/17106 dicomdirtests/98892003/MR700/4467
    JPEG-LL.dcm SC_rgb_16bit_2frame.dcm color-pl.dcm emri_small.dcm emri_small_RLE.dcm emri_small_big_endian.dcm
    emri_small_jpeg_2k_lossless.dcm emri_small_jpeg_ls_lossless.dcm explicit_VR-UN.dcm bad_sequence.dcm vlut_04.dcm
    OBXXXX1A_rle.dcm
""".split()  # noqa: SIM905
_SERIES = (
    "dicom-series/mr-epi/20180918GE/mr_0004/axial_epi_fmri_interleaved_i_to_s-00001.dcm",
    "dicom-series/mr-epi/20180918Si/mr_0003",  # a mosaic, with Siemens' private header
    "dicom-series/mr-t1-sag",
)
_LARGEST = 600_000
_PRIVATE = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientAddress", "InstitutionName", "ReferringPhysicianName",
    "OperatorsName", "AccessionNumber", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "StationName",
)  # fmt: skip


def corpus(data: Path | None) -> dict[str, bytes]:
    """Return the files by name, those of the real data included where it is at hand."""
    roots = [Path(pydicom.__file__).parent / "data/test_files"]
    spec = find_spec("data_store")
    if spec is not None and spec.origin is not None:
        roots.append(Path(spec.origin).parent / "data")
    found = [next((root / name for root in roots if (root / name).is_file()), None) for name in _FILES]
    if data is not None:
        for name in _SERIES:
            path = data / name
            found.append(next(iter(sorted(path.glob("*.dcm"))), None) if path.is_dir() else path)
    paths = [path for path in found if path is not None and path.is_file() and path.stat().st_size <= _LARGEST]
    return {path.name: path.read_bytes() for path in paths}


def private_strings(raw: bytes) -> set[str]:
    """Return what a message about this file must not hold: names, numbers, dates and identifiers of its header."""
    from io import BytesIO

    found = set()
    with config.disable_value_validation():
        dataset = dcmread(BytesIO(raw), force=True, stop_before_pixels=True)
        for keyword in _PRIVATE:
            text = str(dataset.get(keyword, "") or "")
            found |= {text, *text.replace("=", "^").split("^")}
    return {text for text in found if len(text) >= 4}
