"""scan: a folder of images and a table of labels → Cohort. Headers only; nothing vanishes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from hounsfield.cohort.classes import known_archive, order_labels
from hounsfield.cohort.duplicates import drop_repeated_files, repeated_cases
from hounsfield.cohort.grouping import Draft, Grouping, by_folder, by_table, key_index, stem_of
from hounsfield.cohort.headers import Progress, Walk, content_marks, walk
from hounsfield.cohort.labels import existing, read_labels
from hounsfield.cohort.place import Placement, place
from hounsfield.cohort.pseudonyms import Pseudonyms, load_key
from hounsfield.core.cohort import CROSSWALK, QUARANTINE, SCHEMA, About, Cohort
from hounsfield.errors import LabelError, UsageError
from hounsfield.read import Header


@dataclass(frozen=True)
class Labelling:
    """How labels are found: columns of the table, the positive label, and where patients come from."""

    table: Path | None = None
    key: str | None = None
    label: str | None = None
    positive: str | None = None
    patient_pattern: str | None = None


@dataclass(frozen=True)
class Stated:
    """What the user knows of all images and their files do not say. Pictures (PNG, JPEG) say neither."""

    site: str | None = None
    modality: str | None = None
    body_part: str | None = None


def scan(
    images: Path,
    labelling: Labelling | None = None,
    *,
    folds: int = 0,
    seed: int = 0,
    stated: Stated | None = None,
    key_file: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Cohort:
    """Read every header below `images`, join the labels, and split by patient.

    Parameters
    ----------
    images:
        A folder of any depth, or one MedMNIST .npz, whose own splits are respected.
    labelling:
        Where labels come from; without a table, from class-named folders or the archive.
    folds:
        0 for train / validation / calibration / test, or the number of folds (3 or more).
    stated:
        Centre, modality and body part, where neither files nor table name them.

    Raises
    ------
    LabelError, SplitError, UsageError
        If there are no images, no labels match, there is one class only, or too few patients to split.
    """
    how = labelling or Labelling()
    found, grouping, put_aside, marks = _collect(images, how, workers, progress, labelled=True)
    labels, positive, sentence = order_labels((draft.label for draft in grouping.drafts), how.positive)
    drafts, leaks = _without_duplicates(grouping, marks)
    order_labels((draft.label for draft in drafts), how.positive)
    placement = place(drafts, folds=folds, seed=seed)
    about = About(
        unit=grouping.unit, labels=labels, positive=positive, label_column=grouping.label_column,
        key_column=grouping.key_column, patients_from=grouping.patients_from, split_sentence=placement.sentence,
        folds=folds, seed=seed, notes=[sentence, *grouping.notes],
    )  # fmt: skip
    return _assemble(
        found, grouping, drafts, placement, about, Pseudonyms(load_key(key_file)), stated or Stated(), put_aside, leaks
    )


def scan_for_prediction(
    images: Path,
    labels: Sequence[str],
    positive: str | None,
    labelling: Labelling | None = None,
    *,
    stated: Stated | None = None,
    key_file: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Cohort:
    """Read a folder that a finished bundle is to predict: every case becomes test, labels are optional.

    Raises
    ------
    LabelError, UsageError
        If there are no images, or the table holds labels that the bundle does not know.
    """
    how = labelling or Labelling()
    folders = _class_folders(images) if how.table is None else set()
    labelled = how.table is not None or bool(folders & set(labels)) or images.suffix == ".npz"
    found, grouping, put_aside, marks = _collect(images, how, workers, progress, labelled=labelled)
    strange = sorted({draft.label for draft in grouping.drafts if draft.label is not None} - set(labels))
    if strange:
        raise LabelError(
            f"the bundle does not know the label(s) {', '.join(strange[:5])}", where=how.table or images,
            fix=f"It knows: {', '.join(labels)}.",
        )  # fmt: skip
    drafts, leaks = _without_duplicates(grouping, marks)
    sentence = "not split: every case is predicted"
    about = About(
        unit=grouping.unit, labels=list(labels), positive=positive, label_column=grouping.label_column,
        key_column=grouping.key_column, patients_from=grouping.patients_from, split_sentence=sentence, notes=grouping.notes,
    )  # fmt: skip
    placement = Placement(["test"] * len(drafts), [None] * len(drafts), {}, sentence)
    return _assemble(
        found, grouping, drafts, placement, about, Pseudonyms(load_key(key_file)), stated or Stated(), put_aside, leaks
    )


Aside = list[tuple[str, str]]
Marks = dict[tuple[str, str | None], str]


def _collect(
    images: Path, how: Labelling, workers: int | None, progress: Progress | None, *, labelled: bool
) -> tuple[Walk, Grouping, Aside, Marks]:
    if how.table is not None:
        existing(how.table)  # before hours of reading headers, not after
    tables = [how.table] if how.table else []
    found = walk(images, leave_out=tables, workers=workers, progress=progress)
    if not found.headers:
        reasons = "; ".join(f"{count}× {why}" for why, count in Counter(why for _, why in found.aside).most_common(3))
        raise UsageError(f"no images among {len(found.aside)} files: {reasons}", where=images)
    marks = content_marks(found.headers)
    aside = [(_place(found, path), why) for path, why in found.aside]
    archive = all(header.kind == "npz" for header in found.headers)
    if how.table is not None and not archive:
        index = key_index(found.headers, found.root, how.table.parent)
        table = read_labels(how.table, index, key=how.key, label=how.label)
        headers = found.headers
        if table.unit != "image":
            headers, aside = _without_repeated_files(found, marks, aside)
            index = key_index(headers, found.root, how.table.parent)
        grouping = by_table(headers, index, table, found.root, how.patient_pattern)
    else:
        headers, aside = _without_repeated_files(found, marks, aside)
        grouping = by_folder(headers, found.root, how.patient_pattern, labelled=labelled)
        if how.table is not None:
            grouping.notes.append("archives carry their own labels; the label table was not used")
        if labelled and not grouping.drafts:
            raise LabelError(
                "no labels: there is no label table, and the images do not lie in class-named folders",
                where=images, fix="Give a CSV with --labels.",
            )  # fmt: skip
    placed = {
        (str(found.headers[index].source.path), found.headers[index].source.member): mark
        for index, mark in marks.items()
    }
    return found, grouping, aside, placed


def _without_repeated_files(found: Walk, marks: dict[int, str], aside: Aside) -> tuple[list[Header], Aside]:
    headers, repeated = drop_repeated_files(found.headers, marks)
    why = "the same DICOM object (SOPInstanceUID), a second time"
    return headers, aside + [(_place(found, found.headers[index].source.path), why) for index, _ in repeated]


def _without_duplicates(grouping: Grouping, marks: Marks) -> tuple[list[Draft], dict[int, tuple[int, str]]]:
    repeats = repeated_cases(grouping.drafts, marks)
    return [draft for index, draft in enumerate(grouping.drafts) if index not in repeats], repeats


def _assemble(
    found: Walk, grouping: Grouping, drafts: list[Draft], placement: Placement, about: About, names: Pseudonyms,
    stated: Stated, aside: Aside, repeats: dict[int, tuple[int, str]],
) -> Cohort:  # fmt: skip
    kinds: dict[int, str] = {index: reason for index, reason in placement.quarantine.items()}
    rows, crosswalk = [], []
    for index, draft in enumerate(drafts):
        row = _row(draft, found, names, stated) | {
            "split": placement.splits[index], "fold": placement.folds[index], "quarantine": kinds.get(index),
        }  # fmt: skip
        rows.append(row)
        crosswalk += _crosswalk(draft, row["case"], found, names)
    away = [
        (grouping.drafts[index], f"{why}; it repeats {_case_of(grouping.drafts[first], names)}")
        for index, (first, why) in repeats.items()
    ]
    away += [(draft, "no label" if about.label_column else "not asked for") for draft in grouping.unlabelled]
    quarantine = [(names.of("file", place), "file", "scan", why) for place, why in aside]
    crosswalk += [_file_entry(names, place) for place, _ in aside]
    for draft, why in away:
        rows.append(_row(draft, found, names, stated) | {"split": None, "fold": None, "quarantine": why})
        crosswalk += _crosswalk(draft, rows[-1]["case"], found, names)
    quarantine += [(str(row["case"]), "case", "scan", str(row["quarantine"])) for row in rows if row["quarantine"]]
    put_aside = {place for place, _ in aside}
    for number, key in grouping.unmatched_rows:
        known = any(place == key or place.endswith(f"/{key}") or stem_of(place) == key for place in put_aside)
        why = "its image is in quarantine" if known else "no image has this key"
        quarantine.append((f"row {number} of the label table", "label", "scan", why))
    table = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    return Cohort(
        table, about, pl.DataFrame(quarantine, schema=QUARANTINE, orient="row"),
        pl.DataFrame(crosswalk, schema=CROSSWALK, orient="row").unique("key", maintain_order=True), found.root.resolve(),
    )  # fmt: skip


def _row(draft: Draft, found: Walk, names: Pseudonyms, stated: Stated) -> dict[str, object]:
    first = draft.headers[0]
    facts = draft.facts
    known = known_archive(first.source.path.stem) if first.kind == "npz" else None
    maker = " ".join(part for part in (first.manufacturer, first.model) if part)
    return {
        "case": _case_of(draft, names),
        "patient": names.of("patient", draft.patient),
        "study": names.of("study", first.study_uid) if first.study_uid else None,
        "series": names.of("series", first.series_uid) if first.series_uid else None,
        "files": [names.of("file", _source_place(found, header)) for header in draft.headers],
        "frames": [header.frames for header in draft.headers],
        "modality": known.modality if known else first.modality or stated.modality,
        "body_part": known.body_part if known else first.body_part or stated.body_part,
        "laterality": first.laterality,
        "site": facts.get("site") or stated.site,
        "scanner": facts.get("scanner") or maker or None,
        "sex": _sex(facts.get("sex")) or first.sex,
        "age": _number(facts.get("age")) if "age" in facts else first.age,
        "rows": first.rows,
        "columns": first.columns,
        "spacing": list(first.spacing) if first.spacing else None,
        "label": draft.label,
    }


def _crosswalk(draft: Draft, case: object, found: Walk, names: Pseudonyms) -> list[dict[str, object]]:
    return [
        {
            "key": names.of("file", _source_place(found, header)), "case": case,
            "path": _place(found, header.source.path), "member": header.source.member, "patient_id": draft.patient,
            "study_uid": header.study_uid, "series_uid": header.series_uid,
        }
        for header in draft.headers
    ]  # fmt: skip


def _file_entry(names: Pseudonyms, place: str) -> dict[str, object]:
    blank = dict.fromkeys(("case", "member", "patient_id", "study_uid", "series_uid"))
    return {"key": names.of("file", place), "path": place, **blank}


def _case_of(draft: Draft, names: Pseudonyms) -> str:
    return names.of("case", draft.identity)


def _place(found: Walk, path: Path) -> str:
    return path.relative_to(found.root).as_posix()


def _source_place(found: Walk, header: Header) -> str:
    place = _place(found, header.source.path)
    return f"{place}#{header.source.member}" if header.source.member else place


def _sex(text: str | None) -> str | None:
    return {"f": "F", "m": "M", "female": "F", "male": "M", "o": "O", "other": "O"}.get((text or "").strip().lower())


def _number(text: str | None) -> float | None:
    try:
        return float((text or "").strip().rstrip("Yy"))
    except ValueError:
        return None


def _class_folders(images: Path) -> set[str]:
    return {path.name for path in images.iterdir() if path.is_dir()} if images.is_dir() else set()
