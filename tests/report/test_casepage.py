"""The page of a case in a real browser and as one picture: what was found stands there, nothing is loaded, nothing complains."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from hounsfield.core import Cohort, Predictions, files
from hounsfield.errors import HounsfieldError
from hounsfield.report import write_case_page
from hounsfield.report.casefacts import facts_of, labels_said
from hounsfield.report.casepage import case_content

from .synthetic import BINARY, MANY, cohort, run_folder, several_folder
from .synthetic import predictions as made_up

CHROMIUM = shutil.which("chromium")
RED, BLUE = (200, 30, 30), (30, 30, 200)


def picture(folder: Path, name: str, colour: tuple[int, int, int], size: tuple[int, int] = (60, 40)) -> str:
    Image.new("RGB", size, colour).save(folder / name)
    return name


def explained(run: Path, case: str, target: str, *, methods: int = 3, checks: bool = True, near: int = 5) -> Path:
    """What explain leaves of a case: hand-made, with numbers that the page must show."""
    folder = files.make_folder(run / "explain")
    known = [("gradcam", "Grad-CAM", False), ("kernel-shap", "SHAP (superpixels)", True), ("lime", "LIME", True)][
        :methods
    ]
    maps = [
        {
            "method": method, "title": title, "overlay": picture(folder, f"{case}-{method}.png", RED), "signed": signed,
            "unit": f"unit of {title}", "settings": {}, "own": 0.25 * number, "limit": 0.5,
            "colours": picture(folder, f"scale-{method}.png", BLUE, (256, 16)),
        }
        for number, (method, title, signed) in enumerate(known)
    ]  # fmt: skip
    train = Cohort.load(run, private=False).part("train")["case"].to_list()
    rows = [
        {"case": key, "likeness": 0.9 - 0.1 * place, "rank": 0.8 - 0.1 * place, "picture": picture(folder, f"{case}-near-{place}.png", RED)}
        for place, key in enumerate(train[:near])
    ]  # fmt: skip
    record = {
        "case": case, "bundle": "abc", "target": target, "image": picture(folder, f"{case}.png", (90, 90, 90)), "slice": 3,
        "slices": 6, "weight": 0.42, "frame": 45, "frames": 90, "marks": {"left": "R", "right": "L", "top": "A", "bottom": "P"},
        "aspect": 1.5, "window": {"windows": [[-600, 1500], [40, 400]], "unit": "HU", "conditioning": "hounsfield"}, "maps": maps,
        "checks": [
            {"name": "deletion", "method": "gradcam", "value": 1.0, "limit": 2.0, "passed": True, "said": "mean logit 1.00"},
            {"name": "randomisation", "method": "lime", "value": 1.0, "limit": 2.0, "passed": False, "said": "rank correlation 0.77"},
            {"name": "agreement", "method": "gradcam, lime", "value": None, "limit": 0.3, "passed": None, "said": "a map is empty"},
        ] if checks else [],
        "agreement": {
            "picture": picture(folder, f"{case}-agreement.png", RED), "areas": [0.11, 0.05, 0.013],
            "sentence": "Grad-CAM and SHAP point to the same place; LIME points elsewhere.",
            "pairs": [
                {"first": "Grad-CAM", "second": "SHAP", "rank_correlation": 0.61, "overlap": 0.4},
                {"first": "SHAP", "second": "LIME", "rank_correlation": None, "overlap": 0.02},
            ],
        } if methods > 1 else None,
        "similar": {"source": "what the frozen layers see", "among": 240, "left_out": 2, "neighbours": rows} if near else None,
    }  # fmt: skip
    files.write_json(folder / f"{case}.json", record)
    return folder


@pytest.fixture
def binary(tmp_path: Path) -> tuple[Path, str]:
    run = run_folder(tmp_path, BINARY)
    return run, Predictions.load(run / "predictions" / "test.parquet").table["case"][0]


def test_the_page_says_what_was_found(binary: tuple[Path, str]) -> None:
    run, case = binary
    explained(run, case, "malignant")
    page = write_case_page(run, case)
    text = page.read_text()
    row = Predictions.load(run / "predictions" / "test.parquet").table.row(0, named=True)
    assert f"{row['probability:malignant']:.2f}" in text and f"Called {row['decision']}" in text
    for said in (
        "window centre −600 HU, width 1500 HU; the network sees 1 other window too", "slice 3 of the 6 that the network saw",
        "counts 42% in the answer", "image 45 of 90", "Grad-CAM and SHAP point to the same place; LIME points elsewhere.",
        "a sensitivity of at least 0.9", "Held-out test part", "conformal prediction", "240 training cases",
        "2 training cases of the same patient", "likeness 0.90, nearer than 80% of training cases", "empty: nothing here spoke",
        "unit of SHAP (superpixels)", "mean logit 1.00", "rank correlation 0.77", "It is no medical device", "all three",
        "1.3%", "40%", "0.61", "a map is empty",
    ):  # fmt: skip
        assert said in text, said
    assert "<script" not in text and "http" not in text.replace("http-equiv", "")
    assert text.count("data:image/png") == 1 + 3 + 3 + 1 + 5
    labels = dict(cohort(BINARY).table.select("case", "label").iter_rows())
    for key in cohort(BINARY).part("train")["case"][:5]:
        assert key in text and labels[key] in text
    with Image.open(page.with_name(f"{case}-page.png")) as drawn:
        assert drawn.width == 1800 and drawn.height > 1500
        pixels = np.asarray(drawn.convert("RGB")).reshape(-1, 3)
    # Overlays and neighbours (red), and colour scales (blue), are all on it.
    assert (pixels == RED).all(axis=1).mean() > 0.05 and (pixels == BLUE).all(axis=1).mean() > 0.003


def test_one_method_alone_agrees_with_nobody(binary: tuple[Path, str]) -> None:
    run, case = binary
    explained(run, case, "malignant", methods=1, checks=False, near=0)
    text = write_case_page(run, case).read_text()
    assert "Where they agree" not in text and "no other training case" in text
    assert (run / "explain" / f"{case}-page.png").is_file()


def test_a_case_that_was_not_explained_has_no_page(binary: tuple[Path, str]) -> None:
    run, case = binary
    with pytest.raises(HounsfieldError, match="missing"):
        write_case_page(run, case)
    folder = explained(run, case, "malignant")
    (folder / f"{case}-lime.png").unlink()
    with pytest.raises(HounsfieldError, match="cannot be read"):
        write_case_page(run, case)


def test_abstention_set_and_part_are_told(binary: tuple[Path, str]) -> None:
    run, case = binary
    explained(run, case, "malignant")
    path = run / "predictions" / "test.parquet"
    stored = Predictions.load(path)
    table = stored.table.with_columns(
        abstention=pl.lit("it looks upside down", pl.String), truth=pl.lit(None, pl.String), split=pl.lit("train"),
        set=pl.Series([["malignant"]] * stored.table.height, dtype=pl.List(pl.String)),
    )  # fmt: skip
    Predictions(table, stored.task).save(path)
    text = write_case_page(run, case).read_text()
    for said in (
        "It looks upside down. What stands here",
        "nobody has said what it is",
        "malignant alone; such sets",
        "the network was trained on this case",
    ):
        assert said in text, said


def test_more_classes_and_several_labels(tmp_path: Path) -> None:
    many = run_folder(tmp_path / "many", MANY)
    case = Predictions.load(many / "predictions" / "test.parquet").table["case"][0]
    explained(many, case, "pneumonia")
    text = write_case_page(many, case).read_text()
    assert all(label in text for label in MANY) and "highest probability" in text
    several = several_folder(tmp_path / "several")
    stored = Predictions.load(several / "predictions" / "test.parquet")
    row = stored.table.row(0, named=True)
    explained(several, row["case"], "nodule")
    content = case_content(several, row["case"])
    nodule = content["facts"].outputs[1]
    states = {1: "present", 0: "absent", None: "not known"}
    assert nodule["label"] == "nodule" and nodule["probability"] == pytest.approx(row["probability:nodule"])
    assert (nodule["called"], nodule["truth"]) == (states[row["decision:nodule"]], states[row["truth:nodule"]])
    assert nodule["threshold"] == pytest.approx(0.375) and content["facts"].verdict.startswith("nodule is called")
    write_case_page(several, row["case"])


def test_labels_of_a_neighbour_are_those_that_are_present(tmp_path: Path) -> None:
    several = Cohort.load(several_folder(tmp_path), private=False)
    table = several.table.with_columns(states=pl.lit([1, 0, 1], pl.List(pl.Int8)))
    case = table["case"][0]
    assert labels_said(Cohort(table, several.about), case) == "effusion and pneumonia"
    table = table.with_columns(states=pl.lit([0, 0, None], pl.List(pl.Int8)))
    assert labels_said(Cohort(table, several.about), case) == "none of the labels (1 label not known)"


def test_out_of_fold_says_so() -> None:
    found = made_up("folds", BINARY, folds=5)
    facts = facts_of(found, None, cohort(BINARY), found.table["case"][0], "malignant")
    part = dict(facts.rows)["Part"]
    assert part.startswith("Cross-validation, fold ") and "not trained on this case" in part


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian package chromium)")
def test_in_a_browser(binary: tuple[Path, str], tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    run, case = binary
    explained(run, case, "malignant")
    page_file = write_case_page(run, case)
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for width in (390, 1280):
            page: Any = browser.new_page(viewport={"width": width, "height": 900}, java_script_enabled=True)
            asked, complaints = [], []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.on("console", lambda message, complaints=complaints: complaints.append(message.text))
            page.on("pageerror", lambda error, complaints=complaints: complaints.append(str(error)))
            page.goto(page_file.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
            # At native aspect, whatever the width: 1.5 here.
            frame = page.locator(".frame").first.bounding_box()
            assert frame["width"] / frame["height"] == pytest.approx(1.5, rel=0.01)
            assert all(page.locator("img").evaluate_all("images => images.map(image => image.naturalWidth > 0)"))
            assert page.locator(".edge").first.inner_text() == "R"
            page.pdf(path=tmp_path / "page.pdf", format="A4")
            page.close()
            assert [url for url in asked if not url.startswith("data:")] == [page_file.as_uri()] and complaints == []
        browser.close()
    assert 1 <= (tmp_path / "page.pdf").read_bytes().count(b"/Type /Page\n") <= 2
