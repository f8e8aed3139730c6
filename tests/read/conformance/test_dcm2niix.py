"""Volumes against dcm2niix, the reference converter: the same voxels at the same places in the patient.

Both sides are brought to one order of axes (nibabel's as_closest_canonical: flips and transpositions only) and compared
voxel by voxel, in physical values, and by where their corners lie.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import nibabel
import numpy as np
import pyarrow
import pytest
from pydicom import dcmread

from hounsfield.core.image import Image
from hounsfield.read import read_series
from tests.read.conformance.phantoms import Cut, turned, write_enhanced, write_slices

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
FAR_MM = 0.01  # dcm2niix rounds its affine to float32, and some positions to 4 digits


@dataclass(frozen=True)
class Volume:
    """Voxels in closest canonical order, and their affine in RAS."""

    voxels: np.ndarray
    affine: np.ndarray
    name: str

    def corners(self) -> np.ndarray:
        ends = np.array(np.meshgrid(*[(0, side - 1) for side in self.voxels.shape])).reshape(3, 8)
        return (self.affine @ np.r_[ends, np.ones((1, 8))])[:3]


@pytest.fixture(params=["Debian", "PyPI"])
def program(request) -> str:
    """A dcm2niix: Debian's (v1.0.20220720 in Debian 12), and the newer one that pip installs; either may be absent."""
    if request.param == "Debian":
        found = shutil.which(
            "dcm2niix", path=os.pathsep.join(["/usr/bin", "/usr/local/bin", os.environ.get("PATH", "")])
        )
        if found is None:
            pytest.skip("dcm2niix is not installed: apt-get install dcm2niix")
    else:
        if find_spec("dcm2niix") is None:
            pytest.skip("dcm2niix is not installed: pip install dcm2niix")
        import dcm2niix

        found = dcm2niix.bin
    print(_version(found))  # noqa: T201 — shown by pytest -rP, and when a test fails
    return found


@cache
def _version(program: str) -> str:
    printed = subprocess.run([program, "--version"], capture_output=True, check=False, timeout=20).stdout.decode()
    return re.search(r"v1\.0\.\d+", printed)[0]


def converted(program: str, folder: Path, out: Path) -> list[Volume]:
    """Return what dcm2niix makes of a folder, one Volume per time point, in its order."""
    out.mkdir()
    command = [program, "-z", "n", "-b", "n", "-p", "n", "-f", "%s_%d", "-o", out, folder]
    subprocess.run(command, capture_output=True, check=False, timeout=120)
    found = []
    for path in sorted(out.glob("*.nii")):
        if "_Tilt" in path.name or "_Eq" in path.name:
            continue  # resampled by dcm2niix; the plain file lies beside it
        image = nibabel.load(path)
        for time, voxels in enumerate(np.moveaxis(image.get_fdata().reshape(*image.shape[:3], -1), -1, 0)):
            found.append(canonical(voxels, image.affine, f"{path.name}[{time}]"))
    return found


def ours(folder: Path) -> tuple[list[Volume], list[str]]:
    """Return our volumes in the same form, and the reasons of what was put aside."""
    found = read_series(folder)
    return [of_image(image, number) for number, image in enumerate(found.volumes)], [why for _, why in found.aside]


def of_image(image: Image, number: int) -> Volume:
    assert image.affine is not None
    return canonical(image.pixels.transpose(2, 1, 0), LPS_TO_RAS @ image.affine, str(number))


def canonical(voxels: np.ndarray, affine: np.ndarray, name: str) -> Volume:
    image = nibabel.as_closest_canonical(nibabel.Nifti1Image(np.asarray(voxels, np.float64), affine))
    return Volume(image.get_fdata(), image.affine, name)


def disagreement(one: Volume, other: Volume, padding: float | None = None) -> str:
    """Return in what two volumes differ, "" where they agree; what is `padding` in the other is not compared."""
    if one.voxels.shape != other.voxels.shape:
        return f"shape {one.voxels.shape} and {other.voxels.shape}"
    difference = np.abs(one.voxels - other.voxels)
    most = difference.max() if padding is None else difference[other.voxels != padding].max()
    if most > 2**-22 * np.abs(other.voxels).max():
        return f"voxels differ by up to {most:.4g}"
    apart = np.linalg.norm(one.corners() - other.corners(), axis=0).max()
    return f"corners are {apart:.3g} mm apart" if apart > FAR_MM else ""


