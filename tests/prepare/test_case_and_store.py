"""A case becomes the same array whether it is read alone or from the store, and an interrupted store goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from hounsfield.core import Recipe
from hounsfield.core.recipe import Normalise, Pad, Resize, Window
from hounsfield.errors import OutputError
from hounsfield.prepare import (
    CaseFiles,
    Preparation,
    apply_stored,
    case_array,
    case_files,
    conditioned_frames,
    fill,
    store,
)
from hounsfield.prepare.case import evenly_spaced
from hounsfield.prepare.store import PENDING, READY, REFUSED

SIZE = 12
RECIPE = Recipe(
    steps=(Window(windows=((0.5, 1.0),)), Resize(height=SIZE, width=SIZE), Pad(height=SIZE, width=SIZE),
    Normalise(mean=(0.5,), std=(0.2,)))
)  # fmt: skip
PREPARATION = Preparation("range", 2, RECIPE)


@pytest.fixture
def cases(tmp_path: Path) -> list[CaseFiles]:
    """Case n has n + 1 pictures of one frame each; the last case is no picture."""
    made = []
    for number in range(4):
        paths = []
        for cut in range(number + 1):
            pixels = np.random.default_rng((number, cut)).integers(0, 255, (15, 9 + number), dtype=np.uint8)
            paths.append(tmp_path / "images" / f"{number}-{cut}.tif")
            paths[-1].parent.mkdir(exist_ok=True)
            Picture.fromarray(pixels).save(paths[-1])
        made.append(case_files([(path, None) for path in paths], [1] * len(paths), f"case-{number}"))
    (tmp_path / "images" / "bad.png").write_text("no picture")
    return [*made, case_files([(tmp_path / "images" / "bad.png", None)], [1], "case-bad")]


@pytest.mark.parametrize(
    ("count", "wanted", "chosen"),
    [
        (1, 1, [0]), (9, 1, [4]), (8, 8, list(range(8))), (16, 8, [1, 3, 5, 7, 9, 11, 13, 15]), (10, 2, [2, 7]),
        (1, 3, [0]), (2, 4, [0, 1]), (3, 8, [0, 1, 2]), (9, 8, [0, 1, 2, 3, 5, 6, 7, 8]),
    ],
)  # fmt: skip
def test_evenly_spaced(count: int, wanted: int, chosen: list[int]) -> None:
    assert evenly_spaced(count, wanted) == chosen


@pytest.mark.parametrize("count", [1, 2, 7, 100, 999])
@pytest.mark.parametrize("wanted", [1, 2, 8, 24])
def test_evenly_spaced_stays_inside_in_order_and_in_the_middle(count: int, wanted: int) -> None:
    chosen = evenly_spaced(count, wanted)
    assert len(chosen) == min(count, wanted)
    assert chosen == sorted(chosen)
    assert 0 <= chosen[0] <= chosen[-1] < count
    assert abs(np.mean(chosen) - (count - 1) / 2) <= 0.5
    assert len(set(chosen)) == min(count, wanted)


def test_a_case_is_its_chosen_frames_through_the_recipe(cases: list[CaseFiles]) -> None:
    for case in cases[:4]:
        found = case_array(case, PREPARATION)
        assert found.shape == (min(2, len(case.sources)), 1, SIZE, SIZE), "a case of one picture gives one"
        frames = conditioned_frames(case, PREPARATION)
        np.testing.assert_array_equal(found, [apply_stored(RECIPE, frame) for frame in frames])
        for place, frame in zip(evenly_spaced(len(case.sources), 2), frames, strict=True):
            with Picture.open(case.sources[place].path) as picture:
                np.testing.assert_allclose(frame, np.asarray(picture) / 255, atol=1e-6)


def test_frames_of_several_files_with_several_frames(tmp_path: Path) -> None:
    """Frames count through all files of a case, and files without a chosen frame are not needed."""
    sources, values = [], []
    for number, count in enumerate((3, 1, 4)):
        stack = [np.full((6, 6), 10 * number + frame, dtype=np.uint8) for frame in range(count)]
        values += [10 * number + frame for frame in range(count)]
        pages = [Picture.fromarray(page) for page in stack]
        pages[0].save(tmp_path / f"{number}.tif", save_all=True, append_images=pages[1:])
        sources.append((tmp_path / f"{number}.tif", None))
    case = case_files(sources, [3, 1, 4], "case")
    for slices in (1, 2, 3, 8, 11):
        frames = conditioned_frames(case, Preparation("range", slices, RECIPE))
        assert [round(float(frame[0, 0]) * 255) for frame in frames] == [
            values[place] for place in evenly_spaced(8, slices)
        ]
    wrong = case_files(sources[:1], [4], "case")
    with pytest.raises(Exception, match="3 frames, not the 4"):
        conditioned_frames(wrong, PREPARATION)


def test_the_store_keeps_what_a_case_is(cases: list[CaseFiles], tmp_path: Path) -> None:
    told = []
    made = fill(tmp_path / "store", cases, PREPARATION, 1, workers=0, progress=lambda *done: told.append(done))
    assert told == [(number, 5) for number in range(1, 6)]
    assert made.cases == tuple(case.case for case in cases)
    for row, case in enumerate(cases[:4]):
        difference = np.abs(made.read(row) - case_array(case, PREPARATION))
        assert difference.max() <= 0.5 / 65535 + 1e-7
    assert list(made.refused) == ["case-bad"]
    assert "not an image" in made.refused["case-bad"]
    assert made.rows(["case-3", "case-0"]).tolist() == [3, 0]
    assert np.load(made.folder / "state.npy").tolist() == [READY] * 4 + [REFUSED]


def test_a_filled_store_reads_nothing_again(
    cases: list[CaseFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fill(tmp_path / "store", cases, PREPARATION, 1, workers=0)
    monkeypatch.setattr(store, "_fill_one", lambda job: pytest.fail("nothing is left to do"))
    again = fill(tmp_path / "store", cases, PREPARATION, 1, workers=0)
    assert (again.digest, again.refused) == (first.digest, first.refused)


def test_an_interrupted_store_goes_on(cases: list[CaseFiles], tmp_path: Path) -> None:
    made = fill(tmp_path / "store", cases, PREPARATION, 1, workers=0)
    whole = [made.read(row) for row in range(4)]
    state = np.lib.format.open_memmap(made.folder / "state.npy", mode="r+")
    images = np.lib.format.open_memmap(made.folder / "images.npy", mode="r+")
    state[1:4:2] = PENDING
    images[1], images[2] = 7, 9  # what was half written is written anew, what was ready is left alone
    state.flush()
    images.flush()
    told = []
    again = fill(tmp_path / "store", cases, PREPARATION, 1, workers=0, progress=lambda *done: told.append(done))
    assert told == [(1, 2), (2, 2)]
    np.testing.assert_array_equal(again.read(1), whole[1])
    np.testing.assert_array_equal(again.read(3), whole[3])
    assert (again.read(2) == np.float32(9) / np.float32(65535)).all()
    assert again.refused == made.refused


def test_stopped_in_the_middle_the_rest_is_done_later(cases: list[CaseFiles], tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path / "store", cases, PREPARATION, 1, workers=0, progress=stop)
    told = []
    made = fill(tmp_path / "store", cases, PREPARATION, 1, workers=0, progress=lambda *done: told.append(done))
    assert told[-1] == (3, 3)
    for row, case in enumerate(cases[:4]):
        np.testing.assert_allclose(made.read(row), case_array(case, PREPARATION), atol=1e-5)


def test_what_changes_makes_another_store(cases: list[CaseFiles], tmp_path: Path) -> None:
    first = fill(tmp_path / "store", cases, PREPARATION, 1, workers=0).folder
    late = Recipe(steps=(*RECIPE.stored, Normalise(mean=(0.1,), std=(0.9,))))
    assert fill(tmp_path / "store", cases, Preparation("range", 2, late), 1, workers=0).folder == first, (
        "late steps are not stored"
    )
    wider = Recipe(steps=(Window(windows=((0.5, 1.1),)), *RECIPE.steps[1:]))
    others = []
    for preparation in (
        Preparation("range", 2, wider),
        Preparation("percentiles", 2, RECIPE),
        Preparation("range", 3, RECIPE),
    ):
        others.append(fill(tmp_path / "store", cases, preparation, 1, workers=0).folder)
    others.append(fill(tmp_path / "store", cases[:4], PREPARATION, 1, workers=0).folder)
    path = cases[0].sources[0].path
    before = path.stat().st_size
    Picture.fromarray(np.zeros((15, 9), dtype=np.uint8)).save(path)
    assert path.stat().st_size == before
    changed = fill(tmp_path / "store", cases, PREPARATION, 1, workers=0)
    assert not changed.read(0).any(), "the file was changed, and is read again"
    others.append(changed.folder)
    assert len({first, *others}) == 6
    assert [folder for folder in (tmp_path / "store").iterdir() if folder.is_dir()] == [changed.folder], (
        "older ones are removed"
    )


def test_no_room(cases: list[CaseFiles], tmp_path: Path) -> None:
    huge = Preparation("range", 10**9, RECIPE)
    with pytest.raises(OutputError, match="GiB are free"):
        fill(tmp_path / "store", cases, huge, 1, workers=0)
