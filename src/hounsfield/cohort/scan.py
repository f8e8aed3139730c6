"""scan: a folder of images and a table of labels → Cohort. Nothing vanishes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from hounsfield.cohort.choosing import Chosen, Looking, Stated, choose
from hounsfield.cohort.classes import known_archive, order_labels
from hounsfield.cohort.duplicates import drop_repeated_files
from hounsfield.cohort.grouping import Draft, Grouping, by_folder, by_table, key_index, stem_of
from hounsfield.cohort.headers import Progress, Say, Walk, tidy, walk
from hounsfield.cohort.index import Aside
from hounsfield.cohort.labels import existing, read_labels
from hounsfield.cohort.looking import look
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


def scan(
    images: Path,
    labelling: Labelling | None = None,
    *,
    folds: int = 0,
    seed: int = 0,
    stated: Stated | None = None,
    looking: Looking | None = None,
    key_file: Path | None = None,
    run: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    look_progress: Progress | None = None,
    say: Say | None = None,
) -> Cohort:
    """Read every header below `images`, join the labels, put slices in order, look for artefacts, and split by patient.

    Parameters
    ----------
    images:
        A folder of any depth; or one file: a zip or tar of images, a DICOMDIR, or a MedMNIST .npz, whose own splits are
        respected.
    labelling:
        Where labels come from; without a table, from class-named folders or the archive.
    folds:
        0 for train / validation / calibration / test, or the number of folds (3 or more).
    stated:
        Centre, modality and body part, where neither files nor table name them.
    looking:
        What becomes of slices that make no volume, and whether pixels are looked at.
    run:
        The run folder, whose private part keeps what was read: an interrupted scan goes on there, and a second one
        reads only what is new or changed.
    progress, look_progress:
        Called with (done, total) while headers are read, and while pixels are looked at.
    say:
        Called with a sentence about what was found on the way, such as an index that cannot be used.

    Raises
    ------
    LabelError, SplitError, UsageError
        If there are no images, no labels match, there is one class only, or too few patients to split.
    """
    job = _Job(images, labelling or Labelling(), stated or Stated(), looking or Looking(), key_file, run, workers)
    return job.looked(_to_learn_from(job, job.walk(progress, say), folds, seed), look_progress)


def _to_learn_from(job: _Job, found: Walk, folds: int, seed: int) -> Cohort:
    how = job.how
    grouping, put_aside = _group(found, how, labelled=True)
    labels, positive, sentence = order_labels((draft.label for draft in grouping.drafts), how.positive)
    chosen = choose(grouping.drafts, found.marks, found.source, job.looking.uneven)
    order_labels((draft.label for draft in chosen.drafts), how.positive)
    placement = place(chosen.drafts, folds=folds, seed=seed)
    about = About(
        unit=grouping.unit, labels=labels, positive=positive, label_column=grouping.label_column,
        key_column=grouping.key_column, patients_from=grouping.patients_from, split_sentence=placement.sentence,
        folds=folds, seed=seed, notes=[sentence, *grouping.notes, *chosen.notes],
    )  # fmt: skip
    return job.cohort(found, grouping, chosen, placement, about, put_aside)


def scan_for_prediction(
    images: Path,
    labels: Sequence[str],
    positive: str | None,
    labelling: Labelling | None = None,
    *,
    stated: Stated | None = None,
    looking: Looking | None = None,
    key_file: Path | None = None,
    run: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    look_progress: Progress | None = None,
    say: Say | None = None,
) -> Cohort:
    """Read a folder that a finished bundle is to predict: every case becomes test, labels are optional.

    Raises
    ------
    LabelError, UsageError
        If there are no images, or the table holds labels that the bundle does not know.
    """
    job = _Job(images, labelling or Labelling(), stated or Stated(), looking or Looking(), key_file, run, workers)
    return job.looked(_to_predict(job, job.walk(progress, say), labels, positive), look_progress)


def _to_predict(job: _Job, found: Walk, labels: Sequence[str], positive: str | None) -> Cohort:
    how = job.how
    archive = all(header.kind == "npz" for header in found.headers)
    labelled = how.table is not None or archive or not _class_folders(found).isdisjoint(labels)
    grouping, put_aside = _group(found, how, labelled=labelled)
    strange = sorted({draft.label for draft in grouping.drafts if draft.label is not None} - set(labels))
    if strange:
        raise LabelError(
            f"the bundle does not know the label(s) {', '.join(strange[:5])}", where=how.table or job.images,
            fix=f"It knows: {', '.join(labels)}.",
        )  # fmt: skip
    chosen = choose(grouping.drafts, found.marks, found.source, job.looking.uneven)
    sentence = "not split: every case is predicted"
    about = About(
        unit=grouping.unit, labels=list(labels), positive=positive, label_column=grouping.label_column,
        key_column=grouping.key_column, patients_from=grouping.patients_from, split_sentence=sentence,
        notes=[*grouping.notes, *chosen.notes],
    )  # fmt: skip
    placement = Placement(["test"] * len(chosen.drafts), [None] * len(chosen.drafts), {}, sentence)
    return job.cohort(found, grouping, chosen, placement, about, put_aside)


@dataclass(frozen=True)
class _Job:
    """What both ways of scanning share. The headers of all files live no longer than `cohort`: nobody needs them beside
    the workers that look at pixels.
    """

    images: Path
    how: Labelling
    stated: Stated
    looking: Looking
    key_file: Path | None
    run: Path | None
    workers: int | None

    def walk(self, progress: Progress | None, say: Say | None) -> Walk:
        table = self.how.table
        if table is not None:
            existing(table)  # before hours of reading headers, not after
        leave_out = [table] if table else []
        found = walk(self.images, leave_out=leave_out, run=self.run, workers=self.workers, progress=progress, say=say)
        if not found.headers:
            why = Counter(one.why for one in found.aside).most_common(3)
            reasons = "; ".join(f"{count}× {reason}" for reason, count in why)
            raise UsageError(f"no images among {len(found.aside)} files: {reasons}", where=self.images)
        return found

    def cohort(
        self, found: Walk, grouping: Grouping, chosen: Chosen, placement: Placement, about: About, aside: list[Aside]
    ) -> Cohort:
        names = Pseudonyms(load_key(self.key_file))
        cohort = _assemble(found, grouping, chosen, placement, about, names, self.stated, aside)
        tidy(found, self.run)
        return cohort

    def looked(self, cohort: Cohort, progress: Progress | None) -> Cohort:
        if not self.looking.artefacts:
            return cohort
        return look(cohort, run=self.run, workers=self.workers, progress=progress)


def _group(found: Walk, how: Labelling, *, labelled: bool) -> tuple[Grouping, list[Aside]]:
    """Return the draft cases, and everything that is no part of one."""
    archive = all(header.kind == "npz" for header in found.headers)
    if how.table is not None and not archive:
        beside = found.top or how.table.parent.resolve()
        headers, aside = found.headers, found.aside
        index = key_index(headers, found.root, beside)
        table = read_labels(how.table, index, key=how.key, label=how.label)
        if table.unit != "image":
            headers, aside = _without_repeated_files(found)
            if len(headers) < len(found.headers):
                index = key_index(headers, found.root, beside)
        return by_table(headers, index, table, found.root, how.patient_pattern), aside
    headers, aside = _without_repeated_files(found)
    grouping = by_folder(headers, found.root, how.patient_pattern, labelled=labelled)
    if how.table is not None:
        grouping.notes.append("archives carry their own labels; the label table was not used")
    if labelled and not grouping.drafts:
        raise LabelError(
            "no labels: there is no label table, and the images do not lie in class-named folders",
            where=found.root, fix="Give a CSV with --labels.",
        )  # fmt: skip
    return grouping, aside


def _without_repeated_files(found: Walk) -> tuple[list[Header], list[Aside]]:
    headers, repeated = drop_repeated_files(found.headers, found.marks)
    why = "the same DICOM object (SOPInstanceUID), a second time"
    return headers, [*found.aside, *(Aside(found.place(header.source.path), why) for header in repeated)]


def _assemble(
    found: Walk, grouping: Grouping, chosen: Chosen, placement: Placement, about: About, names: Pseudonyms,
    stated: Stated, aside: list[Aside],
) -> Cohort:  # fmt: skip
    rows, crosswalk = _Rows(SCHEMA), _Rows(CROSSWALK)
    for index, draft in enumerate(chosen.drafts):
        keys = _crosswalk(crosswalk, draft, found, names)
        rows.add(
            _row(draft, keys, names, stated), split=placement.splits[index], fold=placement.folds[index],
            quarantine=placement.quarantine.get(index),
        )  # fmt: skip
    away = [
        (draft, why if first is None else f"{why}; it repeats {_case_of(first, names)}")
        for draft, why, first in chosen.away
    ]
    away += [(draft, "no label" if about.label_column else "not asked for") for draft in grouping.unlabelled]
    for draft, why in away:
        keys = _crosswalk(crosswalk, draft, found, names)
        rows.add(_row(draft, keys, names, stated), split=None, fold=None, quarantine=why)
    aside = aside + [Aside(found.place(header.source.path), why) for header, why in chosen.aside]
    for one in aside:
        crosswalk.add({"key": names.of("file", one.place), "path": found.location(one.place)})
    table, places = rows.table(), crosswalk.table()
    if places["key"].n_unique() < places.height:  # a place with two reasons, or an image and its second member in a zip
        places = places.unique("key", maintain_order=True)
    return Cohort(table, about, _quarantine(grouping, table, aside, names), places, found.root)


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


def _row(draft: Draft, keys: list[str], names: Pseudonyms, stated: Stated) -> dict[str, object]:
    first = draft.headers[0]
    facts = draft.facts
    known = known_archive(first.source.path.stem) if first.kind == "npz" else None
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
        "age": _number(facts.get("age")) if "age" in facts else first.age,
        "rows": first.rows,
        "columns": first.columns,
        "spacing": list(first.spacing) if first.spacing else None,
        "label": draft.label,
    }


def _crosswalk(crosswalk: _Rows, draft: Draft, found: Walk, names: Pseudonyms) -> list[str]:
    """Add the files of a case to the crosswalk; return their pseudonyms."""
    case, keys = _case_of(draft, names), []
    for header in draft.headers:
        place, member = found.place(header.source.path), header.source.member
        keys.append(names.of("file", f"{place}#{member}" if member else place))
        crosswalk.add({
            "key": keys[-1], "case": case, "path": found.location(place), "member": member, "patient_id": draft.patient,
            "study_uid": header.study_uid, "series_uid": header.series_uid,
        })  # fmt: skip
    return keys


def _case_of(draft: Draft, names: Pseudonyms) -> str:
    return names.of("case", draft.identity)


def _sex(text: str | None) -> str | None:
    return {"f": "F", "m": "M", "female": "F", "male": "M", "o": "O", "other": "O"}.get((text or "").strip().lower())


def _number(text: str | None) -> float | None:
    try:
        return float((text or "").strip().rstrip("Yy"))
    except ValueError:
        return None


def _class_folders(found: Walk) -> set[str]:
    parts = (found.place(header.source.path).partition("/") for header in found.headers)
    return {folder for folder, slash, _ in parts if slash}
