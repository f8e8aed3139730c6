"""`write_datasheet`: what an audit found in a cohort, on one page that loads nothing, and as tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from markupsafe import Markup

from hounsfield.audit.record import Audit, Picture
from hounsfield.core import files
from hounsfield.report.datasheet_rows import (
    FEW_LABELS,
    MOST,
    Row,
    brief,
    group_blocks,
    heading,
    labels_of,
    pair_kinds,
    parted,
    shortcut_block,
    tables,
)
from hounsfield.report.pictures import embedded
from hounsfield.report.templates import environment
from hounsfield.report.words import counted, scrub

LARGEST_SIDE = 256


def write_datasheet(folder: Path) -> Path:
    """Write index.html and pairs, shortcuts, groups, associations, missing and items.csv; return the page's path.

    The folder holds audit.json and the pictures that it names. The page loads nothing.

    Raises
    ------
    HounsfieldError
        If the audit or a picture that is shown is missing or damaged.
    """
    audit = Audit.load(folder)
    page = _render(audit, folder)
    for name, (columns, rows) in tables(audit).items():
        files.write_text(folder / f"{name}.csv", _csv(columns, rows))
    files.write_text(folder / "index.html", page)
    return folder / "index.html"


def _render(audit: Audit, folder: Path) -> str:
    pages = environment(_clean)
    pages.filters |= {"brief": brief, "heading": heading}
    pages.globals |= {"most": MOST, "few_labels": FEW_LABELS}
    return pages.get_template("datasheet.html").render(**_content(audit, folder))


def _clean(value: Any) -> Any:
    """Scrub every text that the page prints; what is Markup is the page's own."""
    return scrub(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _content(audit: Audit, folder: Path) -> Row:
    order = labels_of(audit)
    shortcuts = sorted(map(shortcut_block, audit.shortcuts), key=lambda block: not block["alarm"])
    return {
        "audit": audit,
        "verdict": verdict(audit),
        "labels": [_label(label, audit, order) for label in order[: MOST["labels"]]],
        "labels_left": len(order[MOST["labels"] :]),
        "several": audit.several,
        "levels": [(level, audit.of(level)) for level in ("alarm", "warning", "note")],
        "shortcuts": shortcuts,
        "patient_facts": any(column.family == "patient" for item in audit.shortcuts for column in item.columns),
        "order": order,
        "groups": group_blocks(audit.groups, order),
        "associations": sorted(audit.associations, key=lambda item: -item.strength),
        "missing": sorted((item for item in audit.missing if item.missing), key=lambda x: -x.missing / x.cases),
        "complete": [heading(item.column) for item in audit.missing if not item.missing],
        "kinds": pair_kinds(audit.pairs),
        "pairs": _pairs(audit, folder),
        "parted": any(part for pair in audit.pairs for part in pair.parts),
        "samples": _samples(audit, order, folder),
        "artefacts": [_picture(item, folder) for item in audit.artefacts[: MOST["artefacts"]]],
        "quarantine": sorted(audit.quarantine, key=lambda row: -row[0]),
        "version": version("hounsfield"),
    }


def verdict(audit: Audit) -> tuple[str, str]:
    """Return a level and a line: "1 alarm, 2 warnings"."""
    alarms, warnings = len(audit.of("alarm")), len(audit.of("warning"))
    if alarms or warnings:
        told = counted(alarms, "alarm") if alarms else "No alarm"
        more = counted(warnings, "warning") if warnings else "no warning"
        return ("alarm" if alarms else "warning"), f"{told}, {more}"
    partial = audit.not_done or not audit.shortcuts
    return "fine", "Nothing that should stop you" + (", but not everything was looked at" if partial else "")


def _label(label: str, audit: Audit, order: Sequence[str]) -> Row:
    count = audit.counts.get(label, 0)
    share = count / audit.cases if audit.cases else 0.0
    return {"name": label, "count": count, "share": share, "colour": order.index(label) % 8}


def _pairs(audit: Audit, folder: Path) -> list[Row]:
    """The pairs to show, the worst first; of two that are as bad the one with pictures."""
    drawn = {(first.case, second.case): (first, second) for first, second in audit.pair_pictures}
    ordered = sorted(
        audit.pairs,
        key=lambda pair: (
            pair.same_label, not parted(pair), pair.same_patient, (pair.first, pair.second) not in drawn
        ),
    )  # fmt: skip
    return [
        {
            "pair": pair,
            "parted": parted(pair),
            "pictures": [_picture(item, folder) for item in drawn.get((pair.first, pair.second), ())],
        }
        for pair in ordered[: MOST["pairs"]]
    ]


def _samples(audit: Audit, order: Sequence[str], folder: Path) -> list[Row]:
    found: dict[str, list[Picture]] = {label: [] for label in order}
    most = MOST["samples"] if len(order) <= FEW_LABELS else 3
    for item in audit.samples:
        found.setdefault(item.label, []).append(item)
    return [
        {
            "label": label,
            "colour": place % 8,
            "left": max(0, len(items) - most),
            "pictures": [_picture(item, folder) for item in items[:most]],
        }
        for place, (label, items) in enumerate(found.items())
        if items
    ]


def _picture(item: Picture, folder: Path) -> Row:
    source = embedded(folder, item.path, record="audit.json", fix="Audit again.", largest=LARGEST_SIDE)
    return {"source": source, "item": item}


def _csv(columns: list[str], rows: list[list[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([_clean(cell) for cell in row] for row in [columns, *rows])
    return text.getvalue()
