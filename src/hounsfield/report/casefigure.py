"""The page of a case as one picture: the same content, for a slide, a letter or a chat."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, Stroke
from PIL import Image

from hounsfield.core import files
from hounsfield.report.drawing import BLUE, FAINT, GREEN, GRID, INK, RED, STYLE

# Inches; at this resolution 1800 pixels across.
WIDTH, DPI, MARGIN, GAP = 12.0, 150, 0.35, 0.25
COLUMNS, NEAR = 3, 5
LINE = 0.19
SWATCHES = {"m1": "#ffe066", "m2": "#ff8c1a", "m3": "#e01842"}
ANSWERS = {"passed": GREEN, "failed": RED}
MARKS: Mapping[str, tuple[float, float, str, str]] = {
    "left": (0.02, 0.5, "left", "center"), "right": (0.98, 0.5, "right", "center"), "top": (0.5, 0.98, "center", "top"),
    "bottom": (0.5, 0.02, "center", "bottom"),
}  # fmt: skip


class _Sheet:
    """A sheet that grows downwards: what is put on it is kept in inches from the top, until its height is known."""

    def __init__(self) -> None:
        self.texts: list[tuple[float, float, str, dict[str, Any]]] = []
        self.boxes: list[tuple[float, float, float, float, Any]] = []

    def text(self, left: float, top: float, words: str, **style: Any) -> float:
        """Put lines of text, and return where they end."""
        self.texts.append((left, top, words, style))
        size = style.get("fontsize", 9.0)
        return top + LINE * size / 9.0 * (words.count("\n") + 1)

    def box(self, left: float, top: float, width: float, height: float, paint: Any) -> None:
        self.boxes.append((left, top, width, height, paint))

    def save(self, path: Path, height: float) -> None:
        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white")
            for left, top, wide, high, paint in self.boxes:
                axes = figure.add_axes((left / WIDTH, 1 - (top + high) / height, wide / WIDTH, high / height))
                axes.set_axis_off()
                axes.grid(visible=False)
                paint(axes)
            for left, top, words, style in self.texts:
                figure.text(left / WIDTH, 1 - top / height, words, va="top", linespacing=1.25, **style)
            with files.replacing(path) as partial:
                figure.savefig(partial, format="png", metadata={"Software": None})


def draw_case(path: Path, folder: Path, content: dict[str, Any]) -> None:
    """Write the picture of `case_content`, whose pictures lie in `folder`: about 1800 pixels across."""
    sheet, facts = _Sheet(), content["facts"]
    top = sheet.text(MARGIN, 0.3, content["case"], fontsize=18, fontweight="bold", family="monospace")
    top = sheet.text(MARGIN, top + 0.05, _wrapped(facts.verdict, 120), fontsize=12)
    if facts.abstention:
        top = sheet.text(
            MARGIN, top, _wrapped(f"The model should not be asked about this case: {facts.abstention}.", 120),
            fontsize=12, color=RED,
        )  # fmt: skip
    top = _tiles(sheet, top + 0.2, folder, content)
    top = _said(sheet, top + 0.15, facts)
    top = _near(sheet, top + 0.15, folder, content["similar"])
    top = sheet.text(MARGIN, top + 0.15, _wrapped(content["caution"], 190), fontsize=8, color=FAINT)
    sheet.save(path, top + 0.25)


def _tiles(sheet: _Sheet, top: float, folder: Path, content: dict[str, Any]) -> float:
    """The image, the maps, and where they agree, three to a row."""
    image, target, agreement = content["image"], content["target"], content["agreement"]
    top = sheet.text(MARGIN, top, f"The image, and what spoke for {target}", fontsize=13, fontweight="bold") + 0.1
    if agreement:
        top = sheet.text(MARGIN, top, _wrapped(agreement["sentence"], 130), fontsize=11) + 0.1
    wide = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) / COLUMNS
    high = min(wide / image["aspect"], 4.6)
    items = [("image", image), *[("map", item) for item in content["maps"]]]
    items += [("agreement", agreement), ("figures", agreement)] if agreement else []
    for start in range(0, len(items), COLUMNS):
        ends = []
        for place, (kind, item) in enumerate(items[start : start + COLUMNS]):
            left = MARGIN + place * (wide + GAP)
            if kind == "figures":
                ends.append(_figures(sheet, left, top, wide, item, target))
                continue
            name = {"image": "picture", "map": "overlay", "agreement": "picture"}[kind]
            sheet.box(left, top, wide, high, _picture(folder / item[name], image["aspect"], image["marks"]))
            below = top + high + 0.08
            if kind == "map" and item["ends"]:
                below = _scale(sheet, left, below, wide, folder, item, target)
            if kind == "agreement":
                below = _legend(sheet, left, below, item["legend"])
            ends.append(_caption(sheet, left, below, kind, item, target))
        top = max(ends) + 0.2
    return top


def _picture(path: Path, aspect: float, marks: Mapping[str, str] | None) -> Any:
    with Image.open(path) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    height, width = pixels.shape[:2]

    def paint(axes: Axes) -> None:
        axes.add_patch(Rectangle((0, 0), 1, 1, transform=axes.transAxes, facecolor="black", zorder=-1))
        axes.imshow(pixels, aspect=width / height / aspect, interpolation="bilinear")
        axes.set_anchor("C")
        for side, letters in (marks or {}).items():
            x, y, across, up = MARKS[side]
            axes.text(
                x, y, letters, transform=axes.transAxes, ha=across, va=up, color="#ffe9a8", fontsize=11, fontweight="bold",
                path_effects=[Stroke(linewidth=2, foreground="black"), Normal()],
            )  # fmt: skip

    return paint


def _scale(
    sheet: _Sheet, left: float, top: float, wide: float, folder: Path, item: dict[str, Any], target: str
) -> float:
    """The colour bar of a map with the values at its ends."""
    with Image.open(folder / item["colours"]) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    sheet.box(left, top, wide, 0.12, lambda axes: axes.imshow(pixels, aspect="auto"))
    low, middle, high = item["ends"]
    style = {"fontsize": 8, "color": INK}
    sheet.text(left, top + 0.15, f"{low}{f'  against {target}' if item['signed'] else ''}", **style)
    sheet.text(left + wide / 2, top + 0.15, middle, ha="center", **style)
    return sheet.text(
        left + wide, top + 0.15, f"{f'for {target}  ' if item['signed'] else ''}{high}", ha="right", **style
    )


def _legend(sheet: _Sheet, left: float, top: float, legend: Sequence[tuple[str, str, str]]) -> float:
    for place, (swatch, name, share) in enumerate(legend):
        across = left + place * 1.2
        sheet.box(across, top + 0.02, 0.12, 0.12, _filled(SWATCHES[swatch]))
        sheet.text(across + 0.17, top, f"{name} {share}", fontsize=8)
    return top + 0.2


def _filled(colour: str) -> Any:
    return lambda axes: axes.add_patch(Rectangle((0, 0), 1, 1, transform=axes.transAxes, facecolor=colour))


def _caption(sheet: _Sheet, left: float, top: float, kind: str, item: dict[str, Any], target: str) -> float:
    title, words = {
        "image": ("Image", item.get("caption", "")),
        "map": (item.get("title", ""), f"{item.get('said', '')}. A value is the {item.get('unit', '')}."),
        "agreement": ("Where they agree", f"the tenth of the image that speaks most for {target}, of each map"),
    }[kind]
    top = sheet.text(left, top, title, fontsize=10, fontweight="bold")
    top = sheet.text(left, top, _wrapped(words, 58), fontsize=8, color=FAINT)
    return _answers(sheet, left, top, item.get("checks") or []) if kind == "map" else top


def _answers(sheet: _Sheet, left: float, top: float, checks: Sequence[dict[str, Any]]) -> float:
    for check in checks:
        words = _wrapped(f"{check['answer'].capitalize()}, {check['name']}: {check['said']}", 58)
        top = sheet.text(left, top, words, fontsize=8, color=ANSWERS.get(check["answer"], FAINT))
    return top


def _figures(sheet: _Sheet, left: float, top: float, wide: float, agreement: dict[str, Any], target: str) -> float:
    sheet.text(left + wide - 0.9, top, "Ranks", fontsize=9, ha="right", color=FAINT)
    sheet.text(left + wide, top, "Overlap", fontsize=9, ha="right", color=FAINT)
    top = sheet.text(left, top, "How far they agree", fontsize=10, fontweight="bold") + 0.05
    for row in agreement["rows"]:
        sheet.text(left + wide - 0.9, top, row["correlation"], fontsize=9, ha="right")
        sheet.text(left + wide, top, row["overlap"], fontsize=9, ha="right")
        top = sheet.text(left, top, row["who"], fontsize=9) + 0.05
    words = (
        f"Ranks: rank correlation of what speaks for {target}; 1 the same order of places, 0 none. Overlap: what the strongest "
        "tenths share, of what both cover; by chance 5%, the same place from 33% on."
    )
    top = sheet.text(left, top + 0.05, _wrapped(words, 58), fontsize=8, color=FAINT)
    return _answers(sheet, left, top + 0.05, agreement["checks"])


def _said(sheet: _Sheet, top: float, facts: Any) -> float:
    """Probabilities as bars, and what else is known, beside each other."""
    top = sheet.text(MARGIN, top, "Probability and decision", fontsize=13, fontweight="bold") + 0.1
    left, under = MARGIN, top
    for row in facts.outputs:
        sheet.box(left + 1.5, under + 0.02, 1.6, 0.13, _bar(row["probability"], row["threshold"]))
        notes = ", ".join(filter(None, [row["called"], row["truth"] and f"truth: {row['truth']}"]))
        sheet.text(left + 3.2, under, f"{row['probability']:.2f}  {_wrapped(notes, 30)}", fontsize=9)
        under = sheet.text(left, under, textwrap.shorten(str(row["label"]), 22), fontsize=9, fontweight="bold") + 0.06
    beside = top
    for name, words in facts.rows:
        sheet.text(5.6, beside, name, fontsize=9, fontweight="bold")
        beside = sheet.text(7.6, beside, _wrapped(words, 54), fontsize=9) + 0.05
    return max(under, beside)


def _bar(value: float, cut: float | None) -> Any:
    def paint(axes: Axes) -> None:
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.add_patch(Rectangle((0, 0.2), 1, 0.6, facecolor=GRID))
        axes.add_patch(Rectangle((0, 0.2), value, 0.6, facecolor=BLUE))
        if cut is not None:
            axes.plot([cut, cut], [0, 1], color=INK, linewidth=1.6, solid_capstyle="butt")

    return paint


def _near(sheet: _Sheet, top: float, folder: Path, similar: dict[str, Any] | None) -> float:
    top = sheet.text(MARGIN, top, "The most similar training cases", fontsize=13, fontweight="bold") + 0.05
    if not similar or not similar["neighbours"]:
        return sheet.text(MARGIN, top, "There is no other training case to compare with.", fontsize=9)
    words = f"{similar['summary']} Compared is {similar['source']}, in {similar['among']:,} training cases. {similar['left_out']}"
    top = sheet.text(MARGIN, top, _wrapped(words.strip(), 160), fontsize=9) + 0.1
    wide = (WIDTH - 2 * MARGIN - (NEAR - 1) * GAP) / NEAR
    ends = [top]
    for place, item in enumerate(similar["neighbours"]):
        left = MARGIN + place * (wide + GAP)
        if item["picture"]:
            with Image.open(folder / item["picture"]) as opened:
                aspect = opened.width / opened.height
            sheet.box(left, top, wide, wide, _picture(folder / item["picture"], aspect, None))
        below = sheet.text(left, top + wide + 0.06, textwrap.shorten(item["label"], 36), fontsize=10, fontweight="bold")
        told = f"likeness {item['likeness']}{', ' if item['rank'] else ''}{item['rank']}"
        below = sheet.text(left, below, _wrapped(told, 36), fontsize=8, color=FAINT)
        ends.append(sheet.text(left, below, item["case"], fontsize=8, color=FAINT, family="monospace"))
    return max(ends)


def _wrapped(words: str, columns: int) -> str:
    return textwrap.fill(words, columns)
