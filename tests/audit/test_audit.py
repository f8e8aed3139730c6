"""The whole audit on real images: planted shortcuts are named, clean cohorts raise no alarm, known leaks are told."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image as Picture
from PIL import ImageDraw

from hounsfield.audit import Audit, audit
from hounsfield.cohort import Labelling, Looking, Splitting, scan
from hounsfield.core import Cohort
from hounsfield.errors import UsageError

COUNT = 240
Plant = Callable[[Picture.Image, np.random.Generator], None]


def text(picture: Picture.Image, generator: np.random.Generator) -> None:
    """Draw a small word in a corner, as a technician's marker."""
    ImageDraw.Draw(picture).text((picture.width * 0.7, picture.height * 0.05), "R 12", fill=255, font_size=14)


def line(picture: Picture.Image, generator: np.random.Generator) -> None:
    """Draw a bright bent line, as a catheter or a lead."""
    start, end = generator.uniform(0.2, 0.4) * picture.width, generator.uniform(0.5, 0.7) * picture.width
    middle = ((start + end) / 2 + 10, 0.42 * picture.height)
    places = [(start, 0.05 * picture.height), middle, (end, 0.8 * picture.height)]
    ImageDraw.Draw(picture).line(places, fill=255, width=2)


def nothing(picture: Picture.Image, generator: np.random.Generator) -> None:
    """Leave the picture alone."""


