"""One look for every figure, and how a figure becomes SVG inside the page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, FAINT, GRID = "#27313b", "#6b7682", "#e3e7eb"
BLUE, ORANGE, GREEN, PURPLE, RED, TEAL, OLIVE, BROWN = (
    "#1f6fb2",
    "#c9560c",
    "#2f7d4f",
    "#7450a8",
    "#b3343c",
    "#147d86",
    "#77741a",
    "#7a5230",
)
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, RED, TEAL, OLIVE, BROWN)
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: it can be selected, searched and read aloud
    "svg.hashsalt": "hounsfield",  # the same figure gives the same bytes
    "text.parse_math": False,  # a label is a name, even one with a dollar sign
    "font.size": 9.0,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}
_NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}


def draw(name: str, paint: Callable[[Axes], None], alt: str, *, size: tuple[float, float] = (3.5, 3.35)) -> Markup:
    """Paint one axes and return it as an inline SVG.

    Parameters
    ----------
    name:
        Unique within the page; it keeps the ids of one figure apart from those of another.
    paint:
        Draws into the axes.
    alt:
        What the figure shows, for those who cannot see it.
    size:
        Inches. The page scales the figure to its card.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        paint(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata=_NO_METADATA)
    return _inline(buffer.getvalue(), name, alt)


def square(axes: Axes, across: str, up: str) -> None:
    """Both axes from 0 to 1, as curves of shares need them."""
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=across, ylabel=up)
    axes.set_aspect("equal")
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])


def _inline(svg: str, name: str, alt: str) -> Markup:
    """Drop what only a file of its own needs, and give ids a prefix, since all figures share one page."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r'\s(?:xmlns(?::\w+)?)="[^"]*"', "", body).replace("xlink:href", "href")
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    body = re.sub(r'<svg ([^>]*?)(?:width|height)="[\d.]+pt"', r"<svg \1", body, count=1)
    body = re.sub(r'<svg ([^>]*?)(?:width|height)="[\d.]+pt"', r"<svg \1", body, count=1)
    return Markup(body.replace("<svg ", f'<svg role="img" aria-label="{escape(alt)}" ', 1))
