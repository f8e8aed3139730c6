"""Leaks planted into real ultrasound pictures, and those that the public sets really have: found through a whole scan."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image as Picture

from hounsfield.cohort import Labelling, Splitting, scan
from hounsfield.core import Cohort

TURN = Picture.Transpose
# Name of the planted copy → what it should be told to be.
PLANTED = {
    "second-id": "the same file or object",
    "other-format": "the same pixels in another file",
    "jpeg": "re-saved or resized",
    "smaller": "re-saved or resized",
    "larger": "re-saved or resized",
    "turned": "turned by 90°",
    "mirrored": "mirrored left to right",
    "all-at-once": "turned by 90°",
}
EACH = 6


def plant(picture: Picture.Image, origin: Path, kind: str, folder: Path, name: str) -> Path:
    place = folder / f"{name}.png"
    width, height = picture.size
    if kind == "second-id":
        return Path(shutil.copyfile(origin, place.with_suffix(origin.suffix)))
    if kind == "other-format":
        picture.save(place.with_suffix(".tif"))
        return place.with_suffix(".tif")
    if kind == "jpeg":
        picture.convert("L").save(place.with_suffix(".jpg"), quality=60)
        return place.with_suffix(".jpg")
    if kind == "turned":  # Pillow turns the other way round
        picture.transpose(TURN.ROTATE_270).save(place)
    elif kind == "mirrored":
        picture.transpose(TURN.FLIP_LEFT_RIGHT).save(place)
    elif kind == "all-at-once":
        small = picture.convert("L").resize((width * 7 // 10, height * 7 // 10), Picture.Resampling.BILINEAR)
        small.transpose(TURN.ROTATE_270).save(place.with_suffix(".jpg"), quality=75)
        return place.with_suffix(".jpg")
    else:
        factor = 0.6 if kind == "smaller" else 1.5
        picture.resize((int(width * factor), int(height * factor)), Picture.Resampling.BILINEAR).save(place)
    return place


@pytest.fixture(scope="module")
def planted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Cohort, dict[str, tuple[str, str]]]:
    """A cohort of busi pictures with copies under other patients' IDs; name of the copy → (kind, name of its origin)."""
    folder = tmp_path_factory.mktemp("planted")
    (folder / "images").mkdir()
    files = sorted((data / "busi/images").rglob("*.png"))[::4] or sorted((data / "busi/images").rglob("*.jpg"))[::4]
    rows = ["file,label,patient"]
    for file in files:
        shutil.copyfile(file, folder / "images" / file.name)
        rows.append(f"{file.name},{file.parent.name},{file.stem}")
    known: dict[str, tuple[str, str]] = {}
    chosen = np.random.default_rng(0).permutation(len(files))
    for number, kind in enumerate(kind for kind in PLANTED for _ in range(EACH)):
        origin = files[chosen[number]]
        with Picture.open(origin) as picture:
            place = plant(picture, origin, kind, folder / "images", f"planted-{number}")
        known[place.name] = (kind, origin.name)
        rows.append(f"{place.name},{origin.parent.name},another-{number}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return scan(folder / "images", Labelling(folder / "labels.csv")), known


def names_of(cohort: Cohort) -> dict[str, str]:
    assert cohort.crosswalk is not None
    return dict(cohort.crosswalk.drop_nulls("case").select("case", "path").iter_rows())


@pytest.mark.parametrize("kind", PLANTED)
def test_planted_copies_are_found(planted: tuple[Cohort, dict[str, tuple[str, str]]], kind: str) -> None:
    cohort, known = planted
    name = names_of(cohort)
    hows = {
        frozenset((name[first], name[second])): how for first, second, how in cohort.pairs.select("first", "second", "how").iter_rows()
    }  # fmt: skip
    mine = {copy: origin for copy, (planted_as, origin) in known.items() if planted_as == kind}
    assert len(mine) == EACH
    missed = [copy for copy, origin in mine.items() if frozenset((copy, origin)) not in hows]
    assert not missed
    for copy, origin in mine.items():
        how = hows[frozenset((copy, origin))]
        # Which of the two is the first depends on their names: a turn may be told the other way round.
        assert how in (PLANTED[kind], PLANTED[kind].replace("90°", "270°")) or how.startswith(PLANTED[kind]), how


def test_a_copy_is_never_parted_from_its_origin(planted: tuple[Cohort, dict[str, tuple[str, str]]]) -> None:
    cohort, known = planted
    place_of = {name: split for name, split in _placed(cohort)}
    together = [(copy, origin) for copy, (_, origin) in known.items() if copy in place_of and origin in place_of]
    assert len(together) >= 6 * EACH, "exact copies are put aside, the others are kept"
    assert all(place_of[copy] == place_of[origin] for copy, origin in together)
    assert cohort.pairs.filter(pl.col("kind") == "exact").height >= 2 * EACH


def _placed(cohort: Cohort) -> list[tuple[str, str]]:
    name = names_of(cohort)
    return [(name[case], split) for case, split in cohort.usable.select("case", "split").iter_rows()]


def test_pictures_that_share_nothing_are_no_pair(planted: tuple[Cohort, dict[str, tuple[str, str]]]) -> None:
    """Every pair is a planted one, or lies within what busi really has twice (208 pictures here were looked at by eye)."""
    cohort, known = planted
    name = names_of(cohort)
    origin_of = {copy: origin for copy, (_, origin) in known.items()}
    strange = {
        tuple(sorted({origin_of.get(name[first], name[first]), origin_of.get(name[second], name[second])}))
        for first, second in cohort.pairs.select("first", "second").iter_rows()
    }
    strange = {pair for pair in strange if len(pair) == 2}
    assert len(strange) <= 20, strange


@pytest.mark.parametrize(
    ("place", "leaks", "exact"),
    [("medmnist/breastmnist.npz", (95, 115), 1), ("medmnist/pneumoniamnist.npz", (10, 10), 10)],
)  # fmt: skip
def test_leaks_of_official_splits(data: Path, place: str, leaks: tuple[int, int], exact: int) -> None:
    """One picture of BreastMNIST stands in train and test, and many nearly do; of PneumoniaMNIST
    eight stand in train and validation, by ten rows of train."""
    archive = data / place
    dropped = scan(archive)
    aside = dropped.table.filter(pl.col("quarantine").str.contains("(a leak)", literal=True))
    assert leaks[0] <= aside.height <= leaks[1]
    assert set(aside["given"]) <= {"train", "validation"}
    given = dropped.table.filter(pl.col("given") == "test").height
    assert dropped.parts["test"] == given, "the official test part stays whole"
    across = dropped.table.filter(pl.col("quarantine").str.starts_with("the same image stands"))
    assert across.height == exact
    allowed = scan(archive, splitting=Splitting(leaks="allow"))
    assert allowed.about.leaks_allowed >= leaks[0] and "was allowed" in allowed.about.split_sentence
