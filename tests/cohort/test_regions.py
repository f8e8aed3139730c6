"""Regions of interest come through the scan as they were given, privately, and what cannot be used is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image as Picture

from hounsfield.cohort import Labelling, scan, scan_for_prediction
from hounsfield.core import Cohort
from hounsfield.errors import UsageError
from hounsfield.predict import files_of

PATIENTS = 14
Write = Callable[..., Path]
HEAD = "file,label"


def label(number: int) -> str:
    return ("no", "yes")[number % 2]


def looked(images: Path, table: Path) -> Cohort:
    return scan(images, Labelling(table), workers=0)


def by_name(cohort: Cohort) -> dict[str, Any]:
    """File stem → what the files of its case are."""
    return {case.sources[0].path.stem: case for case in files_of(cohort, cohort.usable)}


def told(cohort: Cohort) -> dict[str, str]:
    rows = cohort.quarantine.filter(pl.col("kind") == "label")
    return dict(rows.select("item", "reason").iter_rows())


def sentences(cohort: Cohort) -> list[str]:
    return [note for note in cohort.about.notes if "regions of interest" in note]


@pytest.fixture
def pictures(tmp_path: Path, png: Write) -> Path:
    for number in range(PATIENTS):
        png(tmp_path / "images" / f"im{number:02d}.png", number)
    return tmp_path / "images"


def rows(*cells: Callable[[int], object]) -> list[str]:
    return [
        f"im{number:02d}.png,{label(number)}," + ",".join(str(cell(number)) for cell in cells)
        for number in range(PATIENTS)
    ]


def test_a_centre_comes_through(pictures: Path, table: Write, tmp_path: Path) -> None:
    lines = rows(lambda n: n + 0.5, lambda n: -n, lambda n: "1e1")
    cohort = looked(pictures, table(f"{HEAD},ROI_X,roi_y,roi_z", *lines))
    cohort.save(tmp_path / "run")
    for one in (cohort, Cohort.load(tmp_path / "run")):
        found = by_name(one)
        assert len(found) == PATIENTS
        assert all(case.interest == (int(stem[2:]) + 0.5, -int(stem[2:]), 10) for stem, case in found.items())
        assert {case.mask for case in found.values()} == {None}
    assert sentences(cohort) == ["regions of interest (roi_ columns of the label table): 14 with a centre"]
    assert (cohort.about.label_column, told(cohort)) == ("label", {})


def test_boxes_beside_centres(pictures: Path, table: Write) -> None:
    box = [lambda n: 1, lambda n: 2, lambda n: 0, lambda n: 5, lambda n: 6, lambda n: "" if n == 3 else 7]
    centre = [
        lambda n: 3 if n in (3, 4) else "",
        lambda n: 4 if n in (3, 4) else "",
        lambda n: 0 if n in (3, 4) else "",
    ]
    head = f"{HEAD},roi_x1,roi_y1,roi_z1,roi_x2,roi_y2,roi_z2,roi_x,roi_y,roi_z"
    cohort = looked(pictures, table(head, *rows(*box, *centre)))
    found = by_name(cohort)
    assert found["im00"].interest == found["im04"].interest == (1, 2, 0, 5, 6, 7)
    assert found["im03"].interest == (3, 4, 0), "an incomplete box leaves the centre"
    assert told(cohort) == {"row 5 of the label table": "its region of interest is not used: roi_z2 is empty"}
    assert sentences(cohort) == [
        "regions of interest (roi_ columns of the label table): 1 with a centre, 13 with a box"
    ]
    assert any("1 row(s) give a box and a centre" in note for note in cohort.about.notes)


@pytest.mark.parametrize("cell", ["left", "1;2", "inf", "", "-"])
def test_a_number_that_is_none_leaves_the_case(pictures: Path, table: Write, cell: str) -> None:
    lines = rows(lambda n: 1, lambda n: cell if n == 5 else 2, lambda n: "nan" if n == 6 else 3)
    lines[7] = f"im07.png,{label(7)},,NA,"
    cohort = looked(pictures, table(f"{HEAD},roi_x,roi_y,roi_z", *lines))
    found = by_name(cohort)
    assert {stem for stem, case in found.items() if case.interest is None} == {"im05", "im06", "im07"}
    assert len(found) == PATIENTS, "the cases stay"
    why = "is empty" if cell == "" else "is no number"
    assert told(cohort) == {
        "row 7 of the label table": f"its region of interest is not used: roi_y {why}",
        "row 8 of the label table": "its region of interest is not used: roi_z is empty",
    }, "and a row that gives nothing is no trouble"


def test_a_column_too_few_is_told(pictures: Path, table: Write) -> None:
    cohort = looked(pictures, table(f"{HEAD},roi_x,roi_y", *rows(lambda n: 1, lambda n: 2)))
    assert cohort.table["region"].null_count() == PATIENTS
    assert any("no roi_z beside the other columns" in note for note in cohort.about.notes)
    assert sentences(cohort) == ["regions of interest (roi_ columns of the label table): no case has one"]


def test_two_rows_that_differ_give_none(pictures: Path, table: Write) -> None:
    lines = rows(lambda n: 1, lambda n: 2, lambda n: 3)
    lines += [f"im02.png,{label(2)},1,2,9", f"im04.png,{label(4)},1,2,3", f"im05.png,{label(5)},,,"]
    cohort = looked(pictures, table(f"{HEAD},roi_x,roi_y,roi_z", *lines))
    found = by_name(cohort)
    assert found["im02"].interest is None
    assert found["im04"].interest == found["im05"].interest == (1, 2, 3)
    reasons = cohort.quarantine.filter(pl.col("kind") == "label").select("item", "reason").rows()
    assert ("row 16 of the label table", "gives another region of interest than row 4: none is used") in reasons
    assert ("row 4 of the label table", "another row gives another region of interest: none is used") in reasons


@pytest.mark.parametrize("where", ["masks", "images/masks", "../beside"])
def test_masks_are_found_named_by_keys_and_are_no_cases(
    pictures: Path, table: Write, tmp_path: Path, where: str
) -> None:
    """Masks carry the names of their images: they must not take the keys from them, and not be cases."""
    folder = tmp_path / where
    folder.mkdir(parents=True)
    for number in set(range(PATIENTS)) - {0, 5}:
        Picture.fromarray(np.full((8, 8), number % 2, dtype=np.uint8)).save(folder / f"im{number:02d}.png")
    lines = [f"im{n:02d},{label(n)},{where}/im{n:02d}.png" for n in range(PATIENTS)]
    lines[5] = f"im05,{label(5)},"
    cohort = looked(pictures, table("name,label,roi_mask", *lines))
    assert cohort.about.key_column == "name (stem)"
    found = by_name(cohort)
    assert len(found) == cohort.table.height == PATIENTS
    for number in range(PATIENTS):
        mask = found[f"im{number:02d}"].mask
        if number in (0, 5):
            assert mask is None
        else:
            assert mask.path.resolve() == (folder / f"im{number:02d}.png").resolve()
    assert sentences(cohort) == ["regions of interest (roi_ columns of the label table): 12 with a mask"]
    assert told(cohort) == {
        "row 2 of the label table": "its region of interest is not used: there is no file for its roi_mask"
    }
    files = cohort.quarantine.filter(pl.col("kind") == "file")
    assert files.height == 0
    cohort.save(tmp_path / "run")
    text = (tmp_path / "run" / "cohort.parquet").read_bytes()
    assert b"masks" not in text and b"beside" not in text, "no path in what may be given away"
    assert all(key.startswith("file-") for key in cohort.table["mask"].drop_nulls())


def test_a_mask_that_no_case_uses_does_not_vanish(pictures: Path, table: Write) -> None:
    (pictures / "masks").mkdir()
    Picture.fromarray(np.ones((8, 8), dtype=np.uint8)).save(pictures / "masks" / "lost.png")
    lines = [f"im{n:02d}.png,{label(n)}," for n in range(PATIENTS)]
    cohort = looked(pictures, table(f"{HEAD},roi_mask", *lines, "gone.png,no,images/masks/lost.png"))
    reasons = cohort.quarantine.select("kind", "reason").rows()
    assert ("file", "a mask that the label table names, and no case uses") in reasons
    assert ("label", "no image has this key") in reasons


def test_a_table_without_such_columns_says_nothing(pictures: Path, table: Write) -> None:
    cohort = looked(pictures, table(HEAD, *[f"im{n:02d}.png,{label(n)}" for n in range(PATIENTS)]))
    assert sentences(cohort) == []
    assert cohort.table["region"].null_count() == cohort.table["mask"].null_count() == PATIENTS


def test_images_to_predict_have_regions_too(pictures: Path, table: Write) -> None:
    path = table(f"{HEAD},roi_x,roi_y,roi_z", *rows(lambda n: 1, lambda n: 2, lambda n: 3))
    cohort = scan_for_prediction(pictures, ["no", "yes"], "yes", Labelling(path), workers=0)
    assert {case.interest for case in by_name(cohort).values()} == {(1, 2, 3)}


@pytest.mark.parametrize("where", ["masks", "images/masks"])
def test_a_folder_of_masks_goes_with_any_labels(pictures: Path, table: Write, tmp_path: Path, where: str) -> None:
    """Masks have the paths of their images, whatever their ending; those that belong to no image are listed."""
    folder = tmp_path / where
    folder.mkdir(parents=True)
    for name in ("im03.png", "im04_mask.png", "im05.tif", "lost.png"):
        Picture.fromarray(np.ones((8, 8), dtype=np.uint8)).save(folder / name)
    lines = [f"im{n:02d}.png,{label(n)}" for n in range(PATIENTS)]
    cohort = scan(pictures, Labelling(table(HEAD, *lines), masks=folder), workers=0)
    found = {name: case.mask.path.name for name, case in by_name(cohort).items() if case.mask is not None}
    assert found == {"im03": "im03.png", "im04": "im04_mask.png", "im05": "im05.tif"}
    assert cohort.usable.height == PATIENTS
    assert f"3 of {PATIENTS} cases have a mask in the folder of masks" in cohort.about.notes
    reasons = cohort.quarantine.filter(pl.col("kind") == "file")["reason"].to_list()
    assert reasons == ["a mask, and no case has its name"]


def test_a_folder_of_masks_that_is_none_or_has_two_of_one(pictures: Path, table: Write, tmp_path: Path) -> None:
    path = table(HEAD, *[f"im{n:02d}.png,{label(n)}" for n in range(PATIENTS)])
    with pytest.raises(UsageError, match="no such folder of masks"):
        scan(pictures, Labelling(path, masks=tmp_path / "none"), workers=0)
    (tmp_path / "two").mkdir()
    for name in ("im03.png", "im03_mask.png"):
        Picture.fromarray(np.ones((8, 8), dtype=np.uint8)).save(tmp_path / "two" / name)
    with pytest.raises(UsageError, match="two masks of one image"):
        scan(pictures, Labelling(path, masks=tmp_path / "two"), workers=0)
