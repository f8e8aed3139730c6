"""The report in a real browser: nothing is loaded, nothing complains, the slider moves, a phone can show it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hounsfield.report import write_report

from .synthetic import BINARY, run_folder

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian package chromium)")


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = run_folder(tmp_path_factory.mktemp("run"), BINARY)
    return write_report(folder, resamples=200)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def opened(browser: Any, page_file: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page, at the width of the parameter (desktop by default); fails if it loads or complains."""
    width = getattr(request, "param", 1280)
    page = browser.new_page(viewport={"width": width, "height": 900})
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(page_file.as_uri())
    yield page
    page.close()
    assert [url for url in asked if not url.startswith("data:")] == [page_file.as_uri()]
    assert complaints == []


def test_the_slider_moves_the_operating_point(opened: Any) -> None:
    slider = opened.locator(".slider").first
    assert slider.is_visible()

    def shown() -> dict[str, float]:
        names = ("sensitivity", "specificity", "found", "missed", "alarms", "cleared")
        texts = {name: slider.locator(f"[data-out={name}]").inner_text() for name in names}
        return {name: float(text.rstrip("%")) for name, text in texts.items()}

    threshold = slider.locator("[name=threshold]")
    threshold.fill("0")
    everybody = shown()
    assert (everybody["sensitivity"], everybody["specificity"], everybody["missed"]) == (100, 0, 0)
    threshold.fill("50")
    half = shown()
    assert 0 < half["sensitivity"] < 100 and 0 < half["specificity"] < 100
    assert sum(half[name] for name in ("found", "missed", "alarms", "cleared")) == pytest.approx(1000, abs=2)
    slider.locator("[name=prevalence]").fill("2")
    rare = shown()
    assert rare["found"] + rare["missed"] == pytest.approx(20, abs=1)
    assert rare["sensitivity"] == half["sensitivity"]
    threshold.fill("100")
    assert shown()["found"] == 0 and slider.locator("[data-out=ppv]").inner_text() == "–"


@pytest.mark.parametrize("opened", [390, 1280], indirect=True)
def test_nothing_sticks_out_sideways(opened: Any) -> None:
    assert opened.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


def test_it_prints(opened: Any, tmp_path: Path) -> None:
    opened.pdf(path=tmp_path / "report.pdf", format="A4")
    assert (tmp_path / "report.pdf").stat().st_size > 20_000
    opened.emulate_media(media="print")
    assert not opened.locator(".slider").first.is_visible()
    assert opened.locator("tbody tr").first.evaluate("row => getComputedStyle(row).display") == "table-row"
    assert opened.locator("header.top").evaluate("top => getComputedStyle(top).breakAfter") == "page"
