"""Which cases are used: slices in order, what is no volume put aside, pixels looked at and remembered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image as Picture
from PIL import ImageDraw
from pydicom import dcmread

from hounsfield.cohort import Looking, looking, scan_for_prediction
from hounsfield.core import Cohort
from hounsfield.errors import UsageError


@pytest.fixture
def series(dicom, tmp_path: Path) -> Callable[..., Path]:
    """Write slices of one CT series; `positions` in mm along z; further values are set in every header."""

    def write(name: str, positions, **values: object) -> Path:
        for number, place in enumerate(positions, start=1):
            path = dicom(
                tmp_path / "images" / name / f"{number}.dcm",
                name,
                f"1.2.{len(name)}",
                f"1.2.3.{sum(name.encode())}",
                number,
            )
            dataset = dcmread(path)
            dataset.PixelSpacing, dataset.ImageOrientationPatient = [1, 1], [1, 0, 0, 0, 1, 0]
            dataset.ImagePositionPatient = [0, 0, place]
            for keyword, value in values.items():
                setattr(dataset, keyword, value)
            dataset.save_as(path)
        return tmp_path / "images"

    return write


def _look(images: Path, how: Looking | None = None, run: Path | None = None) -> Cohort:
    return scan_for_prediction(images, ["no", "yes"], "yes", looking=how, run=run, workers=0)


def _numbers(cohort: Cohort, case: str) -> list[int]:
    (row,) = cohort.table.filter(pl.col("case") == case).iter_rows(named=True)
    return [int(path.stem) for path, _ in cohort.locate(row["files"])]


def test_slices_stand_in_the_order_of_their_positions(series) -> None:
    cohort = _look(series("whole", [30, 0, 20, 10]))
    (case,) = cohort.usable["case"]
    assert _numbers(cohort, case) == [2, 4, 3, 1]
    assert cohort.usable["stacks"].to_list() == [[4]]
    assert cohort.usable["frames"].to_list() == [[1, 1, 1, 1]]


def test_a_gap_costs_the_case_unless_slices_may_be_uneven(series) -> None:
    series("whole", [0, 10, 20])
    images = series("gap", [0, 10, 20, 50])
    cohort = _look(images)
    assert cohort.usable.height == 1
    away = cohort.table.filter(pl.col("quarantine").is_not_null())
    assert away["quarantine"].to_list() == ["2 slice(s) are missing between the 4 that are there, 10 mm apart"]
    kept = _look(images, Looking(uneven="keep"))
    assert kept.usable.height == 2
    assert any("are missing" in note and "kept as pictures" in note for note in kept.about.notes)


def test_a_scout_is_listed_and_the_case_stays(series) -> None:
    series("whole", [0, 10, 20, 30], SeriesInstanceUID="1.2.3.9")
    images = series("scout", [400], SeriesInstanceUID="1.2.3.9", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    cohort = _look(images)
    assert cohort.usable["stacks"].to_list() == [[4]]
    reasons = cohort.quarantine.filter(pl.col("kind") == "file")["reason"].to_list()
    assert reasons == ["a scout (localizer) among the slices of its series"]


def test_time_points_follow_each_other(series) -> None:
    images = series("time", [0, 10, 20, 0, 10, 20])
    for path in (images / "time").iterdir():
        dataset = dcmread(path)
        dataset.TemporalPositionIdentifier = 2 if dataset.InstanceNumber <= 3 else 1
        dataset.save_as(path)
    cohort = _look(images)
    assert cohort.usable["stacks"].to_list() == [[3, 3]]
    assert _numbers(cohort, cohort.usable["case"][0]) == [4, 5, 6, 1, 2, 3]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Six smooth radiograph-like pictures, the first of them with burned-in text."""
    rows, columns = np.mgrid[0:256, 0:256] / 256
    for number in range(6):
        smooth = 60 + 90 * np.exp(-((rows - 0.5) ** 2 + (columns - 0.4 - 0.03 * number) ** 2) * 6)
        picture = Picture.fromarray(smooth.astype(np.uint8))
        if number == 0:
            ImageDraw.Draw(picture).text((60, 20), "PORTABLE 12:30", fill=255, font_size=18)
        place = tmp_path / "pictures" / f"{number}.png"
        place.parent.mkdir(exist_ok=True)
        picture.save(place)
    return place.parent


def test_burned_in_text_is_recorded_and_the_rest_is_clean(pictures) -> None:
    cohort = _look(pictures)
    found = cohort.usable["artefacts"].to_list()
    assert sum(any(one["kind"] == "text" for one in seen) for seen in found) == 1
    (text,) = [one for seen in found for one in seen if one["kind"] == "text"]
    assert (text["file"], text["frame"]) == (0, 0)
    assert text["top"] < 28 / 256 < text["bottom"] < 0.3
    assert any("text in 1" in note for note in cohort.about.notes)
    assert _look(pictures, Looking(pixels=False)).usable["artefacts"].to_list() == [None] * 6


def test_what_was_seen_is_remembered(pictures, tmp_path, monkeypatch) -> None:
    first = _look(pictures, run=tmp_path / "run")
    monkeypatch.setattr(looking, "look_at", lambda glance: pytest.fail("looked at again"))
    assert _look(pictures, run=tmp_path / "run").digest == first.digest
    (tmp_path / "run/private/looks.sqlite").write_bytes(b"no database")
    monkeypatch.undo()
    assert _look(pictures, run=tmp_path / "run").digest == first.digest


def test_a_file_that_says_so_itself_has_text(series) -> None:
    cohort = _look(series("stated", [0], BurnedInAnnotation="YES"))
    (seen,) = cohort.usable["artefacts"].to_list()
    assert [(one["kind"], one["bottom"], one["right"]) for one in seen] == [("text", 1.0, 1.0)]


def test_pixels_that_cannot_be_decoded_cost_their_case_at_once(pictures) -> None:
    damaged = bytearray((pictures / "3.png").read_bytes())
    damaged[len(damaged) // 2 :] = bytes(len(damaged) - len(damaged) // 2)
    (pictures / "3.png").write_bytes(bytes(damaged))
    cohort = _look(pictures)
    assert cohort.usable.height == 5
    assert cohort.quarantine["reason"].to_list() == ["the image is damaged or cut short"]


def test_an_unknown_way_to_treat_uneven_slices_is_refused() -> None:
    from hounsfield.cli.options import looking as asked

    with pytest.raises(UsageError, match="--uneven"):
        asked("drop", True)
