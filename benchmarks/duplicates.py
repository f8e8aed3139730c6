"""Finding near duplicates among many pictures: time, memory, recall and false pairs, against a perceptual hash.

    python benchmarks/duplicates.py [--images 100000] [--copies 500]

The pictures (128 × 128) are synthetic: one anatomy that all share, moved and stretched a little from one to the next, with
structure of their own that falls off with frequency as in natural images, tuned so that a picture's nearest neighbour among
4,000 is about as near as among 4,000 chest X-rays of children (Kermany 2018: median 0.4). Copies of random ones are planted:
JPEG of quality 50 to 95, half to twice the size, mirrored, turned, another contrast, cropped by 1 to 5 percent of each side,
or several of these. Descriptors are made in this process; in a scan worker processes make them.

The baseline is a 64-bit perceptual hash (Zauner 2010: the signs of 8 × 8 low orders of the cosine transform against their
median), in eight orientations, every pair compared by XOR and popcount, equal if no more than 10 bits differ. It is run on a
part of the rows, all copies among them, and its time and false pairs are scaled to the whole.
"""

from __future__ import annotations

import argparse
import io
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in a worker: small products gain nothing by threads

import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from scipy.fft import dctn

from hounsfield.cohort.alike.likeness import SIDE, descriptor, thumbnail
from hounsfield.cohort.alike.near import near_pairs

PIXELS, ORDERS, CHUNK = 128, 64, 500
BITS, ROWS = 10, 1500
FRAME = SIDE * SIDE


@dataclass(frozen=True)
class Copy:
    """The picture `place` is a copy of the picture `source`."""

    place: int
    source: int
    kind: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--copies", type=int, default=500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hounsfield-duplicates-") as folder:
        measure(Path(folder) / "thumbnails", arguments.images, arguments.copies)


def measure(path: Path, images: int, count: int) -> None:
    print(f"{images:,} pictures of {PIXELS} × {PIXELS}, {count} of them copies of others")
    copies = plan(images, count)
    features, hashes, seconds = make(path, images, copies)
    print(
        f"  {'thumbnails':<34} {seconds['thumbnail']:8.1f} s   {seconds['thumbnail'] / images * 1e3:.2f} ms a picture"
    )
    print(
        f"  {'descriptors':<34} {seconds['descriptor']:8.1f} s   {seconds['descriptor'] / images * 1e3:.2f} ms a picture"
    )
    nearest(features, copies)
    before, started, worked = peak(), time.perf_counter(), time.process_time()
    with path.open("rb") as file:
        found = near_pairs(features, lambda places: read(file.fileno(), places))
    took, worked = time.perf_counter() - started, time.process_time() - worked
    truth = {(min(copy.place, copy.source), max(copy.place, copy.source)): copy.kind for copy in copies}
    hits = {(pair.first, pair.second) for pair in found.pairs}
    share = found.compared / (images**2 / 2)
    print(
        f"  {'search, and closer looks':<34} {took:8.1f} s   {worked:.1f} s of one processor; compared {share:.1%} of all pairs"
    )
    print(f"  {'closer looks for each picture':<34} {found.looked / images:8.2f}")
    print(f"  {'peak memory':<34} {peak():8.0f} MB  {before:.0f} MB before the search")
    print(f"  {'recall':<34} {len(hits & truth.keys()) / len(truth):8.1%}   {told(truth, hits)}")
    print(f"  {'false pairs':<34} {len(hits - truth.keys()):8d}")
    for note in found.notes:
        print(f"  {note}")
    baseline(hashes, copies, worked)


def plan(images: int, count: int) -> list[Copy]:
    chosen = np.random.default_rng(1).permutation(images)[: 2 * count]
    kinds = list(KINDS)
    places, sources = chosen[:count].tolist(), chosen[count:].tolist()
    return [
        Copy(place, source, kinds[n % len(kinds)])
        for n, (place, source) in enumerate(zip(places, sources, strict=True))
    ]