def radiographs(data: Path, folder: Path, plant: Plant, shares: tuple[float, float] = (0.5, 0.5)) -> tuple[Path, Path]:
    """Real normal chest X-rays whose labels are drawn by patient; `plant` acts on those that are yes.

    `shares`: of the cases that are yes, and of the others, how many are of scanner A.
    """
    generator = np.random.default_rng(0)
    files = sorted((data / "cxr-pneumonia/nih/normal").iterdir())[:COUNT]
    label_of = {
        name: ("no", "yes")[int(generator.random() < 0.5)] for name in sorted({file.name[:8] for file in files})
    }
    rows = ["file,label,patient,scanner"]
    (folder / "images").mkdir()
    for file in files:
        picture, label = Picture.open(file).convert("L"), label_of[file.name[:8]]
        if label == "yes":
            plant(picture, generator)
        picture.save(folder / "images" / f"{file.stem}.png")
        scanner = "A" if generator.random() < shares[label == "no"] else "B"
        rows.append(f"{file.stem},{label},{file.name[:8]},{scanner}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder / "images", folder / "labels.csv"


def audited(images: Path, labels: Path, run: Path) -> Audit:
    return audit(scan(images, Labelling(labels, label=("label",)), run=run), run=run)


@pytest.mark.parametrize(
    ("plant", "shares", "cause"),
    [(text, (0.5, 0.5), "text"), (line, (0.5, 0.5), "line"), (nothing, (0.7, 0.3), "scanner")],
    ids=["text", "line", "scanner"],
)
def test_a_planted_shortcut_is_found_and_its_cause_named(
    data: Path, tmp_path: Path, plant: Plant, shares: tuple[float, float], cause: str
) -> None:
    found = audited(*radiographs(data, tmp_path, plant, shares), tmp_path / "run")
    (alarm,) = found.of("alarm")
    assert alarm.topic == "shortcut"
    (shortcut,) = found.shortcuts
    guilty = {column.name for column in shortcut.columns if column.alarm}
    assert cause in guilty and f"{cause} 0." in alarm.sentence
    if cause == "scanner":
        assert guilty == {"scanner"}, "and nothing else is accused"
        assert "A: " in next(column.detail for column in shortcut.columns if column.name == "scanner")
    others = {"text": ("line",), "line": ("text",), "scanner": ("text", "line")}[cause]
    assert not guilty & set(others)


@pytest.fixture(scope="module")
def siim(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Cohort, Path]:
    folder = data / "siim-ct-contrast"
    run = tmp_path_factory.mktemp("siim")
    return scan(folder, Labelling(folder / "labels.csv", label=("contrast",)), run=run), run


def test_siim_names_what_is_known_of_it(siim: tuple[Cohort, Path]) -> None:
    """The contrast agent's tag and the manufacturer leak the label, and nine patients are in both classes."""
    cohort, run = siim
    found = audit(cohort, run=run)
    (alarm,) = found.of("alarm")
    assert "ContrastBolusAgent 0." in alarm.sentence and "Manufacturer 0." in alarm.sentence
    (both,) = [item for item in found.of("warning") if "both labels" in item.sentence]
    assert both.sentence.startswith("9 patient(s)") and len(both.cases) == 9
    assert set(both.cases) <= set(cohort.table["patient"])
    detail = {column.name: column.detail for column in found.shortcuts[0].columns}
    assert "missing:" in detail["ContrastBolusAgent"] and "SIEMENS: " in detail["Manufacturer"]
    assert len([pair for pair in found.pairs if pair.kind == "exact"]) == 6


def shuffled(cohort: Cohort, seed: int) -> Cohort:
    """Give every patient the labels of another one with as many cases."""
    generator = np.random.default_rng(seed)
    rows = cohort.usable.with_row_index("row")
    labels: list[str] = rows["label"].to_list()
    sizes = rows.group_by("patient", maintain_order=True).agg("row", pl.len().alias("size"))
    for _, same in sizes.group_by("size", maintain_order=True):
        places = same["row"].to_list()
        for goal, origin in zip(places, generator.permutation(len(places)), strict=True):
            for to, source in zip(goal, places[origin], strict=True):
                labels[to] = rows["label"][source]
    table = cohort.usable.with_columns(label=pl.Series(labels))
    return replace(cohort, table=table, pairs=cohort.pairs.clear())


def test_clean_cohorts_raise_at_most_one_alarm_in_ten(siim: tuple[Cohort, Path], data: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "run"
    chests = scan(*_labelled(radiographs(data, tmp_path, nothing)), run=pictures)
    for cohort, run in ((siim[0], siim[1]), (chests, pictures)):
        alarms = [audit(shuffled(cohort, seed), run=run).of("alarm") for seed in range(10)]
        assert sum(bool(found) for found in alarms) <= 1, alarms


def _labelled(made: tuple[Path, Path]) -> tuple[Path, Labelling]:
    return made[0], Labelling(made[1], label=("label",))


def test_two_sources_pooled_as_one_cohort(data: Path, tmp_path: Path) -> None:
    """Children of Guangzhou, where pneumonia was made the commoner, and adults of the NIH: source tells label and age group."""
    rows = ["file,label,site,age_group"]
    sources = {
        "Guangzhou": ("cxr-pneumonia/guangzhou/train", {"normal": 30, "pneumonia": 90}, "child"),
        "NIH": ("cxr-pneumonia/nih", {"normal": 60, "pneumonia": 60}, "adult"),
    }
    for site, (place, counts, age) in sources.items():
        for label, count in counts.items():
            for file in sorted((data / place / label).iterdir())[:count]:
                goal = tmp_path / "images" / site / f"{label}-{file.name}"
                goal.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, goal)
                rows.append(f"{site}/{goal.name},{label},{site},{age}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    found = audited(tmp_path / "images", tmp_path / "labels.csv", tmp_path / "run")
    told = " ".join(item.sentence for item in found.items)
    assert "Site goes with label" in told and "of Guangzhou are pneumonia" in told
    assert "Site goes with age band" in told and "all 120 patients of Guangzhou are child" in told
    (shortcut,) = found.shortcuts
    site = next(column for column in shortcut.columns if column.name == "site")
    assert site.interval.low is not None and site.interval.low > 0.5 and "Guangzhou: 90 of 120" in site.detail
    assert any(item.topic == "shortcut" and "site" in item.sentence for item in found.of("alarm"))


def test_the_record_names_no_patient_and_no_path(siim: tuple[Cohort, Path], tmp_path: Path) -> None:
    cohort, run = siim
    audit(cohort, run=run, folder=tmp_path / "audit")
    record = (tmp_path / "audit" / "audit.json").read_text(encoding="utf-8")
    assert cohort.crosswalk is not None
    secrets = {
        str(value)
        for name in ("path", "patient_id", "study_uid", "series_uid")
        for value in cohort.crosswalk[name].drop_nulls()
    }
    assert len(secrets) > 100
    assert not [secret for secret in secrets if secret in record]
    assert Audit.load(tmp_path / "audit").cohort == cohort.digest
    pictures = Audit.load(tmp_path / "audit").samples
    assert {picture.label for picture in pictures} == {"no", "yes"}
    assert all((tmp_path / "audit" / picture.path).is_file() for picture in pictures)


def test_without_pixels_it_says_so(data: Path, tmp_path: Path) -> None:
    folder = data / "siim-ct-contrast"
    cohort = scan(folder, Labelling(folder / "labels.csv", label=("contrast",)), looking=Looking(pixels=False))
    found = audit(cohort)
    assert any("not looked at" in why for why in found.not_done)
    assert any("no near duplicates" in item.sentence for item in found.of("warning"))


def test_a_cohort_without_labels_is_refused(tmp_path: Path) -> None:
    from hounsfield.cohort import scan_for_prediction

    for number in range(3):
        Picture.fromarray(np.full((20, 20), number, dtype=np.uint8)).save(tmp_path / f"{number}.png")
    with pytest.raises(UsageError, match="without labels"):
        audit(scan_for_prediction(tmp_path, ["no", "yes"], "yes", workers=0))


def test_several_labels_each_have_their_own_test(data: Path, tmp_path: Path) -> None:
    images, labels = radiographs(data, tmp_path, text)
    table = pl.read_csv(labels, infer_schema=False).with_columns(
        planted=pl.when(pl.col("label") == "yes").then(pl.lit("1")).otherwise(pl.lit("0")),
        chance=pl.Series([("1", "0", "", "-1")[int(name[:8]) % 4] for name in pl.read_csv(labels, infer_schema=False)["file"]]),
    )  # fmt: skip
    table.write_csv(labels)
    cohort = scan(
        images, Labelling(labels, label=("planted", "chance")), splitting=Splitting(seed=1), run=tmp_path / "run"
    )
    found = audit(cohort, run=tmp_path / "run")
    planted, chance = found.shortcuts
    assert planted.alarm and not chance.alarm
    assert chance.cases < planted.cases == cohort.usable.height
    assert found.several and found.counts["planted"] > 0