def padding_of(folder: Path) -> float | None:
    """Return what a folder's first file calls padding, as a physical value: dcm2niix keeps it, we put air in its place."""
    headers = [dcmread(path, stop_before_pixels=True, force=True) for path in sorted(folder.rglob("*.dcm"))[:1]]
    if not headers or "PixelPaddingValue" not in headers[0]:
        return None
    value, top = int(headers[0].PixelPaddingValue), 2 ** int(headers[0].BitsAllocated)
    if headers[0].PixelRepresentation and value >= top // 2:  # a signed value that is written as unsigned
        value -= top
    return float(value * headers[0].get("RescaleSlope", 1) + headers[0].get("RescaleIntercept", 0))


def compare(program: str, folder: Path, tmp_path: Path) -> list[str]:
    """Return "" or the difference for each volume, time point by time point, in the order of both."""
    theirs, (found, _), padding = converted(program, folder, tmp_path / "nifti"), ours(folder), padding_of(folder)
    assert len(theirs) == len(found) > 0, f"{[volume.name for volume in theirs]} and {len(found)} of ours"
    return [disagreement(one, other, padding) for one, other in zip(found, theirs, strict=True)]


# --- real series -------------------------------------------------------------------------------------------------------

# Folder → volumes that agree: all of 49. The head CT is below.
REAL = {
    "mr-t1-sag": 1,
    "mr-epi/20180918GE/mr_0004": 10,
    "mr-epi/20180918GE/mr_0005": 10,
    "mr-epi/20180918GE/mr_0006": 10,
    "mr-epi/20180918GE/mr_0007": 10,
    "mr-epi/20180918Si/mr_0003": 2,
    "mr-epi/20180918Si/mr_0004": 2,
    "mr-epi/20180918Si/mr_0005": 2,
    "mr-epi/20180918Si/mr_0006": 2,
}


@pytest.mark.parametrize("name", REAL)
def test_real_series(data, program, tmp_path, name) -> None:
    assert compare(program, data / "dicom-series" / name, tmp_path) == [""] * REAL[name]


# The same of dcmqi's examples, which are packed with zstandard: slices, and as "legacy converted enhanced" objects.
PACKED = {
    "paramaps/701-ADCb500": 1,
    "segmentations/23x38x3/image": 1,
    "segmentations/23x38x3/multiframe": 1,
    "segmentations/24x38x3/image": 1,
    "segmentations/24x38x3/multiframe": 1,
    "segmentations/ct-3slice": 1,
}


@pytest.mark.parametrize("name", PACKED)
def test_packed_series(data, program, tmp_path, name) -> None:
    folder = tmp_path / "dicom"
    folder.mkdir()
    for path in (data / "dicom-conformance/dcmqi" / name).glob("*.zst"):
        (folder / path.stem).write_bytes(pyarrow.input_stream(path, compression="zstd").read())
    assert compare(program, folder, tmp_path) == [""] * PACKED[name]


def test_enhanced_perfusion_map(data, program, tmp_path) -> None:
    folder = tmp_path / "dicom"
    folder.mkdir()
    shutil.copy(data / "dicom-conformance/pydicom/eCT_Supplemental.dcm", folder)
    assert compare(program, folder, tmp_path) == [""]


def test_enhanced_object_without_a_place(data, program, tmp_path) -> None:
    """emri_small.dcm has no positions: dcm2niix makes an affine up ("bogus spatial matrix"), we give none."""
    folder = tmp_path / "dicom"
    folder.mkdir()
    shutil.copy(data / "dicom-conformance/pydicom/emri_small.dcm", folder)
    (image,) = read_series(folder).volumes
    assert image.affine is None
    (theirs,) = converted(program, folder, tmp_path / "nifti")
    voxels = image.pixels.transpose(2, 1, 0)
    assert any(
        np.array_equal(turned, theirs.voxels) for turned in (voxels, voxels[:, ::-1], voxels[::-1, ::-1], voxels[::-1])
    )