def make(path: Path, images: int, copies: Sequence[Copy]) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Write the thumbnails; return descriptors, hashes in eight orientations, and the seconds."""
    by_place = {copy.place: copy for copy in copies}
    features = np.empty((images, len(descriptor(np.zeros((1, SIDE, SIDE), dtype=np.uint8)))), dtype=np.float32)
    hashes = np.empty((images, 8), dtype=np.uint64)
    seconds = {"thumbnail": 0.0, "descriptor": 0.0}
    with path.open("wb") as file:
        for start in range(0, images, CHUNK):
            places = range(start, min(start + CHUNK, images))
            pictures: list[np.ndarray] = list(drawn(places))
            for n, place in enumerate(places):
                if place in by_place:
                    copy = by_place[place]
                    pictures[n] = KINDS[copy.kind](drawn([copy.source])[0], np.random.default_rng([2, place]))
            frames = [picture.astype(np.float32) for picture in pictures]
            began = time.perf_counter()
            small = np.stack([thumbnail(frame) for frame in frames])
            middle = time.perf_counter()
            features[start : start + len(small)] = [descriptor(one[None]) for one in small]
            seconds["thumbnail"] += middle - began
            seconds["descriptor"] += time.perf_counter() - middle
            hashes[start : start + len(small)] = phashes(small)
            file.write(small.tobytes())
    return features, hashes, seconds


def read(file: int, places: Sequence[int]) -> np.ndarray:
    """Read thumbnails from disk, so that they are not held."""
    parts = [os.pread(file, FRAME, place * FRAME) for place in places]
    return np.frombuffer(b"".join(parts), dtype=np.uint8).reshape(-1, 1, SIDE, SIDE)


def drawn(places: Sequence[int]) -> np.ndarray:
    """Draw pictures, uint8 (m, PIXELS, PIXELS): each number always gives the same picture."""
    order = np.hypot(*np.meshgrid(np.arange(ORDERS), np.arange(ORDERS), indexing="ij"))
    spectrum = np.where(order > 0, 21 / np.maximum(order, 1.5) ** 1.2, 0).astype(np.float32)
    waves = np.cos(np.pi * np.arange(ORDERS)[None] * (np.arange(PIXELS)[:, None] + 0.5) / PIXELS).astype(np.float32)
    randoms = [np.random.default_rng([1, place]) for place in places]
    own = np.stack(
        [one.standard_normal((ORDERS, ORDERS), dtype=np.float32) * one.uniform(0.75, 1.35) for one in randoms]
    )
    shared = np.stack([anatomy(one.normal(0, 1, 6)) for one in randoms]).repeat(2, axis=1).repeat(2, axis=2)
    return np.clip(128 + 85 * shared + waves @ (spectrum * own) @ waves.T, 0, 255).astype(np.uint8)


def anatomy(how: np.ndarray) -> np.ndarray:
    """Return two dark lungs with ribs, a bright middle and a dark outside; `how` moves and stretches it a little."""
    place = (np.arange(PIXELS // 2, dtype=np.float32) - (PIXELS // 2 - 1) / 2) / (PIXELS / 4)
    how = how.astype(np.float32)
    y = (place * (1 + 0.04 * how[0]) + 0.03 * how[1])[:, None]
    x = (place * (1 + 0.04 * how[2]) + 0.03 * how[3])[None, :]
    body = 1 / (1 + np.exp((x**4 + 0.3 * y**4 - 0.75) * 12))
    lungs = 1 / (1 + np.exp((((np.abs(x) - 0.42) / 0.3) ** 2 + ((y + 0.05) / 0.62) ** 2 - 1) * 8))
    ribs = np.cos((y * (11 + 0.4 * how[4]) + x**2 * 3 + 0.5 * how[5]) * np.pi)
    return np.asarray(body - 0.9 * lungs + 0.16 * lungs * ribs - 0.4, dtype=np.float32)


# --- what is done to copies -----------------------------------------------------------------------------------------

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def saved(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    buffer = io.BytesIO()
    Pillow.fromarray(np.ascontiguousarray(picture)).save(buffer, "JPEG", quality=int(random.integers(50, 96)))
    return np.asarray(Pillow.open(buffer))


def resized(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    scale = 2.0 ** random.uniform(-1, 1)
    width, height = (round(length * scale * random.uniform(0.95, 1.05)) for length in picture.shape)
    return np.asarray(
        Pillow.fromarray(np.ascontiguousarray(picture)).resize((width, height), Pillow.Resampling.BICUBIC)
    )


def turned(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.rot90(picture[:, :: int(random.choice([-1, 1]))], int(random.integers(1, 4)))


def brighter(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    grey = 255 * (picture / 255.0) ** random.uniform(0.7, 1.5)
    return np.clip(grey * random.uniform(0.7, 1.2) + random.uniform(-20, 20), 0, 255).astype(np.uint8)


def cropped(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    cut = [round(length * random.uniform(0.01, 0.05)) for length in picture.shape]
    return picture[cut[0] : -cut[0], cut[1] : -cut[1]]


def several(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return saved(resized(turned(brighter(picture, random), random), random), random)


KINDS: dict[str, Change] = {
    "JPEG": saved, "resized": resized, "mirrored": lambda picture, random: picture[:, ::-1], "turned": turned,
    "brightness": brighter, "cropped": cropped, "several": several,
}  # fmt: skip


# --- the baseline, and what is printed ------------------------------------------------------------------------------


def phashes(small: np.ndarray) -> np.ndarray:
    """Return uint64 (m, 8): the hashes of thumbnails in the eight symmetries of the square."""
    shrunk = small.reshape(-1, 32, 2, 32, 2).mean(axis=(2, 4), dtype=np.float32)
    block = dctn(shrunk, axes=(1, 2))[:, 1:9, 1:9]
    signs = np.where(np.arange(1, 9) % 2, -1.0, 1.0)
    found = []
    for number in range(8):
        version = block.swapaxes(1, 2) if number & 4 else block
        version = version * (signs if number & 1 else 1.0) * (signs[:, None] if number & 2 else 1.0)
        flat = version.reshape(len(small), 64)
        bits = np.packbits(flat > np.median(flat, axis=1, keepdims=True), axis=1)
        found.append(np.ascontiguousarray(bits).view(np.uint64)[:, 0])
    return np.stack(found, axis=1)


def baseline(hashes: np.ndarray, copies: Sequence[Copy], ours: float) -> None:
    images = len(hashes)
    others = np.random.default_rng(3).choice(images, min(ROWS, images), replace=False)
    rows = np.unique(np.concatenate([[copy.place for copy in copies], others]))
    began, pairs = time.process_time(), set()
    for row in rows.tolist():
        differ = np.full(images, 64, dtype=np.uint8)
        for number in range(8):
            np.minimum(differ, np.bitwise_count(hashes[:, 0] ^ hashes[row, number]), out=differ)
        pairs |= {
            (min(row, other), max(row, other)) for other in np.flatnonzero(differ <= BITS).tolist() if other != row
        }
    scale = images / len(rows) / 2  # each pair once
    took = (time.process_time() - began) * scale
    truth = {(min(copy.place, copy.source), max(copy.place, copy.source)): copy.kind for copy in copies}
    false = len(pairs - truth.keys()) * scale
    print(f"baseline: 64-bit pHash, all pairs, measured on {len(rows):,} of {images:,} rows and scaled")
    print(f"  {'all pairs':<34} {took:8.1f} s   of one processor, {took / ours:.1f} × ours")
    print(f"  {'recall':<34} {len(pairs & truth.keys()) / len(truth):8.1%}   {told(truth, pairs)}")
    print(f"  {'false pairs':<34} {false:8.0f}")


def told(truth: dict[tuple[int, int], str], hits: set[tuple[int, int]]) -> str:
    wanted, had = Counter(truth.values()), Counter(kind for pair, kind in truth.items() if pair in hits)
    return ", ".join(f"{kind} {had[kind]}/{wanted[kind]}" for kind in KINDS)


def nearest(features: np.ndarray, copies: Sequence[Copy]) -> None:
    """Print how near the nearest neighbours are among 4,000, to be compared with real data."""
    planted = np.zeros(len(features), dtype=bool)
    planted[[copy.place for copy in copies]] = True
    some = features[~planted][:4000]
    cosines = some @ some.T
    np.fill_diagonal(cosines, -1)
    near = np.percentile(np.sqrt(np.maximum(2 - 2 * cosines.max(axis=1), 0)), (1, 50))
    print(f"  {'nearest neighbour among 4,000':<34} {near[1]:8.2f}     1st percentile {near[0]:.2f}")


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
