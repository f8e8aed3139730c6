"""`write_case_page`: one case as a reader needs it, on one page that loads nothing, and as one picture."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from hounsfield.core import Cohort, Predictions, files
from hounsfield.core.calibration import Calibration
from hounsfield.core.manifest import CALIBRATION
from hounsfield.measure import decimals
from hounsfield.prepare import describe
from hounsfield.report.casefacts import Facts, facts_of, labels_said
from hounsfield.report.casefigure import draw_case
from hounsfield.report.pictures import embedded
from hounsfield.report.templates import environment, source
from hounsfield.report.words import counted, scrub

CAUTION = (
    "A map shows where the network reacted, not why, and no more: it may light up the right place for a wrong reason. Similar cases "
    "are similar to the network, which need not be so to a physician. This page is for research. It is no medical device, and nobody "
    "has shown that it is safe to diagnose or to treat by it."
)


def write_case_page(run: Path, case: str) -> Path:
    """Write RUN/explain/<case>.html and <case>-page.png of a case that was explained, and return the path of the page.

    Both show the same: the image in its window, probability and decision, the maps with their scales and how far they agree, the
    checks, and the most similar training cases. The page loads nothing; names no patient, path or date; and needs no script.

    Raises
    ------
    HounsfieldError
        If the case was not explained, or what it was explained by is damaged.
    """
    folder = run / "explain"
    content = case_content(run, case)
    pages = environment()
    pages.globals |= {"picture": partial(embedded, folder, record=f"{case}.json", fix="Explain again.")}
    page = folder / f"{case}.html"
    text = pages.get_template("casepage.html").render(
        style=source(pages, "style.css"), more=source(pages, "casepage.css"), **content
    )
    files.write_text(page, text)
    draw_case(folder / f"{case}-page.png", folder, content)
    return page


def case_content(run: Path, case: str) -> dict[str, Any]:
    """Return all that page and picture say, as plain values; pictures by name."""
    record = files.read_json(run / "explain" / f"{case}.json")
    cohort = Cohort.load(run, private=False)
    name = next((name for name in ("test", "folds") if (run / "predictions" / f"{name}.parquet").exists()), "test")
    predictions = Predictions.load(run / "predictions" / f"{name}.parquet")
    place = run / "bundle" / CALIBRATION
    calibration = Calibration.model_validate(files.read_json(place)) if place.exists() else None
    facts: Facts = facts_of(predictions, calibration, cohort, case, record["target"])
    near = record["similar"]
    return {
        "case": case,
        "target": record["target"],
        "facts": facts,
        "image": {
            "picture": record["image"], "aspect": float(record["aspect"]), "marks": record["marks"],
            "caption": image_caption(record), "sliced": record["slices"] > 1,
        },
        "maps": [_map(item, record["checks"]) for item in record["maps"]],
        "agreement": None if record["agreement"] is None else record["agreement"] | {
            "checks": [_check(item, titled=True, titles=_titles(record)) for item in record["checks"] if item["name"] == "agreement"],
            "rows": [_pair(pair) for pair in record["agreement"]["pairs"]],
            "legend": _legend(record["agreement"]["areas"]),
        },
        "similar": None if near is None else {
            "source": near["source"], "among": near["among"], "left_out": _left_out(near["left_out"]),
            "neighbours": [_neighbour(item, cohort) for item in near["neighbours"]],
            "summary": _summary(near["neighbours"], cohort),
        },
        "checked": bool(record["checks"]),
        "caution": CAUTION,
    }  # fmt: skip


def image_caption(record: dict[str, Any]) -> str:
    """Slice, window and unit in words."""
    parts = []
    if record["slices"] > 1:
        counts = "" if record["weight"] is None else f", which counts {record['weight']:.0%} in the answer"
        parts.append(f"slice {record['slice']} of the {record['slices']} that the network saw{counts}")
    if record["frame"] is not None:
        parts.append(f"image {record['frame']} of {record['frames']}")
    return scrub("; ".join([*parts, _window(record["window"])]))


def _window(window: dict[str, Any]) -> str:
    centre, width = window["windows"][0]
    if window["unit"] == "HU" and window["conditioning"] == "hounsfield":
        told = f"window centre {centre:g} HU, width {width:g} HU".replace("-", "−")
    elif window["conditioning"] == "colour":
        told = "in colour, as it is"
    else:
        told = f"grey values without a unit: {describe(window['conditioning'])}"
    more = len(window["windows"]) - 1
    return f"{told}; the network sees {counted(more, 'other window')} too" if more else told


def _map(item: dict[str, Any], checks: list[dict[str, Any]]) -> dict[str, Any]:
    """One map as it is shown; the ends of its scale as text, and how much of the scale this case uses."""
    limit, own = item["limit"], item["own"]
    low = _number(-limit) if item["signed"] else "0"
    return {
        "title": item["title"], "overlay": item["overlay"], "colours": item["colours"], "unit": item["unit"],
        "ends": (low, "0" if item["signed"] else _number(limit / 2), _number(limit)) if limit else None,
        "signed": item["signed"],
        "said": "empty: nothing here spoke for the label" if own == 0 else f"greatest value {_number(own)}",
        "checks": [_check(one) for one in checks if one["method"] == item["method"]],
    }  # fmt: skip


def _number(value: float) -> str:
    return f"{value:.2g}".replace("-", "−")


def _check(item: dict[str, Any], *, titled: bool = False, titles: dict[str, str] | None = None) -> dict[str, Any]:
    name = item["name"].capitalize()
    if titled and titles is not None:
        name = " and ".join(titles.get(method, method) for method in item["method"].split(", "))
    return {
        "name": name,
        "answer": {True: "passed", False: "failed", None: "not asked"}[item["passed"]],
        "said": item["said"],
    }


def _titles(record: dict[str, Any]) -> dict[str, str]:
    return {item["method"]: item["title"] for item in record["maps"]}


def _pair(pair: dict[str, Any]) -> dict[str, str]:
    value = pair["rank_correlation"]
    return {
        "who": f"{pair['first']} and {pair['second']}", "correlation": "–" if value is None else decimals(value),
        "overlap": f"{pair['overlap']:.0%}",
    }  # fmt: skip


def _legend(areas: list[float]) -> list[tuple[str, str, str]]:
    """(class of the swatch, which maps, share of the image) of what the picture marks."""
    names = ["one map", "two maps", "three maps", *[f"{number} maps" for number in range(4, len(areas) + 1)]]
    said = [(f"m{min(place, 3)}", names[place - 1], f"{area:.1%}") for place, area in enumerate(areas, start=1)]
    if len(areas) == 3:
        said[2] = ("m3", "all three", said[2][2])
    return said[::-1]


def _left_out(count: int) -> str:
    if not count:
        return "None of them is of the same patient, or of one who shares a picture with this one."
    return (
        f"{counted(count, 'training case')} of the same patient, or of one who shares a picture with this one, "
        f"{'is' if count == 1 else 'are'} left out."
    )


def _neighbour(item: dict[str, Any], cohort: Cohort) -> dict[str, Any]:
    return {
        "case": item["case"], "picture": item["picture"], "label": labels_said(cohort, item["case"]),
        "likeness": decimals(item["likeness"]), "rank": _rank(item["rank"]),
    }  # fmt: skip


def _rank(rank: float | None) -> str:
    return "" if rank is None else f"nearer than {rank:.0%} of training cases are to their own nearest"


def _summary(neighbours: list[dict[str, Any]], cohort: Cohort) -> str:
    """How many of the neighbours bear which label, where a case has one."""
    if cohort.about.multi_label or not neighbours:
        return ""
    labels = [labels_said(cohort, item["case"]) for item in neighbours]
    told = [f"{labels.count(label)} {label}" for label in sorted(set(labels), key=lambda label: -labels.count(label))]
    first = neighbours[0]["rank"]
    far = first is not None and first < 0.05
    return f"Of these {len(labels)}: {', '.join(told)}." + (
        " Even the nearest is farther away than training cases are from each other: there is nothing really like it."
        if far
        else ""
    )
