"""A whole cohort of phantoms: two centres, a table of labels, the truth, and files that belong in quarantine."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hounsfield.errors import OutputError, UsageError
from hounsfield.phantom import dicom
from hounsfield.phantom.anatomy import Nodule, add_nodule, chest, place_nodule
from hounsfield.phantom.difficulty import DEFAULT, Difficulty
from hounsfield.phantom.grid import Array, Grid
from hounsfield.phantom.scanner import CENTRE_A, CENTRE_B, Scanner

Reason = Literal["truncated", "not-dicom", "not-an-image", "duplicate", "unlabelled"]
SMALLEST_CUT_PX = 1.0  # a cut with a smaller radius cannot be seen, so the truth does not list it
UNLABELLED = 9001


@dataclass(frozen=True)
class PlantedFile:
    """A file that must be put aside, and why; of a duplicate, `twin` is the file with the same SOP Instance UID."""

    path: Path
    reason: Reason
    twin: Path | None = None


@dataclass(frozen=True)
class PhantomCohort:
    """Where everything was written.

    Attributes
    ----------
    centre_a, centre_b:
        Folders of DICOM files.
    labels:
        CSV with the columns PatientID, nodule (yes, no) and site (A, B).
    truth:
        JSON, from SeriesInstanceUID to null or {centre_mm, diameter_mm, slices}; `slices` maps each SOPInstanceUID in
        which the nodule is visible to its row, column and radius_px in the stored pixels (first row and column are 0).
    planted:
        The files that must be put aside.
    """

    centre_a: Path
    centre_b: Path
    labels: Path
    truth: Path
    planted: tuple[PlantedFile, ...]


@dataclass(frozen=True)
class _Written:
    patient: dicom.Patient
    grid: Grid
    hu: Array
    series: dicom.Series
    nodule: Nodule | None


@dataclass(frozen=True)
class _Centre:
    """One centre's patients: each is drawn from its own generators, so that none depends on the others."""

    name: str
    folder: Path
    scanner: Scanner
    slices: int
    size: int
    seed: int
    difficulty: Difficulty

    def _sequence(self, *what: int) -> np.random.SeedSequence:
        return np.random.SeedSequence([self.seed, ord(self.name), *what])

    def labels(self, patients: int) -> list[bool]:
        """Return who has a nodule: the wanted share exactly, in random order."""
        with_nodule = np.arange(patients) < round(self.difficulty.prevalence * patients)
        return [bool(v) for v in np.random.default_rng(self._sequence(0)).permutation(with_nodule)]

    def write(self, number: int, has_nodule: bool) -> _Written:
        """Draw, scan and write patient `number`."""
        who, body, place, noise = map(np.random.default_rng, self._sequence(1, number).spawn(4))
        patient, knobs = self._patient(number, who), self.difficulty
        # The table stands lower than the isocentre and never at the same place, so geometry must be read.
        centre = (float(who.uniform(-6, 6)), float(who.uniform(-190, -150)), float(who.uniform(-400, -100)))
        grid = self.scanner.grid(self.slices, self.size, centre)
        drawn = chest(
            body,
            grid,
            distractors=int(body.integers(knobs.distractors[0], knobs.distractors[1], endpoint=True)),
            distractor_mm=knobs.distractor_mm,
            granulomas=int(body.integers(knobs.granulomas[0], knobs.granulomas[1], endpoint=True)),
            prone=self.scanner.prone,
        )
        nodule = place_nodule(place, drawn, knobs.nodule_mm, knobs.nodule_hu) if has_nodule else None
        hu = drawn.hu if nodule is None else add_nodule(drawn.hu, grid, nodule, knobs.edge_mm)
        hu = self.scanner.acquire(hu, noise)
        folder, name = self._layout(number, patient)
        series = dicom.write_series(folder, hu, self.scanner, patient, grid, name=name)
        return _Written(patient, grid, hu, series, nodule)

    def _patient(self, number: int, rng: np.random.Generator) -> dicom.Patient:
        day = np.datetime64("2021-01-04") + int(rng.integers(0, 1000))
        return dicom.Patient(
            # Everything that changes the pixels is in the key: two different images never share a UID.
            key=f"{self.seed}/{self.slices}/{self.size}/{self.difficulty}/{self.scanner}/{number}{self._tilt}",
            patient_id=f"PHANTOM-{self.name}-{number:04d}",
            name=f"Phantom^{self.name}{number:04d}",
            sex=str(rng.choice(["F", "M"])),
            age=int(np.clip(rng.normal(62, 11), 30, 89)),
            study_date=str(day).replace("-", ""),
            study_time=f"{int(rng.integers(7, 19)):02d}{int(rng.integers(0, 60)):02d}00",
        )

    @property
    def _tilt(self) -> str:
        return f"/{self.scanner.tilt_deg}" if any(self.scanner.tilt_deg) else ""

    def _layout(self, number: int, patient: dicom.Patient) -> tuple[Path, Callable[[int], str]]:
        """Return folder and naming: flat and nested folders, names with and without extension, as centres send them."""
        if self.name == "B":
            return self.folder / "DICOM" / f"PA{number:05d}" / "ST00001" / "SE00002", "IM{:05d}".format
        if number % 3 == 0:
            return self.folder / "archive" / patient.patient_id / patient.study_date / "thorax", "{:08d}".format
        return self.folder / patient.patient_id, "IM{:04d}.dcm".format


