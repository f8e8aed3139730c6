"""Scanning many small DICOM files: speed against pydicom alone, memory of all processes, an interruption, a second scan.

    python benchmarks/scan.py [--files 10000 100000]

Each size is generated in a temporary folder that is removed afterwards: series of 100 slices of 64 × 64 pixels (16 bit),
two series per patient, headers of about 100 elements, a table of labels by SeriesInstanceUID. The baseline is pydicom's
`dcmread(stop_before_pixels=True)` in one process, over a random sample of the same files. Scans run in processes of their
own, with default settings; memory is the sum of PSS (shared pages counted once) over such a process and its children,
taken every 50 ms, which itself takes about a tenth of a core. Files lie in the cache of the disk, since they were just
written: on a cold or distant disk everything is slower, and the ratios are nearer to 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

SLICES, SERIES_PER_PATIENT, SIDE = 100, 2, 64
SAMPLE = 3000
LOOK = 0.05  # seconds between two looks at the memory
READ = "headers-are-read"  # a file that a scan's process makes, so that its memory before and after can be told apart
ROOT_UID = "1.2.826.0.1.3680043.10.999"


@dataclass(frozen=True)
class Scanned:
    """One scan in a process of its own."""

    seconds: float
    phases: dict[str, float]
    read: int
    peak: dict[str, float]
    digest: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--files", type=int, nargs="+", default=[10_000, 100_000], help="how many; several sizes are compared"
    )
    parser.add_argument("--child", nargs=3, metavar=("IMAGES", "LABELS", "RUN"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(*map(Path, arguments.child))
        return
    folder = Path(tempfile.mkdtemp(prefix="hounsfield-scan-"))
    try:
        peaks = [measure(folder, files) for files in sorted(arguments.files)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if len(peaks) > 1:
        print(f"peak memory of the largest over that of the smallest: {peaks[-1] / peaks[0]:.2f}")


def measure(folder: Path, files: int) -> float:
    """Measure one size, print its table, and return the peak of the first scan in MB."""
    images, labels, run = folder / "images", folder / "labels.csv", folder / "run"
    started = time.perf_counter()
    size = generate(images, labels, files)
    made = time.perf_counter() - started
    print(f"\n{files:,} files of {size / 1000:.1f} kB in {files // SLICES} series, written in {made:.0f} s")
    before = pydicom_alone(images)
    first = scan(images, labels, run)
    baseline = (before + pydicom_alone(images)) / 2  # before and after, in case the machine is shared
    second = scan(images, labels, run)
    interrupted = folder / "interrupted"
    done, known, lost = kill_at_half(images, labels, interrupted)
    resumed = scan(images, labels, interrupted)
    speed, reading = files / first.seconds, files / first.phases["headers"]
    total = lost + resumed.seconds
    same = len({first.digest, second.digest, resumed.digest}) == 1
    rows = [
        ("pydicom alone, one process", f"{baseline:,.0f} files/s", f"twice {min(SAMPLE, files):,} of the files"),
        ("scan, from nothing", f"{speed:,.0f} files/s", f"{first.seconds:.1f} s, {speed / baseline:.2f} × pydicom"),
        ("  reading headers", f"{reading:,.0f} files/s", f"{first.phases['headers']:.1f} s, {reading / baseline:.2f} × pydicom"),
        ("  load, group, split, look, save", f"{first.phases['rest']:.1f} s", "and the rest is the start of Python"),
        ("peak memory while reading headers", f"{first.peak['headers']:.0f} MB", "sum over processes"),
        ("peak memory afterwards", f"{first.peak['rest']:.0f} MB", "grouping, and the look at pixels"),
        ("second scan, nothing changed", f"{second.seconds:.1f} s", f"{second.read} read, {first.seconds / second.seconds:.1f} × faster"),
        ("killed (SIGKILL), started again", f"{total:.1f} s", f"{total / first.seconds:.2f} × one scan"),
        ("  read when killed, read again", f"{done:,}, {done - known:,}", f"{resumed.read:,} were left to read"),
        ("all cohorts are the same", "yes" if same else "NO", first.digest[:12]),
    ]  # fmt: skip
    for name, value, note in rows:
        print(f"  {name:<40} {value:>16}   {note}")
    shutil.rmtree(images)
    shutil.rmtree(run)
    shutil.rmtree(interrupted)
    return max(first.peak.values())


def pydicom_alone(images: Path) -> float:
    """Return files per second of pydicom in this process, over a random sample."""
    paths = sorted(images.rglob("*.dcm"))
    chosen = np.random.default_rng(0).choice(len(paths), min(SAMPLE, len(paths)), replace=False)
    started = time.perf_counter()
    for index in chosen:
        dcmread(paths[index], stop_before_pixels=True)
    return len(chosen) / (time.perf_counter() - started)


def child(images: Path, labels: Path, run: Path) -> None:
    """Scan and save, and tell how long the phases took."""
    from hounsfield.cohort import Labelling, scan

    started = time.perf_counter()
    told = [started, 0.0, 0.0]  # when headers were done, files known at first, all files

    def progress(what: str) -> Callable[[int, int], None]:
        return headers_read if what == "reading headers" else lambda done, total: None

    def headers_read(known: int, total: int) -> None:
        if not told[2]:
            told[1:] = [known - 1 if known < total else known, total]
        told[0] = time.perf_counter()
        if known == total:
            (run / READ).touch()
        print("progress", known, flush=True)

    cohort = scan(images, Labelling(labels), run=run, progress=progress)
    cohort.save(run)
    ended = time.perf_counter()
    (run / "told.json").write_text(json.dumps({
        "headers": told[0] - started, "rest": ended - told[0], "read": int(told[2] - told[1]), "digest": cohort.digest,
    }))  # fmt: skip


def scan(images: Path, labels: Path, run: Path) -> Scanned:
    """Run a scan in a process of its own and watch its memory."""
    (run / READ).unlink(missing_ok=True)
    started = time.perf_counter()
    process = begin(images, labels, run, subprocess.DEVNULL)
    peak = {"headers": 0.0, "rest": 0.0}
    while process.poll() is None:
        used, phase = memory(process.pid), "rest" if (run / READ).exists() else "headers"
        peak[phase] = max(peak[phase], used)
        time.sleep(LOOK)
    seconds = time.perf_counter() - started
    if process.returncode:
        sys.exit(f"the scan failed with exit code {process.returncode}")
    told = json.loads((run / "told.json").read_text())
    return Scanned(seconds, {"headers": told["headers"], "rest": told["rest"]}, told["read"], peak, told["digest"])


def kill_at_half(images: Path, labels: Path, run: Path) -> tuple[int, int, float]:
    """Kill a scan (SIGKILL) when half of the files are read; return (files read, files in its index, seconds lost)."""
    import sqlite3

    files, done = sum(1 for _ in images.rglob("*.dcm")), 0
    started = time.perf_counter()
    process = begin(images, labels, run, subprocess.PIPE)
    assert process.stdout is not None
    for line in process.stdout:
        done = int(line.split()[1])
        if done >= files // 2:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    lost = time.perf_counter() - started
    time.sleep(1)  # the workers notice that their parent is dead
    with sqlite3.connect(run / "private" / "index.sqlite") as index:
        (known,) = index.execute("SELECT count(*) FROM files WHERE state <> 'waiting'").fetchone()
    index.close()
    return done, known, lost


def begin(images: Path, labels: Path, run: Path, stdout: int) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--child", str(images), str(labels), str(run)]
    key = {"HOUNSFIELD_KEY_FILE": str(run.parent / "project.key")}  # and not the key of whoever runs this
    errors = subprocess.DEVNULL if stdout == subprocess.PIPE else None  # a killed process is cleaned up with warnings
    return subprocess.Popen(command, stdout=stdout, stderr=errors, text=True, env=os.environ | key)


def memory(pid: int) -> float:
    """Return MB (PSS, or USS where the system has no PSS) of a process and its children."""
    total = 0.0
    try:
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    for process in processes:
        try:
            info = process.memory_full_info()
        except psutil.Error:
            continue
        total += getattr(info, "pss", 0) or info.uss
    return total / 1e6


def generate(images: Path, labels: Path, files: int) -> int:
    """Write series of DICOM files and the table; return bytes per file.

    One template per series is written by pydicom. What differs from slice to slice has a fixed length, so that its
    bytes can be replaced in place.
    """
    generator = np.random.default_rng(0)
    rows, size = ["series,label"], 0
    for series in range(-(-files // SLICES)):
        patient, count = series // SERIES_PER_PATIENT, min(SLICES, files - series * SLICES)
        uid = f"{ROOT_UID}.{100_000 + patient}.{10 + series % SERIES_PER_PATIENT}"
        rows.append(f"{uid},{('no', 'yes')[patient % 2]}")
        folder = images / f"patient{patient:04d}" / f"series{series:05d}"
        folder.mkdir(parents=True)
        template, places = template_of(uid, patient, series)
        size = len(template)
        noise = generator.integers(0, 4096, SIDE * SIDE, dtype=np.uint16).tobytes()
        for number in range(count):
            data = bytearray(template)
            for place, value in zip(places, slice_values(uid, number), strict=True):
                data[place : place + len(value)] = value
            data[-len(noise) :] = noise[2 * number :] + noise[: 2 * number]
            (folder / f"IM{number:04d}.dcm").write_bytes(data)
    labels.write_text("\n".join(rows) + "\n")
    return size


def slice_values(uid: str, number: int) -> tuple[bytes, ...]:
    """Return what differs: SOPInstanceUID (in the file's meta information and in the data set), number and position."""
    sop = f"{uid}.{1000 + number}".encode()
    return sop, sop, f"{number:06d}".encode(), f"{-160:09.3f}\\{-160:09.3f}\\{2.5 * number:09.3f}".encode()


def template_of(uid: str, patient: int, series: int) -> tuple[bytes, list[int]]:
    """Return the bytes of a slice and where its changing values stand."""
    dataset = header_of(uid, patient, series)
    sop, _, number, position = slice_values(uid, 0)
    dataset.SOPInstanceUID, dataset.InstanceNumber = sop.decode(), number.decode()
    dataset.ImagePositionPatient = position.decode().split("\\")
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.PixelData = bytes(SIDE * SIDE * 2)
    place = Path(tempfile.gettempdir()) / f"template-{os.getpid()}.dcm"
    try:
        dcmwrite(place, dataset, enforce_file_format=True)
        data = place.read_bytes()
    finally:
        place.unlink(missing_ok=True)
    meta = data.index(sop)
    places = [meta, data.index(sop, meta + 1), *(after(data, tag) for tag in (0x00200013, 0x00200032))]
    for start, value in zip(places, (sop, sop, number, position), strict=True):
        assert data[start : start + len(value)] == value
    return data, places


def after(data: bytes, tag: int) -> int:
    """Return where the value of an element with a short length field stands."""
    return next(occurrences(data, struct.pack("<HH", tag >> 16, tag & 0xFFFF))) + 8


def occurrences(data: bytes, pattern: bytes) -> Iterator[int]:
    start = data.find(pattern)
    while start >= 0:
        yield start
        start = data.find(pattern, start + 1)


def header_of(uid: str, patient: int, series: int) -> Dataset:
    """Return a header of about a hundred elements, as scanners write them."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.SOPClassUID = CTImageStorage
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PatientName, dataset.PatientID = f"Bench^{patient:04d}", f"BENCH-{patient:05d}"
    dataset.PatientSex, dataset.PatientAge, dataset.PatientBirthDate = (
        "FM"[patient % 2],
        f"{30 + patient % 50:03d}Y",
        "19600101",
    )
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{ROOT_UID}.{100_000 + patient}", uid
    dataset.FrameOfReferenceUID = f"{ROOT_UID}.{100_000 + patient}.9"
    dataset.SeriesNumber, dataset.AcquisitionNumber = series % SERIES_PER_PATIENT + 1, 1
    dataset.Modality, dataset.BodyPartExamined, dataset.PatientPosition = "CT", "CHEST", "HFS"
    dataset.Manufacturer, dataset.ManufacturerModelName = "Benchmark Systems", f"Model {patient % 3}"
    dataset.InstitutionName, dataset.StationName = "Benchmark Hospital", f"CT{patient % 3}"
    for name in ("Study", "Series", "Acquisition", "Content"):
        setattr(dataset, f"{name}Date", "20240229")
        setattr(dataset, f"{name}Time", "101112.123456")
    texts = (
        "AccessionNumber", "StudyID", "StudyDescription", "SeriesDescription", "ProtocolName", "ReferringPhysicianName",
        "PerformingPhysicianName", "OperatorsName", "InstitutionAddress", "InstitutionalDepartmentName", "DeviceSerialNumber",
        "SoftwareVersions", "ContrastBolusAgent", "ScanOptions", "FilterType", "ConvolutionKernel", "PatientComments",
        "RequestedProcedureDescription", "PerformedProcedureStepDescription", "PerformedProcedureStepID", "ImageComments",
    )  # fmt: skip
    for name in texts:
        setattr(dataset, name, "BENCHMARK")
    numbers = (
        "KVP", "SliceThickness", "DataCollectionDiameter", "ReconstructionDiameter", "DistanceSourceToDetector",
        "DistanceSourceToPatient", "GantryDetectorTilt", "TableHeight", "FocalSpots", "SingleCollimationWidth",
        "TotalCollimationWidth", "TableSpeed", "SpiralPitchFactor", "CTDIvol", "PatientWeight", "PatientSize",
    )  # fmt: skip
    for place, name in enumerate(numbers):
        setattr(dataset, name, 0 if name == "GantryDetectorTilt" else place + 1)
    dataset.ExposureTime, dataset.XRayTubeCurrent, dataset.Exposure, dataset.GeneratorPower = 500, 200, 100, 40
    for element in range(0x10, 0x28):  # a block of private elements, as there is in most files
        dataset.add_new((0x0029, 0x1000 + element), "LO", f"private value {element}")
    dataset.add_new((0x0029, 0x0010), "LO", "BENCHMARK PRIVATE")
    dataset.ImageOrientationPatient, dataset.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.7, 0.7]
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.PhotometricInterpretation = (
        SIDE,
        SIDE,
        1,
        "MONOCHROME2",
    )
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, -1024, "HU"
    dataset.WindowCenter, dataset.WindowWidth = 40, 400
    return dataset


if __name__ == "__main__":
    main()
