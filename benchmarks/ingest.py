"""How fast files become the network's input: 512² CT, uncompressed, RLE, JPEG-LS and JPEG 2000, in one run.

Baseline: the plain loop that most projects write (pydicom's dcmread, pixel_array and apply_modality_lut, a window,
cv2.resize to 224²), in one process of its own. Ours: the store, as `hounsfield train` fills it, one process per core.
Both write what they made into a memory-mapped array on disk, and both are the best of three passes. For compressed files
also the codec alone, on the bytes of each picture in memory, on as many cores at a time. Everything comes from the page cache, so disks do
not count. Prints images/s and the ratios.

    python benchmarks/ingest.py [--images 1500] [--workers 2]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from pydicom import dcmread
from pydicom.encaps import generate_frames
from pydicom.pixels import apply_modality_lut, pixel_array
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from hounsfield.core.recipe import Normalise, Pad, Recipe, Repeat, Resize, Window
from hounsfield.prepare import CaseFiles, Preparation, fill
from hounsfield.read import Source

DATA = Path(os.environ.get("HOUNSFIELD_DATA", Path(__file__).parents[2] / "shared" / "data"))
KINDS = {
    "uncompressed": ExplicitVRLittleEndian,
    "RLE": RLELossless,
    "JPEG-LS": JPEGLSLossless,
    "JPEG 2000": JPEG2000Lossless,
}
CENTRE, WIDTH, SIDE = -600.0, 1500.0, 224
RECIPE = Recipe(
    steps=(
        Window(windows=((CENTRE, WIDTH),)),
        Resize(height=SIDE, width=SIDE),
        Pad(height=SIDE, width=SIDE),
        Repeat(channels=3),
        Normalise(mean=(0.5,) * 3, std=(0.5,) * 3),
    )
)
SOURCES = 40  # different pictures; more would only take longer to compress
BASELINE_IMAGES = 200


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=int, default=1500, help="images per measurement of ours")
    options.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options.add_argument("--plain", type=Path, help=argparse.SUPPRESS)
    options.add_argument("--codec", type=Path, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.plain:
        paths = sorted(chosen.plain.iterdir())
        out = np.lib.format.open_memmap(
            chosen.plain.parent / "plain.npy", "w+", np.float32, (BASELINE_IMAGES, SIDE, SIDE)
        )
        print(_rate(lambda: _plain_loop((paths * BASELINE_IMAGES)[:BASELINE_IMAGES], out), BASELINE_IMAGES))
        return
    if chosen.codec:
        paths = sorted(chosen.codec.iterdir())
        print(_rate(_codec(paths), len(paths)))
        return
    folder = Path(tempfile.mkdtemp(prefix="hounsfield-ingest-"))
    try:
        print(f"{chosen.workers} worker(s); images/s; the plain loop runs in one process")
        print(
            f"{'':14}{'plain loop':>12}{'ours':>9}{'with start':>12}{'ratio':>8}{'codec alone':>14}{'ours per core / codec':>24}"
        )
        for name, syntax in KINDS.items():
            _measure(name, _files(folder / name.replace(" ", ""), syntax), folder, chosen.images, chosen.workers)
    finally:
        shutil.rmtree(folder)


def _measure(name: str, paths: list[Path], folder: Path, images: int, workers: int) -> None:
    codec = None if name == "uncompressed" else sum(_children("--codec", paths[0].parent, workers)) / workers
    # In a process of its own: a long one has taught the C library to keep its memory, which no plain loop has.
    (plain,) = _children("--plain", paths[0].parent, 1)
    if codec is not None:
        images = max(200, int(codec * workers * 4))  # a few seconds of each
    passes = [_ours((paths * images)[:images], folder / "store", workers) for _ in range(3)]
    steady, whole = (max(rates) for rates in zip(*passes, strict=True))
    alone = f"{codec:14.0f}{steady / workers / codec:24.2f}" if codec is not None else ""
    print(f"{name:14}{plain:12.0f}{steady:9.0f}{whole:12.0f}{steady / plain:8.1f}{alone}", flush=True)


def _children(what: str, folder: Path, count: int) -> list[float]:
    """Run a measurement in so many processes at a time; return what each of them printed."""
    command = [sys.executable, __file__, what, str(folder)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    return [float(process.communicate()[0]) for process in running]


def _rate(run: Callable[[], object], count: int) -> float:
    """Images per second, of the best of three runs after one to warm up."""
    run()
    times = []
    for _ in range(3):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return count / min(times)


def _plain_loop(paths: list[Path], out: np.ndarray) -> None:
    for number, path in enumerate(paths):
        out[number] = _plain(path)


def _plain(path: Path) -> np.ndarray:
    import cv2

    dataset = dcmread(path)
    values = apply_modality_lut(dataset.pixel_array, dataset)
    shown = np.clip((values - (CENTRE - WIDTH / 2)) / WIDTH, 0, 1)
    return cv2.resize(shown, (SIDE, SIDE))


def _codec(paths: list[Path]) -> Callable[[], object]:
    """The same decoder that reading uses, on bytes in memory and nothing around it."""
    datasets = [dcmread(path) for path in paths]
    frames = [next(generate_frames(dataset.PixelData)) for dataset in datasets]
    syntax = datasets[0].file_meta.TransferSyntaxUID
    if syntax == RLELossless:
        from rle.rle import decode_frame

        return lambda: [decode_frame(frame, 512 * 512, 16, "<") for frame in frames]
    if syntax == JPEGLSLossless:
        import jpeg_ls

        return lambda: [jpeg_ls.decode(np.frombuffer(frame, np.uint8)) for frame in frames]
    from openjpeg import decode

    return lambda: [decode(frame) for frame in frames]


def _ours(paths: list[Path], folder: Path, workers: int) -> tuple[float, float]:
    """Images per second from the first result to the last, and with the start of the workers."""
    cases = [CaseFiles(str(number), (Source(path),), (1,)) for number, path in enumerate(paths)]
    moments: list[float] = []
    started = time.perf_counter()
    store = fill(
        folder, cases, Preparation("hounsfield", 1, RECIPE), 1, workers=workers,
        progress=lambda done, of: moments.append(time.perf_counter()),
    )  # fmt: skip
    assert not store.refused
    assert store.read(0).std() > 0.1
    shutil.rmtree(folder)
    skip = len(moments) // 10
    return (len(moments) - skip - 1) / (moments[-1] - moments[skip]), len(paths) / (moments[-1] - started)


def _files(folder: Path, syntax: UID) -> list[Path]:
    folder.mkdir()
    paths = []
    sources = sorted((DATA / "siim-ct-contrast" / "dicom").glob("*.dcm"))
    for source in sources[:: max(1, len(sources) // SOURCES)][:SOURCES]:
        dataset = dcmread(source)
        dataset.PixelData = pixel_array(dataset).tobytes()
        if syntax != ExplicitVRLittleEndian:
            dataset.compress(syntax)
        paths.append(folder / source.name)
        dataset.save_as(paths[-1])
    return paths


if __name__ == "__main__":
    main()
