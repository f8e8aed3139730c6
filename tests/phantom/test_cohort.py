"""The cohort on disk is what it says: the same bytes again, labels, truth, and files that must be put aside."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.errors import InvalidDicomError
from scipy.spatial.transform import Rotation

from hounsfield.errors import OutputError, UsageError
from hounsfield.phantom import Difficulty, PhantomCohort, generate
from hounsfield.read import read_image


def _digests(out: Path) -> dict[str, str]:
    return {
        p.relative_to(out).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in out.rglob("*") if p.is_file()
    }


def _slices(folder: Path, planted: set[Path]) -> list[pydicom.Dataset]:
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p not in planted]
    return [pydicom.dcmread(p) for p in files]


def _wanted(cohort: PhantomCohort, folder: Path) -> list[pydicom.Dataset]:
    return _slices(folder, {p.path for p in cohort.planted})


def _hu(ds: pydicom.Dataset) -> np.ndarray:
    return ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)


def test_same_seed_same_bytes_and_patients_do_not_depend_on_the_others(tmp_path: Path) -> None:
    knobs = Difficulty(prevalence=0.0)  # the labels alone depend on how many patients there are
    for name, patients, seed in (("one", 3, 0), ("two", 3, 0), ("more", 4, 0), ("other", 3, 1)):
        generate(tmp_path / name, patients_a=patients, patients_b=1, slices=3, size=32, seed=seed, difficulty=knobs)
    one, two, more, other = (_digests(tmp_path / name) for name in ("one", "two", "more", "other"))
    assert one == two
    dicom = {name: digest for name, digest in one.items() if name.startswith("centre-")}
    assert dicom.items() <= more.items()
    images = {digest for name, digest in dicom.items() if not name.endswith("notes.dcm")}
    assert not images & set(other.values())


def test_labels_table(cohort: PhantomCohort) -> None:
    rows = list(csv.DictReader(cohort.labels.open()))
    assert list(rows[0]) == ["PatientID", "nodule", "site"]
    assert sorted((r["site"], r["nodule"]) for r in rows).count(("A", "yes")) == 3
    assert sum(r["nodule"] == "yes" for r in rows if r["site"] == "B") == 2
    truth, seen = json.loads(cohort.truth.read_text()), defaultdict(set)
    for folder in (cohort.centre_a, cohort.centre_b):
        for ds in _wanted(cohort, folder):
            seen[ds.PatientID].add(ds.SeriesInstanceUID)
    assert {r["PatientID"] for r in rows} == set(seen)
    assert all(len(series) == 1 for series in seen.values())
    for row in rows:
        (series,) = seen[row["PatientID"]]
        assert (truth[series] is not None) == (row["nodule"] == "yes")


def test_series_are_whole_and_differ_between_centres(cohort: PhantomCohort) -> None:
    a, b = _wanted(cohort, cohort.centre_a), _wanted(cohort, cohort.centre_b)
    assert (len(a), len(b)) == (6 * 8, 4 * 8)
    assert len({ds.SOPInstanceUID for ds in a + b}) == len(a + b)
    assert len({Path(ds.filename).suffix for ds in a}) == 2, "some names have no extension"
    for name in ("Manufacturer", "ConvolutionKernel", "RescaleIntercept", "RescaleSlope", "PatientPosition"):
        assert {str(ds[name].value) for ds in a}.isdisjoint({str(ds[name].value) for ds in b}), name
    syntax = {tuple({str(ds.file_meta.TransferSyntaxUID) for ds in part}) for part in (a, b)}
    assert syntax == {("1.2.840.10008.1.2.1",), ("1.2.840.10008.1.2.5",)}
    for part in (a, b):
        positions = defaultdict(list)
        for ds in part:
            positions[ds.SeriesInstanceUID].append(float(ds.ImagePositionPatient[2]))
        for z in positions.values():
            np.testing.assert_allclose(np.diff(sorted(z)), float(part[0].SpacingBetweenSlices), atol=1e-3)


@pytest.mark.parametrize("centre", ["centre_a", "centre_b"])
def test_values_are_hounsfield_units_after_rescale_only(cohort: PhantomCohort, centre: str) -> None:
    images = _wanted(cohort, getattr(cohort, centre))
    hu, stored = np.stack([_hu(ds) for ds in images]), np.stack([ds.pixel_array for ds in images])
    assert abs(np.median(hu[:, :3, :3]) + 1000) < 10, "air in the corners"
    soft = hu[(hu > -20) & (hu < 110)]  # the peak of soft tissue, muscle and blood
    assert abs(np.median(soft) - 42) < 10
    lung = hu[(hu > -910) & (hu < -700)]  # the foam of the table lies just below
    assert abs(np.median(lung) + 850) < 40
    assert 0.05 < lung.size / hu.size < 0.5
    assert hu.max() > 350, "bone"
    assert abs(np.median(stored[:, :3, :3]) + 1000) > 500, "read without rescale, even air is wrong"
    if centre == "centre_b":
        assert stored.min() > 3000, "and every window in HU is white from edge to edge"


@pytest.mark.parametrize("lying", ["cohort", "oblique"])
@pytest.mark.parametrize("centre", ["centre_a", "centre_b"])
def test_truth_lies_where_the_geometry_says(request: pytest.FixtureRequest, lying: str, centre: str) -> None:
    cohort: PhantomCohort = request.getfixturevalue(lying)
    truth, checked = json.loads(cohort.truth.read_text()), 0
    for ds in _wanted(cohort, getattr(cohort, centre)):
        nodule = truth[ds.SeriesInstanceUID]
        if nodule is None:
            continue
        position, orientation = np.array(ds.ImagePositionPatient, float), np.array(ds.ImageOrientationPatient, float)
        offset = np.array(nodule["centre_mm"]) - position
        column = offset @ orientation[:3] / float(ds.PixelSpacing[1])
        row = offset @ orientation[3:] / float(ds.PixelSpacing[0])
        height = abs(offset @ np.cross(orientation[:3], orientation[3:]))
        cut = nodule["slices"].get(ds.SOPInstanceUID)
        if cut is None:
            squared = (nodule["diameter_mm"] / 2) ** 2 - height**2
            assert squared < float(ds.PixelSpacing[0]) ** 2, "its cut is smaller than a pixel, or there is none"
            continue
        checked += 1
        assert (row, column) == pytest.approx((cut["row"], cut["column"]), abs=0.01)
        assert np.hypot(height, cut["radius_px"] * float(ds.PixelSpacing[0])) == pytest.approx(
            nodule["diameter_mm"] / 2, abs=0.01
        )
        assert np.hypot(row - ds.Rows / 2, column - ds.Columns / 2) > cut["radius_px"], "never in the middle"
        if cut["radius_px"] > 1.5:
            assert _hu(ds)[round(row), round(column)] > -400, "brighter than lung"
    assert checked >= 6
    assert all(n is None or len(n["slices"]) >= 3 for n in truth.values())


@pytest.mark.parametrize("centre", ["centre_a", "centre_b"])
def test_read_back_the_nodule_of_an_oblique_series_lies_at_its_mm(oblique: PhantomCohort, centre: str) -> None:
    """Through the reader, which turns pictures upright and has its own sums: bright inside the ball, lung around it."""
    series = defaultdict(list)
    for ds in _wanted(oblique, getattr(oblique, centre)):
        series[ds.SeriesInstanceUID].append(Path(ds.filename))
    checked = 0
    for uid, nodule in json.loads(oblique.truth.read_text()).items():
        if nodule is None or uid not in series:
            continue
        inside, around = [], []
        for image in (read_image(path) for path in series[uid]):
            rows, columns = np.indices(image.size)
            assert image.affine is not None
            points = np.stack([columns, rows, 0 * rows, 1 + 0 * rows], axis=-1) @ image.affine.T
            away = np.linalg.norm(points[..., :3] - nodule["centre_mm"], axis=-1) - nodule["diameter_mm"] / 2
            inside.append(image.pixels[0][away < -5])
            around.append(image.pixels[0][(away > 4) & (away < 7)])
        assert np.median(np.concatenate(inside)) > -150 and np.median(np.concatenate(around)) < -600
        checked += 1
    assert checked >= 2


def test_a_tilt_changes_positions_and_no_pixel(cohort: PhantomCohort, oblique: PhantomCohort) -> None:
    turn = Rotation.from_euler("xyz", [17.0, -12.0, 23.0], degrees=True)
    straight = _wanted(cohort, cohort.centre_b)
    for one, other in zip(straight, _wanted(oblique, oblique.centre_b), strict=True):
        assert one.PixelData == other.PixelData and one.SOPInstanceUID != other.SOPInstanceUID
        for name in ("ImagePositionPatient", "ImageOrientationPatient"):
            wanted = turn.apply(np.array(one[name].value, float).reshape(-1, 3)).ravel()
            np.testing.assert_allclose(np.array(other[name].value, float), wanted, atol=2e-6)
    assert cohort.labels.read_bytes() == oblique.labels.read_bytes()


def test_planted_files_are_what_they_claim(cohort: PhantomCohort) -> None:
    by_reason = defaultdict(list)
    for planted in cohort.planted:
        assert planted.path.is_relative_to(cohort.centre_a) and planted.path.is_file()
        by_reason[planted.reason].append(planted)
    assert {reason: len(files) for reason, files in by_reason.items()} == {
        "truncated": 1,
        "duplicate": 1,
        "not-dicom": 1,
        "not-an-image": 1,
        "unlabelled": 8,
    }
    wanted = {ds.SOPInstanceUID: ds for ds in _wanted(cohort, cohort.centre_a)}

    (truncated,) = by_reason["truncated"]
    ds = pydicom.dcmread(truncated.path, stop_before_pixels=True)
    assert ds.SOPInstanceUID not in wanted
    assert ds.SeriesInstanceUID in {w.SeriesInstanceUID for w in wanted.values()}
    with pytest.raises(Exception):  # noqa: B017, PT011 - what is raised is pydicom's affair
        pydicom.dcmread(truncated.path).pixel_array  # noqa: B018

    (copy,) = by_reason["duplicate"]
    assert copy.twin is not None and copy.twin.name < copy.path.name
    assert pydicom.dcmread(copy.path).SOPInstanceUID == pydicom.dcmread(copy.twin).SOPInstanceUID

    with pytest.raises(InvalidDicomError):
        pydicom.dcmread(by_reason["not-dicom"][0].path)

    report = pydicom.dcmread(by_reason["not-an-image"][0].path)
    assert report.Modality == "SR" and "PixelData" not in report and report.ContentSequence
    assert report.StudyInstanceUID in {w.StudyInstanceUID for w in wanted.values()}

    labelled = {row["PatientID"] for row in csv.DictReader(cohort.labels.open())}
    unlabelled = [pydicom.dcmread(p.path) for p in by_reason["unlabelled"]]
    assert {ds.PatientID for ds in unlabelled}.isdisjoint(labelled)
    assert len({ds.SeriesInstanceUID for ds in unlabelled}) == 1


def test_progress_and_refusals(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    generate(tmp_path, patients_a=3, patients_b=0, slices=3, size=32, progress=lambda *done: calls.append(done))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    with pytest.raises(OutputError, match="empty folder"):
        generate(tmp_path, patients_a=3, patients_b=0, slices=3, size=32)
    with pytest.raises(UsageError):
        generate(tmp_path / "x", patients_a=1)
