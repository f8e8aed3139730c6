"""The audit of attention for the page: where the maps of a whole part lie, as sentences, pictures and two tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hounsfield.report.pictures import embedded
from hounsfield.report.words import counted, scrub

ZONE_COLUMNS = (
    "Label", "Place", "Cases", "Of the image", "Of the map", "Peak there", "By chance", "Painted over", "Other side", "Turned",
)  # fmt: skip
POINTING_COLUMNS = ("Method", "Lesions", "Peak", "Centre of the image", "Random point", "Peak − centre", "Of the map")


@dataclass(frozen=True)
class AttentionView:
    """What the page shows: `pictures` are (label, data URI, caption), rows are as their columns, all of it text."""

    title: str
    cases: int
    items: list[tuple[str, str]]
    pictures: list[tuple[str, str, str]]
    zones: list[list[str]]
    pointing: list[list[str]]
    left_out: list[tuple[str, int]]


def attention(content: dict[str, Any] | None, folder: Path) -> AttentionView | None:
    """Return what explain/attention.json tells; None where there is none."""
    if not content:
        return None
    title = str(content["title"])
    pictures: list[tuple[str, str, str]] = []
    for one in content.get("pictures", []):
        drawn = embedded(folder, str(one["picture"]), record="attention.json", fix="Explain again.")
        caption = f"Mean of {counted(one['cases'], 'case')} called {one['label']}; colours from 0 to {one['scale']:.3g}"
        pictures.append((str(one["label"]), drawn, scrub(caption)))
    return AttentionView(
        title=title,
        cases=int(content["cases"]),
        items=[(str(item["level"]), scrub(str(item["sentence"]))) for item in content["items"]],
        pictures=pictures,
        zones=[_zone(one) for one in content["zones"]],
        pointing=[_pointing(one) for one in content["pointing"]],
        left_out=[(scrub(str(why)), int(count)) for why, count in content["left_out"].items()],
    )


def _zone(one: dict[str, Any]) -> list[str]:
    return [
        scrub(str(one["label"])), str(one["place"]), f"{one['cases']} of {one['of']}", f"{one['area']:.1%}",
        f"{one['share']:.1%}", _rate(one["peak"]), f"{one['chance']:.0%}", _fall(one["change"]),
        "–" if one["elsewhere"] is None else _signed(-one["elsewhere"]), _rate(one["turned"]),
    ]  # fmt: skip


def _pointing(one: dict[str, Any]) -> list[str]:
    return [
        str(one["title"]), str(one["cases"]), _rate(one["peak"]), _rate(one["centre"]), _rate(one["random"]),
        _gap(one["better"]), _rate(one["share"]),
    ]  # fmt: skip


def _rate(one: dict[str, Any] | None) -> str:
    if one is None or one["value"] is None:
        return "–"
    ends = "" if one["low"] is None or one["high"] is None else f" ({100 * one['low']:.0f}–{100 * one['high']:.0f}%)"
    return f"{one['value']:.0%}{ends}"


def _fall(one: dict[str, Any] | None) -> str:
    """A fall as a change: the sign is turned, and so are the ends."""
    if one is None or one["value"] is None:
        return "–"
    ends = "" if one["low"] is None or one["high"] is None else f" ({_signed(-one['high'])} to {_signed(-one['low'])})"
    return f"{_signed(-one['value'])}{ends}"


def _gap(one: dict[str, Any]) -> str:
    if one["value"] is None:
        return "–"
    points = [
        f"{100 * end:+.0f}".replace("-", "−") for end in (one["value"], one["low"], one["high"]) if end is not None
    ]
    return points[0] if len(points) < 3 else f"{points[0]} ({points[1]} to {points[2]})"


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")
