"""Near duplicates are found whatever was done to them, those of others are not, and few pairs are looked at."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from scipy.ndimage import gaussian_filter
from threadpoolctl import threadpool_limits

from hounsfield.cohort.alike import cells, near
from hounsfield.cohort.alike.likeness import SIDE, descriptors, thumbnail
from hounsfield.cohort.alike.near import Near, near_pairs
from tests.cohort.test_likeness import picture

HOW: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "re-saved or resized": lambda x: x,
    "mirrored left to right": np.fliplr,
    "mirrored top to bottom": np.flipud,
    "turned by 90°": lambda x: np.rot90(x, -1),
    "turned by 180°": lambda x: np.rot90(x, 2),
    "turned by 270°": lambda x: np.rot90(x, 1),
    "mirrored left to right and turned by 90°": lambda x: np.rot90(np.fliplr(x), -1),
    "mirrored left to right and turned by 270°": lambda x: np.rot90(np.fliplr(x), 1),
}


@pytest.fixture(autouse=True)
def _as_in_a_worker() -> Iterator[None]:
    """Thumbnails are made in processes of one thread; several on a busy machine take ten times as long."""
    with threadpool_limits(1, "blas"):
        yield


def grey(seed: int) -> np.ndarray:
    frame = picture(seed, (150, 200))
    low, high = np.percentile(frame, (1, 99))
    return np.asarray(np.clip((frame - low) / (high - low) * 220 + 10, 0, 255), dtype=np.uint8)


def saved(frame: np.ndarray, quality: int = 50) -> np.ndarray:
    buffer = io.BytesIO()
    Pillow.fromarray(np.ascontiguousarray(frame)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Pillow.open(buffer))


def resized(frame: np.ndarray, height: float, width: float) -> np.ndarray:
    size = round(frame.shape[1] * width), round(frame.shape[0] * height)
    return np.asarray(Pillow.fromarray(np.ascontiguousarray(frame)).resize(size))


def cropped(frame: np.ndarray, part: float) -> np.ndarray:
    down, across = round(frame.shape[0] * part), round(frame.shape[1] * part)
    return frame[down:-down, across:-across]


def changed(frame: np.ndarray) -> dict[str, np.ndarray]:
    values = frame.astype(np.float32)
    return {
        "JPEG 50": saved(frame),
        "half": resized(frame, 0.5, 0.5),
        "one and a half": resized(frame, 1.5, 1.4),
        "contrast": np.clip(values * 0.7 + 40, 0, 255).astype(np.uint8),
        "gamma": (255 * (values / 255) ** 1.5).astype(np.uint8),
        "window": np.clip((values - 30) * 1.35, 0, 255).astype(np.uint8),
        "cropped by 2%": cropped(frame, 0.02),
        "cropped by 5%": cropped(frame, 0.05),
        "padded by 3%": np.pad(frame, ((5, 5), (6, 6))),
        "all of it": saved(resized(np.rot90(np.fliplr(cropped(frame, 0.02))), 0.7, 0.7), 70),
    }


def find(frames: Sequence[np.ndarray] | np.ndarray) -> Near:
    """Search among pictures, or among thumbnails (n, k, SIDE, SIDE)."""
    if not (isinstance(frames, np.ndarray) and frames.shape[2:] == (SIDE, SIDE)):
        frames = np.stack([thumbnail(frame.astype(np.float32)) for frame in frames])[:, None]
    small = frames

    def fetch(places: Sequence[int]) -> np.ndarray:
        assert 0 < len(places) <= 1024
        assert list(places) == sorted(set(places))
        return np.asarray(small[list(places)])

    return near_pairs(descriptors(small), fetch)


def ends(found: Near) -> set[tuple[int, int]]:
    return {(pair.first, pair.second) for pair in found.pairs}


@pytest.mark.parametrize("how", HOW)
def test_what_was_done_is_said(how: str) -> None:
    first, others = grey(0), [grey(seed) for seed in range(1, 5)]
    (pair,) = find([first, *others, saved(HOW[how](first), 80)]).pairs
    assert (pair.first, pair.second, pair.how) == (0, 5, how)
    assert 0.9 < pair.likeness <= 1


@pytest.mark.parametrize("kind", sorted(changed(grey(0))))
def test_copies_are_found_and_nothing_else(kind: str) -> None:
    originals = [grey(seed) for seed in range(40)]
    copies = [changed(frame)[kind] for frame in originals[:20]]
    found = find([*originals, *copies])
    assert ends(found) == {(place, 40 + place) for place in range(20)}
    if "cropped" in kind:
        assert all("cropped" in pair.how for pair in found.pairs)


def test_volumes_must_agree_in_every_frame() -> None:
    volumes = np.stack([[thumbnail(picture(10 * case + frame)) for frame in range(3)] for case in range(6)])
    upside_down = volumes[0, ::-1, :, ::-1]
    one_frame_differs = np.stack([volumes[1, 0], volumes[1, 1], volumes[2, 2]])
    # The black first frame of both is no evidence for or against; that of one alone is.
    black, half_black = volumes[3].copy(), volumes[4].copy()
    black[0] = 0
    half_black[0] = 0
    cases = np.stack([*volumes, upside_down, one_frame_differs, black, black[:, ::-1], half_black])
    found = find(cases)
    assert {(pair.first, pair.second): pair.how for pair in found.pairs} == {
        (0, 6): "mirrored left to right, frames in reversed order",
        (8, 9): "mirrored top to bottom",
    }


def test_pairs_are_not_all_compared() -> None:
    def share(count: int) -> float:
        seeds = np.random.default_rng(0).standard_normal((count, 9, 9)).astype(np.float32)
        small = np.stack([thumbnail(seed) for seed in seeds])[:, None]
        small[-50:] = 255 * (small[:50, :, ::-1] / 255) ** 1.5
        found = find(small)
        assert ends(found) >= {(place, count - 50 + place) for place in range(50)}
        assert found.looked < count
        return found.compared / (len(cells.CROPS) * count**2)

    assert share(900) == 1  # among few, all descriptors are
    assert share(3000) < 0.3


def test_neighbours_in_other_cells_are_found() -> None:
    random = np.random.default_rng(0)
    basis = random.standard_normal((20, 117))
    points = random.standard_normal((3000, 20)) @ basis
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    away = random.standard_normal((1500, 20)) @ basis
    points[1500:] = points[:1500] + 0.25 * away / np.linalg.norm(away, axis=1, keepdims=True)
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    names = np.arange(3000)
    filed = cells._Cells(points, names)
    found = {pair for one, other, _ in filed.within(points, names, 0.3) for pair in zip(one, other, strict=True)}
    hits = sum((place, 1500 + place) in found or (1500 + place, place) in found for place in range(1500))
    assert hits >= 0.98 * 1500
    assert filed.compared < 0.3 * 3000**2


def test_a_crowd_is_bounded_and_stays_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "MOST", 6)
    monkeypatch.setattr(near, "MOST", 6)
    random = np.random.default_rng(0)
    small = np.stack([thumbnail(picture(1) + random.normal(0, 0.1, (90, 120)).astype(np.float32)) for _ in range(60)])
    found = find(small[:, None])
    assert 60 <= found.looked <= 60 * 6
    assert "60 pictures resemble more than 6 others: the 6 nearest were looked at" in found.notes
    groups = list(range(60))
    for pair in found.pairs:
        groups = [groups[pair.first] if group == groups[pair.second] else group for group in groups]
    assert len(set(groups)) == 1


def test_what_agrees_only_roughly_is_no_copy() -> None:
    """Two pictures alike in what is coarse: they are looked at, and none of that chunk gets as far as the last look."""
    coarse = gaussian_filter(np.random.default_rng(0).standard_normal((128, 128)), 8)
    fine = [gaussian_filter(np.random.default_rng(seed).standard_normal((128, 128)), 1.5) for seed in (1, 2)]
    found = find([coarse / coarse.std() + 0.3 * one / one.std() for one in fine])
    assert found.looked == 1
    assert not found.pairs


def test_equal_pictures_are_each_paired_with_the_first() -> None:
    small = np.stack([thumbnail(picture(seed)) for seed in (0, 1, 0, 0, 2)])
    found = find(small[:, None])
    assert ends(found) == {(0, 2), (0, 3)}
    assert found.looked == 2
    assert any(note.startswith("2 pictures have the very thumbnail") for note in found.notes)


def test_empty_pictures_are_no_copies_of_one_another_and_it_is_said() -> None:
    empty = np.zeros((3, 1, SIDE, SIDE), dtype=np.uint8)
    found = find(empty)
    assert not found.pairs
    assert found.notes == ["3 pictures without any structure were not compared with others"]
    assert not find(np.concatenate([empty[:1], thumbnail(picture(0))[None, None]])).pairs


def test_progress_goes_on_to_its_end() -> None:
    small = np.stack([thumbnail(picture(seed)) for seed in (0, 1, 0)])[:, None]
    told: list[tuple[int, int]] = []
    near_pairs(descriptors(small), lambda places: small[list(places)], lambda *step: told.append(step))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (6, 6)


def read(paths: Sequence[Path]) -> list[np.ndarray]:
    return [np.asarray(Pillow.open(path).convert("L")) for path in paths]


def test_breast_ultrasound_with_planted_copies(data: Path) -> None:
    """BUSI is full of pictures saved twice, nearly: each of the 203 pairs was looked at by eye and is one."""
    paths = sorted((data / "busi" / "images").glob("*/*.png"))
    frames = read(paths)
    planted = [list(changed(frame).values())[n % 10] for n, frame in enumerate(frames[::26])]
    found = find([*frames, *planted])
    wanted = {(26 * n, len(frames) + n) for n in range(len(planted))}
    assert len(wanted & ends(found)) >= 0.96 * len(wanted)
    own = [pair for pair in found.pairs if pair.second < len(frames)]
    assert 195 <= len(own) <= 212
    assert all(pair.how.startswith("re-saved") for pair in own)


def test_films_of_one_patient_are_no_copies(data: Path) -> None:
    """Of 1,000 chest X-rays, many of one patient a few days apart, two are one and the same."""
    paths = sorted((data / "cxr-pneumonia" / "nih").glob("*/*"))
    (pair,) = find(read(paths)).pairs
    assert pair.likeness > 0.99