def test_tilted_head_ct_of_two_thicknesses(data, program, tmp_path) -> None:
    """28 slices, gantry tilted by 18.5°, 14 of them 4.4 mm apart and 14 another distance.

    dcm2niix writes all 28 as one volume and warns that its NIfTI is wrong ("interslice distance varies"); we make two
    volumes whose sheared affines are right. So the slices are compared, and the places with the positions of the files.
    """
    folder = data / "dicom-series/ct-ge"
    theirs, (found, aside) = converted(program, folder, tmp_path / "nifti"), ours(folder)
    assert (len(theirs), len(found), aside) == (1, 2, [])
    headers = [dcmread(path, stop_before_pixels=True) for path in folder.glob("*.dcm")]
    joined = np.concatenate([volume.voxels for volume in found], axis=2)
    outside = theirs[0].voxels == padding_of(folder)
    assert outside.any()
    assert np.array_equal(joined[~outside], theirs[0].voxels[~outside])
    assert (joined[outside] >= theirs[0].voxels[~outside].min()).all()  # ours holds air where padding was
    assert np.allclose(found[0].affine[:3, 3], theirs[0].affine[:3, 3], atol=FAR_MM)
    corners = sorted((np.array(header.ImagePositionPatient, float) for header in headers), key=lambda place: place[2])
    images = read_series(folder).volumes
    ours_lps = [image.affine @ (0, 0, frame, 1) for image in images for frame in range(image.frames)]
    assert np.allclose(np.array(ours_lps)[:, :3], corners, atol=0.05)
    tilt = np.degrees(np.arctan2(-headers[0].ImageOrientationPatient[5], headers[0].ImageOrientationPatient[4]))
    assert tilt == pytest.approx(18.5, abs=0.1)


# --- phantoms of every direction ---------------------------------------------------------------------------------------

X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def _minus(axis: tuple[float, float, float]) -> tuple[float, float, float]:
    return (-axis[0] + 0.0, -axis[1] + 0.0, -axis[2] + 0.0)


def _rotated(degrees: tuple[float, float, float], step: float) -> Cut:
    across, down, normal = turned(degrees).T
    return Cut(tuple(across), tuple(down), tuple(normal * step))


CUTS = {
    "axial, head first, supine": Cut(X, Y, (0, 0, 3.0)),
    "axial, from the head down": Cut(X, Y, (0, 0, -3.0)),
    "axial, prone": Cut(_minus(X), _minus(Y), (0, 0, 3.0)),
    "axial, feet first": Cut(_minus(X), Y, (0, 0, -2.5)),
    "axial, rows and columns exchanged": Cut(Y, X, (0, 0, 3.0)),
    "sagittal": Cut(Y, _minus(Z), (2.25, 0, 0)),
    "sagittal, from the left, facing right": Cut(_minus(Y), _minus(Z), (-2.25, 0, 0)),
    "sagittal, upside down": Cut(Y, Z, (-2.25, 0, 0)),
    "coronal": Cut(X, _minus(Z), (0, 4.0, 0)),
    "coronal, from behind": Cut(_minus(X), _minus(Z), (0, -4.0, 0)),
    "coronal, lying on its side": Cut(_minus(Z), X, (0, 4.0, 0)),
    "oblique, 20° about x": _rotated((20, 0, 0), 3.0),
    "oblique, about all axes": _rotated((25, -15, 10), 2.0),
    "oblique, downwards": _rotated((-12, 8, 30), -2.0),
    "oblique sagittal": _rotated((90, 80, 5), 1.75),
    "oblique coronal": _rotated((-75, 10, -10), 2.75),
    "near 45°": _rotated((44, 0, 0), 3.0),
    "thin slices": Cut(X, Y, (0, 0, 0.4), count=20),
}


@pytest.mark.parametrize("name", CUTS)
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_phantom_of_every_direction(program, tmp_path, name, modality) -> None:
    folder = tmp_path / "dicom"
    values = write_slices(folder, CUTS[name], modality=modality)
    assert compare(program, folder, tmp_path) == [""]
    found, _ = ours(folder)
    slope, intercept = (1, -1024) if modality == "CT" else (0.5, 3)
    assert np.array_equal(np.sort(found[0].voxels, axis=None), np.sort(values * slope + intercept, axis=None))


def test_tilted_phantom(program, tmp_path) -> None:
    """dcm2niix writes the slices as they are and, beside them, straightened ones; its plain file is compared."""
    angle = np.deg2rad(15)
    down = (0.0, float(np.cos(angle)), float(-np.sin(angle)))
    folder = tmp_path / "dicom"
    write_slices(folder, Cut(X, down, (0, 0, 5.0)), modality="CT")
    theirs, (found, aside) = converted(program, folder, tmp_path / "nifti"), ours(folder)
    assert (len(theirs), len(found), aside) == (1, 1, [])
    assert np.array_equal(found[0].voxels, theirs[0].voxels)
    assert np.allclose(found[0].affine[:3, 2], (0, 0, 5))  # sheared: the step is where the positions go


