"""Draft cases → the tables of a Cohort: pseudonyms in place of names, the private crosswalk, the quarantine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date

import polars as pl

from hounsfield.cohort.choosing import Chosen, Stated
from hounsfield.cohort.classes import known_archive
from hounsfield.cohort.grouping import Draft, Grouping, stem_of
from hounsfield.cohort.headers import Walk
from hounsfield.cohort.index import Aside
from hounsfield.cohort.pseudonyms import Pseudonyms
from hounsfield.core.cohort import CROSSWALK, QUARANTINE, SCHEMA, About, Cohort, age_band

_DATE = re.compile(r"(\d{4})[-./]?(\d{2})[-./]?(\d{2})(?:\D.*)?")


def assemble(
    found: Walk, grouping: Grouping, chosen: Chosen, about: About, names: Pseudonyms, stated: Stated, aside: list[Aside]
) -> tuple[Cohort, dict[str, str]]:
    """Return a cohort that is not split yet (all its cases are in train), and case → mark of its one file.

    `aside` is what was put aside before there were cases.
    """
    rows, crosswalk, marks = _Rows(SCHEMA), _Rows(CROSSWALK), {}
    first_day = min((day for day in map(_day, chosen.drafts) if day is not None), default=0)
    for draft in chosen.drafts:
        keys = _crosswalk(crosswalk, draft, found, names)
        row = _row(draft, keys, names, stated, first_day)
        rows.add(row, split="train", group=row["patient"])
        mark = found.marks.of_case(draft.headers)
        if mark is not None:
            marks[str(row["case"])] = mark
    for draft, why in [*chosen.away, *grouping.unlabelled]:
        keys = _crosswalk(crosswalk, draft, found, names)
        rows.add(_row(draft, keys, names, stated, first_day), quarantine=why)
    aside = aside + [Aside(found.place(header.source.path), why) for header, why in chosen.aside]
    for one in aside:
        crosswalk.add({"key": names.of("file", one.place), "path": found.location(one.place)})
    table, places = rows.table(), crosswalk.table()
    if places["key"].n_unique() < places.height:  # a place with two reasons, or an image and its second member in a zip
        places = places.unique("key", maintain_order=True)
    quarantine = _quarantine(grouping, table, aside, names)
    return Cohort(table, about, quarantine, crosswalk=places, root=found.root), marks


class _Rows:
    """A table that grows by rows and is kept by columns: a hundred thousand rows are a few lists."""

    def __init__(self, schema: Mapping[str, pl.DataType]) -> None:
        self._schema = schema
        self._columns: dict[str, list[object]] = {name: [] for name in schema}

    def add(self, row: Mapping[str, object], **more: object) -> None:
        for name, values in self._columns.items():
            values.append(more[name] if name in more else row.get(name))

    def table(self) -> pl.DataFrame:
        """Return the rows as a table, and forget them."""
        return pl.DataFrame([pl.Series(name, self._columns.pop(name), kind) for name, kind in self._schema.items()])


def _quarantine(grouping: Grouping, table: pl.DataFrame, aside: list[Aside], names: Pseudonyms) -> pl.DataFrame:
    listed = _Rows(QUARANTINE)
    for one in aside:
        listed.add({"item": names.of("file", one.place), "kind": one.kind, "stage": "scan", "reason": one.why})
    for case, why in table.filter(pl.col("quarantine").is_not_null()).select("case", "quarantine").iter_rows():
        listed.add({"item": case, "kind": "case", "stage": "scan", "reason": why})
    put_aside = _named_by({key for _, key in grouping.unmatched_rows}, aside)
    for number, key in grouping.unmatched_rows:
        why = "its image is in quarantine" if key in put_aside else "no image has this key"
        listed.add({"item": f"row {number} of the label table", "kind": "label", "stage": "scan", "reason": why})
    for number, why in grouping.left_over:
        listed.add({"item": f"row {number} of the label table", "kind": "label", "stage": "scan", "reason": why})
    return listed.table()


def _named_by(keys: set[str], aside: list[Aside]) -> set[str]:
    """Return the keys that name one of these places: its path, the end of its path, or its stem."""
    found: set[str] = set()
    for one in aside if keys else ():
        found |= keys & {stem_of(one.place)}
        end = one.place
        while end:
            found |= keys & {end}
            end = end.partition("/")[2]
    return found


def _row(draft: Draft, keys: list[str], names: Pseudonyms, stated: Stated, first_day: int) -> dict[str, object]:
    first = draft.headers[0]
    facts = draft.facts
    known = known_archive(first.source.path.stem) if first.kind == "npz" else None
    age = _number(facts.get("age")) if "age" in facts else first.age
    day = _day(draft)
    maker = " ".join(part for part in (first.manufacturer, first.model) if part)
    return {
        "case": _case_of(draft, names),
        "patient": names.of("patient", draft.patient),
        "study": names.of("study", first.study_uid) if first.study_uid else None,
        "series": names.of("series", first.series_uid) if first.series_uid else None,
        "files": keys,
        "frames": [header.frames for header in draft.headers],
        "stacks": list(draft.stacks or (sum(header.frames for header in draft.headers),)),
        "modality": known.modality if known else first.modality or stated.modality,
        "body_part": known.body_part if known else first.body_part or stated.body_part,
        "laterality": first.laterality,
        "site": facts.get("site") or stated.site,
        "scanner": facts.get("scanner") or maker or None,
        "sex": _sex(facts.get("sex")) or first.sex,
        "age": age,
        "age_band": facts.get("age_band") or age_band(age),
        "day": None if day is None else day - first_day,
        "rows": first.rows,
        "columns": first.columns,
        "spacing": list(first.spacing) if first.spacing else None,
        "region": list(draft.interest.numbers) if draft.interest.numbers else None,
        "mask": names.of("file", draft.interest.mask) if draft.interest.mask else None,
        "label": draft.label,
        "states": list(draft.states) if draft.states is not None else None,
        "given": draft.given,
    }


def _crosswalk(crosswalk: _Rows, draft: Draft, found: Walk, names: Pseudonyms) -> list[str]:
    """Add the files of a case, and its mask, to the crosswalk; return the pseudonyms of its files."""
    case, keys = _case_of(draft, names), []
    for header in draft.headers:
        place, member = found.place(header.source.path), header.source.member
        keys.append(names.of("file", f"{place}#{member}" if member else place))
        crosswalk.add({
            "key": keys[-1], "case": case, "path": found.location(place), "member": member, "patient_id": draft.patient,
            "study_uid": header.study_uid, "series_uid": header.series_uid,
        })  # fmt: skip
    mask = draft.interest.mask
    if mask is not None:  # of no case: several may share one
        crosswalk.add({"key": names.of("file", mask), "path": found.location(mask)})
    return keys


def _case_of(draft: Draft, names: Pseudonyms) -> str:
    return names.of("case", draft.identity)


def _sex(text: str | None) -> str | None:
    return {"f": "F", "m": "M", "female": "F", "male": "M", "o": "O", "other": "O"}.get((text or "").strip().lower())


def _day(draft: Draft) -> int | None:
    """Return the day of the study as a number: by the label table, else the earliest that the files name."""
    named = draft.facts.get("date")
    dates = [named] if named else [header.study_date for header in draft.headers]
    return min((day for day in map(_ordinal, dates) if day is not None), default=None)


def _ordinal(text: str | None) -> int | None:
    found = _DATE.fullmatch((text or "").strip())
    try:
        return date(int(found[1]), int(found[2]), int(found[3])).toordinal() if found else None
    except ValueError:
        return None


def _number(text: str | None) -> float | None:
    try:
        return float((text or "").strip().rstrip("Yy"))
    except ValueError:
        return None
