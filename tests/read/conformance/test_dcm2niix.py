"""Volumes against dcm2niix, the reference converter: the same voxels at the same places in the patient.

Both sides are brought to one order of axes (nibabel's as_closest_canonical: flips and transpositions only) and compared
voxel by voxel, in physical values, and by where their corners lie.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import nibabel
import numpy as np
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


def disagreement(one: Volume, other: Volume) -> str:
    """Return in what two volumes differ, "" where they agree."""
    if one.voxels.shape != other.voxels.shape:
        return f"shape {one.voxels.shape} and {other.voxels.shape}"
    most = np.abs(one.voxels - other.voxels).max()
    if most > 2**-22 * np.abs(other.voxels).max():
        return f"voxels differ by up to {most:.4g}"
    apart = np.linalg.norm(one.corners() - other.corners(), axis=0).max()
    return f"corners are {apart:.3g} mm apart" if apart > FAR_MM else ""


def compare(program: str, folder: Path, tmp_path: Path) -> list[str]:
    """Return "" or the difference for each volume, time point by time point, in the order of both."""
    theirs, (found, _) = converted(program, folder, tmp_path / "nifti"), ours(folder)
    assert len(theirs) == len(found) > 0, f"{[volume.name for volume in theirs]} and {len(found)} of ours"
    return [disagreement(one, other) for one, other in zip(found, theirs, strict=True)]


# --- real series -------------------------------------------------------------------------------------------------------

# Folder → volumes that agree. Together 40 + 8 + 1; the head CT is below.
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


def test_tilted_head_ct_of_two_thicknesses(data, program, tmp_path) -> None:
    """28 slices, gantry tilted by 18.5°, 14 of them 4.4 mm apart and 14 another distance.

    dcm2niix writes all 28 as one volume and warns that its NIfTI is wrong ("interslice distance varies"); we make two
    volumes whose sheared affines are right. So the slices are compared, and the places with the positions of the files.
    """
    folder = data / "dicom-series/ct-ge"
    theirs, (found, aside) = converted(program, folder, tmp_path / "nifti"), ours(folder)
    assert (len(theirs), len(found), aside) == (1, 2, [])
    headers = [dcmread(path, stop_before_pixels=True) for path in folder.glob("*.dcm")]
    joined, padding = np.concatenate([volume.voxels for volume in found], axis=2), headers[0].PixelPaddingValue
    outside = theirs[0].voxels == padding * headers[0].RescaleSlope + headers[0].RescaleIntercept
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


@pytest.mark.parametrize("modality", ["CT", "MR"])
@pytest.mark.parametrize(
    "name", ["axial, head first, supine", "axial, from the head down", "sagittal", "oblique, about all axes"]
)
def test_enhanced_object_with_shuffled_frames(program, tmp_path, name, modality) -> None:
    folder = tmp_path / "dicom"
    write_enhanced(folder, CUTS[name], modality=modality)
    assert compare(program, folder, tmp_path) == [""]


def test_enhanced_object_of_several_time_points(program, tmp_path) -> None:
    if _version(program) < "v1.0.2023":
        pytest.skip("this dcm2niix stacks the time points of such an object into one volume of all frames")
    folder = tmp_path / "dicom"
    write_enhanced(folder, CUTS["axial, head first, supine"], times=3)
    assert compare(program, folder, tmp_path) == ["", "", ""]