def generate(
    out: Path,
    *,
    patients_a: int = 160,
    patients_b: int = 60,
    slices: int = 8,
    size: int = 128,
    seed: int = 0,
    difficulty: Difficulty = DEFAULT,
    tilt_deg: tuple[float, float, float] = (0.0, 0.0, 0.0),
    progress: Callable[[int, int], None] | None = None,
) -> PhantomCohort:
    """Write a cohort of simulated chest CTs from two centres; the same arguments give the same bytes.

    Parameters
    ----------
    out:
        A folder that is empty or does not exist.
    patients_a, patients_b:
        Labelled patients of each centre, one series each. Centre A has one more, without a label.
    slices, size:
        Slices of a series, and rows and columns of a slice.
    tilt_deg:
        By how much all patients lie turned in the scanner, around x, then y, then z. The pixels stay the same; positions,
        orientations and the truth in mm turn. Below 45 degrees every slice is still nearest to axial.
    progress:
        Called with (series written, series in all).

    Raises
    ------
    UsageError
        If a number is too small for the phantom to make sense.
    OutputError
        If `out` holds files already, or cannot be written.
    """
    if patients_a < 3 or patients_b < 0 or slices < 3 or size < 32 or seed < 0:
        raise UsageError(
            "a phantom needs at least 3 patients at centre A, 3 slices and 32 pixels, and a seed of 0 or more",
            where=f"patients_a={patients_a}, patients_b={patients_b}, slices={slices}, size={size}, seed={seed}",
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError("the phantom is only written into an empty folder", where=out, fix="Name a new folder.")
    out.mkdir(parents=True, exist_ok=True)
    noise_a, noise_b = difficulty.noise_hu
    a, b = (
        _Centre(
            name,
            out / f"centre-{name.lower()}",
            replace(scanner, noise_hu=noise, tilt_deg=tilt_deg),
            slices,
            size,
            seed,
            difficulty,
        )
        for name, scanner, noise in (("A", CENTRE_A, noise_a), ("B", CENTRE_B, noise_b))
    )
    todo = [
        (centre, number, label)
        for centre, patients in ((a, patients_a), (b, patients_b))
        for number, label in enumerate(centre.labels(patients), start=1)
    ]
    rows: list[tuple[str, str, str]] = []
    truth: dict[str, Any] = {}
    planted: list[PlantedFile] = []
    b.folder.mkdir(exist_ok=True)
    for done, (centre, number, label) in enumerate(todo, start=1):
        written = centre.write(number, label)
        rows.append((written.patient.patient_id, "yes" if label else "no", centre.name))
        truth[written.series.series_uid] = _truth(written, centre.scanner)
        if centre is a and number <= 3:
            planted += _plant(a, number, written)
        if progress is not None:
            progress(done, len(todo) + 1)
    unlabelled = a.write(UNLABELLED, has_nodule=False)
    truth[unlabelled.series.series_uid] = None
    planted += [PlantedFile(path, "unlabelled") for path in unlabelled.series.paths]
    if progress is not None:
        progress(len(todo) + 1, len(todo) + 1)
    return PhantomCohort(
        a.folder,
        b.folder,
        _write_labels(out / "labels.csv", rows),
        _write_truth(out / "truth.json", truth),
        tuple(planted),
    )


def _truth(written: _Written, scanner: Scanner) -> dict[str, Any] | None:
    """Return where the nodule lies, in the patient and in the stored pixels of each slice that shows it."""
    if written.nodule is None:
        return None
    grid, nodule = written.grid, written.nodule
    _, row, column = grid.index(nodule.centre_mm)
    # The stored pixels may run the other way than the patient's axes.
    row = row if scanner.orientation[4] > 0 else grid.shape[1] - 1 - row
    column = column if scanner.orientation[0] > 0 else grid.shape[2] - 1 - column
    cuts = {
        uid: nodule.radius_at(float(grid.point((index, 0, 0))[2])) / grid.spacing[1]
        for index, uid in enumerate(written.series.sop_uids)
    }
    return {
        "centre_mm": [round(value, 6) for value in scanner.in_patient(nodule.centre_mm)],
        "diameter_mm": nodule.diameter_mm,
        "slices": {
            uid: {"row": round(float(row), 3), "column": round(float(column), 3), "radius_px": round(radius, 3)}
            for uid, radius in cuts.items()
            if radius >= SMALLEST_CUT_PX
        },
    }


def _plant(centre: _Centre, number: int, written: _Written) -> list[PlantedFile]:
    """Plant what goes with one of the first three patients of centre A; no series loses a slice by it."""
    first = written.series.paths[0]
    if number == 1:
        path = first.with_name("IM9999.dcm")
        dicom.write_truncated(path, written.hu[-1], centre.scanner, written.patient, written.grid)
        return [PlantedFile(path, "truncated")]
    if number == 2:
        twin = written.series.paths[len(written.series.paths) // 2]
        copy, notes = twin.with_name(f"{twin.stem}_copy.dcm"), centre.folder / "notes.dcm"
        shutil.copyfile(twin, copy)
        dicom.write_notes(notes)
        return [PlantedFile(copy, "duplicate", twin), PlantedFile(notes, "not-dicom")]
    report = first.with_name("SR0001.dcm")
    dicom.write_report(report, written.patient)
    return [PlantedFile(report, "not-an-image")]


def _write_labels(path: Path, rows: list[tuple[str, str, str]]) -> Path:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([("PatientID", "nodule", "site"), *rows])
    path.write_bytes(text.getvalue().encode())
    return path


def _write_truth(path: Path, truth: dict[str, Any]) -> Path:
    path.write_bytes((json.dumps(truth, indent=1, sort_keys=True) + "\n").encode())
    return path
