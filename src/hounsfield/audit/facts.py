"""What is known of each case beside its anatomy, as columns that a shortcut test can try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from hounsfield.audit.coding import BRIGHTNESS, PATIENT, SITE
from hounsfield.cohort.looking import Sights
from hounsfield.core.cohort import Cohort
from hounsfield.read.technical import FREE_TEXT

SCANNER, PICTURE, BURNED_IN, FILE = "scanner and protocol", "picture", "burned in", "file"
_FAMILIES = {
    "site": SITE, "study day": SITE, "sex": PATIENT, "age": PATIENT, "age band": PATIENT, "laterality": PATIENT,
    "rows": PICTURE, "columns": PICTURE, "frames": PICTURE, "row spacing (mm)": PICTURE, "coloured": PICTURE,
    "values inverted": PICTURE, "mean brightness": BRIGHTNESS, "spread of brightness": BRIGHTNESS, "darkest (0.5%)": BRIGHTNESS,
    "brightest (99.5%)": BRIGHTNESS, "greatest value": BRIGHTNESS, "least value": BRIGHTNESS, "share black": BRIGHTNESS,
    "share white": BRIGHTNESS, "brightness at the edge": BRIGHTNESS, "brightest corner": BRIGHTNESS, "fine detail": BRIGHTNESS,
    "format": FILE, "colour mode": FILE, "JPEG quantisation": FILE, "progressive": FILE, "dots per inch": FILE,
    "colour profile": FILE, "bytes per pixel": FILE, "transfer syntax": FILE, "written by": FILE, "SpecificCharacterSet": FILE,
    "LossyImageCompression": FILE, "SOPClassUID": FILE,
}  # fmt: skip
_KINDS = ("text", "marker", "line", "border")
_TOGETHER = 2048


def facts_of(cohort: Cohort, sights: Sights | None) -> tuple[pl.DataFrame, dict[str, str]]:
    """Return one row of facts per usable case, in their order, and column → family.

    Columns are Float64, Boolean or String; null means that the file says nothing. Free text of the protocol is replaced by
    numbers of its values, since it could hold a name.
    """
    found: dict[str, list[pl.Series]] = {}
    height = 0
    for rows in cohort.usable.iter_slices(_TOGETHER):  # so that no more of them are dictionaries at a time
        facts = [_of_row(row) for row in rows.iter_rows(named=True)]
        if sights is not None:
            for row, seen in zip(facts, sights.facts(rows["case"].to_list()), strict=True):
                row.update(seen)
        names = dict.fromkeys([*found, *(name for row in facts for name in row)])
        for name in names:
            earlier = found.setdefault(name, [pl.Series(name, [None] * height, dtype=pl.Null)] if height else [])
            earlier.append(_typed(name, [row.get(name) for row in facts]))
        height += len(facts)
    made = {name: _hidden(name, _joined(parts)) for name, parts in found.items()}
    families = {name: _FAMILIES.get(name, BURNED_IN if name.split()[0] in _KINDS else SCANNER) for name in made}
    return pl.DataFrame(list(made.values())), families


def _of_row(row: Mapping[str, Any]) -> dict[str, Any]:
    spacing = row["spacing"]
    facts = {
        "site": row["site"], "scanner": row["scanner"], "modality": row["modality"], "body part": row["body_part"],
        "laterality": row["laterality"], "sex": row["sex"], "age": row["age"],
        "age band": None if row["age"] is not None else row["age_band"], "study day": _number(row["day"]),
        "rows": _number(row["rows"]), "columns": _number(row["columns"]), "frames": _number(sum(row["frames"])),
        "row spacing (mm)": spacing[0] if spacing else None,
    }  # fmt: skip
    return facts | _artefacts(row["artefacts"])


def _artefacts(found: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    if found is None:
        return {}
    facts: dict[str, Any] = {}
    for kind in _KINDS:
        mine = [one for one in found if one["kind"] == kind]
        facts[kind] = bool(mine)
        areas = [(one["bottom"] - one["top"]) * (one["right"] - one["left"]) for one in mine]
        facts[f"{kind} area"] = sum(areas)
        if kind in ("text", "marker"):
            facts[f"{kind} place"] = _place(mine[areas.index(max(areas))]) if mine else None
    facts["text pieces"] = float(sum(one["kind"] == "text" for one in found))
    facts["marker pieces"] = float(sum(one["kind"] == "marker" for one in found))
    return facts


def _place(one: Mapping[str, Any]) -> str:
    row, column = (one["top"] + one["bottom"]) / 2, (one["left"] + one["right"]) / 2
    return f"{('top', 'middle', 'bottom')[min(2, int(row * 3))]} {('left', 'centre', 'right')[min(2, int(column * 3))]}"


def _number(value: int | None) -> float | None:
    return None if value is None else float(value)


def _typed(name: str, values: list[Any]) -> pl.Series:
    known = [value for value in values if value is not None]
    if not known:
        return pl.Series(name, values, dtype=pl.Null)
    if all(isinstance(value, bool) for value in known):
        return pl.Series(name, values, dtype=pl.Boolean)
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in known):
        return pl.Series(name, [None if value is None else float(value) for value in values], dtype=pl.Float64)
    return pl.Series(name, [None if value is None else str(value) for value in values], dtype=pl.String)


def _joined(parts: list[pl.Series]) -> pl.Series:
    """Join parts of a column, as words where they do not agree on a type; a column without any value is of words too."""
    kinds = {part.dtype for part in parts} - {pl.Null()}
    kind = kinds.pop() if len(kinds) == 1 else pl.String()
    return pl.concat([part.cast(kind) for part in parts])


def _hidden(name: str, column: pl.Series) -> pl.Series:
    """Replace free text by the numbers of its values, which do not depend on the order of the rows."""
    if name not in FREE_TEXT:
        return column
    return pl.select(pl.lit("text ") + column.rank("dense").cast(pl.String)).to_series().alias(name)
