"""Reporting guidelines (CLAIM 2024, TRIPOD+AI): each item with what the run knows, and visibly open where only a person does."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

import yaml

from hounsfield.report.answers import answers
from hounsfield.report.results import Results

ITEMS = "reporting_items.yaml"
NOT_DONE = "this is not in the run"


@dataclass(frozen=True)
class Item:
    """One item of a guideline.

    Attributes
    ----------
    section, number, asks:
        Where it stands, its number, and what it asks, in our words.
    answer:
        What the run knows; "" for nothing.
    open:
        What is still to be told; "" for nothing.
    """

    section: str
    number: str
    asks: str
    answer: str
    open: str

    @property
    def status(self) -> Literal["answered", "partly", "open"]:
        if not self.answer:
            return "open"
        return "partly" if self.open else "answered"


@dataclass(frozen=True)
class Guideline:
    """A reporting guideline, filled as far as a run can."""

    name: str
    source: str
    items: list[Item]

    def count(self, status: str) -> int:
        return sum(item.status == status for item in self.items)


def guidelines(results: Results) -> list[Guideline]:
    """Fill CLAIM 2024 (44 items) and TRIPOD+AI (27 items, 52 with their parts)."""
    told = answers(results)
    return [
        Guideline(
            one["name"],
            one["source"],
            [_item(part["title"], item, told) for part in one["sections"] for item in part["items"]],
        )
        for one in yaml.safe_load(files("hounsfield.report").joinpath(ITEMS).read_text(encoding="utf-8"))
    ]


def _item(section: str, item: dict[str, Any], told: dict[str, str]) -> Item:
    answer = told[item["answer"]] if "answer" in item else ""
    return Item(section, item["number"], item["asks"], answer, item.get("add", "" if answer else NOT_DONE))


def as_markdown(filled: list[Guideline]) -> str:
    """The items as Markdown, to be completed by hand."""
    lines = [
        "# Reporting items",
        "",
        "Filled by the run as far as it knows; **OPEN** is for a person. Items in our own words; see the source for theirs.",
    ]
    for guideline in filled:
        lines += ["", f"## {guideline.name}", "", f"{guideline.source}."]
        section = ""
        for item in guideline.items:
            if item.section != section:
                section = item.section
                lines += ["", f"### {section}", ""]
            missing = f"**OPEN**: {item.open}" if item.open else ""
            lines.append(
                f"- **{item.number}** {item.asks}. "
                + " ".join(text.replace("<", "&lt;") for text in (item.answer, missing) if text)
            )
    return "\n".join(lines) + "\n"
