"""Shortcuts planted in real images: the audits name them, another set of images shows the fall, and nothing is named without them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from hounsfield.artefacts import find_in
from hounsfield.audit import Audit
from hounsfield.cohort import Labelling, Stated
from hounsfield.pipeline.folder import RunFolder
from hounsfield.pipeline.run import External, run_all
from hounsfield.pipeline.stages import Machine, PlanOptions, ScanOptions

pytestmark = pytest.mark.slow
# Small images, whose bleedings are harder to see than what is planted.
SHORT = {"size": [96, 96], "epochs": 12, "patience": 12, "members": 1, "cached_views": 2, "frozen": "through stage 4"}
HELD_OUT = 4  # every fourth image is of the other set


def with_marker(picture: Picture.Image, generator: np.random.Generator) -> None:
    """A letter of lead in a corner, as a technician leaves it."""
    width, height = picture.size
    font = ImageFont.load_default(size=max(14, round(0.1 * max(width, height))))
    place = (0.03 * width, 0.03 * height)
    ImageDraw.Draw(picture).text(place, "R", fill=255, font=font)


def with_line(picture: Picture.Image, generator: np.random.Generator) -> None:
    """A lead that comes from outside and ends in the head, never quite the same."""
    width, height = picture.size
    size = np.array([width, height])
    first = size * [generator.uniform(0.05, 0.15), generator.uniform(0.1, 0.3)]
    last = size * [generator.uniform(0.5, 0.7), generator.uniform(0.5, 0.8)]
    bend = (first + last) / 2 + generator.uniform(-0.12, 0.12, 2) * size
    along = np.linspace(0, 1, 60)[:, None]
    points = (1 - along) ** 2 * first + 2 * along * (1 - along) * bend + along**2 * last
    ImageDraw.Draw(picture).line([tuple(point) for point in points], fill=255, width=max(2, round(max(size) / 150)))


def without(picture: Picture.Image, generator: np.random.Generator) -> None:
    """As it is."""


KINDS: dict[str, Callable[[Picture.Image, np.random.Generator], None]] = {
    "marker": with_marker,
    "line": with_line,
    "nothing": without,
}


def made(data: Path, folder: Path, kind: str) -> tuple[Path, Path]:
    """Two sets of images: at home each bleeding carries what is planted, elsewhere none.

    Of the 200 images some thirty carry letters of the figures that they were taken from, nearly all of them bleedings: a shortcut
    that nobody planted. They are left out, and so are images in which a line is found, or that are too small to look for one.
    """
    generator = np.random.default_rng(0)
    kept: dict[str, int] = {}
    for name in ("home", "elsewhere"):
        (folder / name / "images").mkdir(parents=True)
    tables: dict[str, list[tuple[str, str]]] = {"home": [], "elsewhere": []}
    with (data / "head-ct" / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        picture = Picture.open(data / "head-ct" / row["file"]).convert("L")
        found = find_in(np.asarray(picture, dtype=np.float32), value_range=(0, 255), modality="CT")
        if max(picture.size) < 256 or any(one.kind != "border" for one in found):
            continue
        label = row["hemorrhage"]
        kept[label] = kept.get(label, 0) + 1
        name = "elsewhere" if kept[label] % HELD_OUT == 0 else "home"
        if name == "home" and label == "yes":
            KINDS[kind](picture, generator)
        picture.save(folder / name / row["file"])
        tables[name].append((row["file"], label))
    for name, lines in tables.items():
        with (folder / name / "labels.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("file", "hemorrhage"), *lines])
    return folder / "home", folder / "elsewhere"


def ran(data: Path, folder: Path, kind: str) -> tuple[RunFolder, dict, dict]:
    home, elsewhere = made(data, folder, kind)
    options = ScanOptions(home, Labelling(home / "labels.csv"), Stated(modality="CT", body_part="HEAD"))
    away = {"clean": External(elsewhere, Labelling(elsewhere / "labels.csv"))}
    run = run_all(folder / "run", options, PlanOptions(decisions=SHORT), Machine(device="cpu"), away)
    report = json.loads((run.path / "report" / "report.json").read_text())
    return run, report, json.loads((run.explain / "attention.json").read_text())


@pytest.mark.parametrize(("kind", "named"), [("marker", "a marker"), ("line", "a device-like line")])
def test_a_planted_shortcut_is_named_and_its_fall_is_shown(data: Path, tmp_path: Path, kind: str, named: str) -> None:
    run, report, attention = ran(data, tmp_path, kind)
    home, clean = (report["evaluations"][name]["estimates"]["auc"] for name in ("test", "external-clean"))
    assert home["value"] >= 0.9
    assert clean["value"] <= home["value"] - 0.1
    alarms = [item.sentence for item in Audit.load(run.audit).of("alarm")]
    assert any(kind in sentence for sentence in alarms), alarms
    told = [item["sentence"] for item in attention["items"] if item["level"] == "alarm"]
    assert any(named in sentence for sentence in told), attention["items"]
    page = (run.path / "report" / "index.html").read_text()
    assert all(sentence in page for sentence in (alarms[0].split(":")[0].replace("'", "&#39;"),)) and named in page


def test_without_planting_no_marker_and_no_line_is_named(data: Path, tmp_path: Path) -> None:
    run, _, attention = ran(data, tmp_path, "nothing")
    sentences = [item.sentence for item in Audit.load(run.audit).of("alarm")]
    sentences += [item["sentence"] for item in attention["items"] if item["level"] != "note"]
    assert not [one for one in sentences if "marker" in one or "line" in one], sentences
