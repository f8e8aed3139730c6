"""Heat maps for the page, the wrong decisions first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hounsfield.errors import UsageError
from hounsfield.report.pictures import embedded
from hounsfield.report.words import part_title, scrub

MOST_PANELS = 24
_NEEDED = ("case", "truth", "decision", "probability", "image", "overlay")


@dataclass(frozen=True)
class Panel:
    """One case: the image, the map over it, and what was said of it. Pictures are data URIs.

    `title` is the method of that map; `others` are title, picture and note of the maps by other methods; `checks` are what
    was asked of which map, whether it passed (None: it could not be asked), and the figure in words.
    """

    case: str
    part: str
    truth: str
    decision: str
    probability: float
    target: str
    verdict: str
    image: str
    overlay: str
    scale: float | None
    note: str
    title: str = "Grad-CAM"
    others: tuple[tuple[str, str, str], ...] = ()
    checks: tuple[tuple[str, bool | None, str], ...] = ()


def panels(entries: list[dict[str, Any]], folder: Path) -> list[Panel]:
    """Return the panels to show: at most 24, the wrong decisions first.

    Raises
    ------
    UsageError
        If an entry lacks something, or its picture is missing, unreadable or outside the folder.
    """
    for entry in entries:
        missing = [name for name in _NEEDED if not isinstance(entry, dict) or entry.get(name) is None]
        if missing:
            raise UsageError(f"a panel lacks {', '.join(missing)}", where=folder / "panels.json", fix="Explain again.")
    ordered = sorted(entries, key=lambda entry: _verdict(entry) != "wrong")
    return [_panel(entry, folder) for entry in ordered[:MOST_PANELS]]


def _verdict(entry: dict[str, Any]) -> str:
    """Return "right", "wrong", or another word where the truth is not known."""
    return str(entry.get("kind", "right" if entry["truth"] == entry["decision"] else "wrong"))


def _panel(entry: dict[str, Any], folder: Path) -> Panel:
    scale = entry.get("scale")
    return Panel(
        case=str(entry["case"])[:8],
        part=part_title(str(entry["part"])) if entry.get("part") else "",
        truth=str(entry["truth"]),
        decision=str(entry["decision"]),
        probability=float(entry["probability"]),
        target=str(entry.get("target") or entry["decision"]),
        verdict=_verdict(entry),
        image=_picture(folder, entry["image"]),
        overlay=_picture(folder, entry["overlay"]),
        scale=None if scale is None else float(scale),
        note=scrub(str(entry.get("note") or "")),
        title=next((str(one["title"]) for one in entry.get("maps") or []), "Grad-CAM"),
        others=tuple(
            (str(one["title"]), _picture(folder, one["overlay"]), scrub(str(one["note"])))
            for one in (entry.get("maps") or [])[1:]
        ),
        checks=tuple(
            (f"{one['name'].capitalize()} ({one['method']})", one["passed"], str(one["said"]))
            for one in entry.get("checks") or []
        ),
    )


def _picture(folder: Path, name: Any) -> str:
    return embedded(folder, str(name), record="panels.json", fix="Explain again.")