@pytest.mark.parametrize("name", ["axial, head first, supine", "sagittal", "oblique, about all axes"])
def test_two_series_in_one_folder(program, tmp_path, name) -> None:
    folder = tmp_path / "dicom"
    write_slices(folder / "one", CUTS[name], seed=1)
    write_slices(folder / "two", CUTS["coronal"], seed=2)
    theirs, (found, _) = converted(program, folder, tmp_path / "nifti"), ours(folder)
    assert len(theirs) == len(found) == 2
    agreeing = [(one.name, other.name) for one in found for other in theirs if disagreement(one, other) == ""]
    assert len({one for one, _ in agreeing}) == len({other for _, other in agreeing}) == 2


# --- enhanced objects --------------------------------------------------------------------------------------------------

ENHANCED = ["axial, head first, supine", "axial, from the head down", "sagittal", "oblique, about all axes", "near 45°"]


def truth(cut: Cut, values: np.ndarray, modality: str) -> Volume:
    """Return what was written: no reader has touched it."""
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = np.array(cut.across) * cut.spacing[1], np.array(cut.down) * cut.spacing[0]
    affine[:3, 2], affine[:3, 3] = cut.step, cut.origin
    slope, intercept = (1, -1024) if modality == "CT" else (0.5, 3)
    return canonical((values * slope + intercept).transpose(2, 1, 0), LPS_TO_RAS @ affine, "written")


@pytest.mark.parametrize("modality", ["CT", "MR"])
@pytest.mark.parametrize("name", ENHANCED)
@pytest.mark.parametrize("shuffled", [False, True], ids=["in order", "shuffled"])
def test_enhanced_object(program, tmp_path, name, modality, shuffled) -> None:
    """dcm2niix of 2026 takes the slice step from the first and last frame of the file, shuffled or not: only its voxels
    are compared then. Where the truth is known anyway, it is compared as well."""
    folder = tmp_path / "dicom"
    values = write_enhanced(folder, CUTS[name], modality=modality, shuffled=shuffled)
    (found,), aside = ours(folder)
    (theirs,) = converted(program, folder, tmp_path / "nifti")
    assert aside == []
    assert disagreement(found, truth(CUTS[name], values[0], modality)) == ""
    if shuffled and _version(program) >= "v1.0.2023":
        theirs = Volume(theirs.voxels, found.affine, theirs.name)
    assert disagreement(found, theirs) == ""


def test_enhanced_object_of_several_time_points(tmp_path) -> None:
    """Both versions of dcm2niix mix the time points of such an object (one 3D volume of all frames; 4D with a wrong step).

    So it is compared with what was written.
    """
    folder = tmp_path / "dicom"
    values = write_enhanced(folder, CUTS["oblique, about all axes"], times=3)
    found, aside = ours(folder)
    assert aside == []
    expected = [truth(CUTS["oblique, about all axes"], time, "MR") for time in values]
    assert [disagreement(one, other) for one, other in zip(found, expected, strict=True)] == ["", "", ""]


@pytest.mark.parametrize("name", CUTS)
def test_phantoms_are_where_they_were_written(tmp_path, name) -> None:
    """Without dcm2niix: against the truth."""
    folder = tmp_path / "dicom"
    values = write_slices(folder, CUTS[name])
    (found,), aside = ours(folder)
    assert (disagreement(found, truth(CUTS[name], values, "MR")), aside) == ("", [])


def test_a_disagreement_is_noticed(tmp_path) -> None:
    """The comparison itself can fail: a mirrored, a shifted and an upside-down volume are seen."""
    cut = CUTS["oblique, about all axes"]
    values = write_slices(tmp_path / "dicom", cut)
    written = truth(cut, values, "MR")
    assert disagreement(written, truth(cut, values[:, :, ::-1], "MR")).startswith("voxels differ")
    assert disagreement(written, truth(cut, values[::-1], "MR")).startswith("voxels differ")
    assert (
        disagreement(written, truth(replace(cut, origin=(-40.0, 25.0, -59.9)), values, "MR"))
        == "corners are 0.1 mm apart"
    )
