"""scan: a folder of images and a table of labels → Cohort. Nothing vanishes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import polars as pl

from hounsfield.cohort.alike.pairs import pairs_among
from hounsfield.cohort.alike.same import drop_repeated_files
from hounsfield.cohort.assemble import assemble
from hounsfield.cohort.choosing import Looking, Stated, choose
from hounsfield.cohort.deciding import decide_labels
from hounsfield.cohort.duplicates import settle
from hounsfield.cohort.findings import Blank, Uncertain, settled
from hounsfield.cohort.grouping import Draft, Grouping, by_folder, by_table, key_index
from hounsfield.cohort.headers import Progress, Say, Walk, tidy, walk
from hounsfield.cohort.index import Aside
from hounsfield.cohort.labels import existing, read_labels, read_table
from hounsfield.cohort.looking import Sights, look
from hounsfield.cohort.looks import open_memory
from hounsfield.cohort.place import Placement, Splitting, place
from hounsfield.cohort.pseudonyms import Pseudonyms, load_key
from hounsfield.cohort.regions import mask_places, masks_below, with_mask, without_masks
from hounsfield.core.cohort import ABSENT, PRESENT, About, Cohort, Leaks
from hounsfield.errors import LabelError, UsageError
from hounsfield.read import Header

Bars = Callable[[str], Progress]


@dataclass(frozen=True)
class Labelling:
    """How labels are found, and where patients come from.

    Attributes
    ----------
    table:
        CSV, TSV or Parquet; without it labels come from class-named folders, or from the archive.
    key, label:
        Columns of the table; several label columns mean that a case may have several labels.
    positive:
        The label that means disease, of two.
    uncertain:
        What an uncertain label counts as: "unknown", "present", "absent", or "class" (a class of its own).
    blank:
        Whether an empty cell is "unknown" or "absent", where a case may have several labels.
    patient_pattern:
        Regular expression on the path; its first group names the patient.
    masks:
        Folder of lesion masks, each with the path of its image below the images (`regions.masks_below`).
    """

    table: Path | None = None
    key: str | None = None
    label: tuple[str, ...] = ()
    positive: str | None = None
    uncertain: Uncertain = "unknown"
    blank: Blank = "unknown"
    patient_pattern: str | None = None
    masks: Path | None = None

    def __post_init__(self) -> None:
        if self.uncertain not in get_args(Uncertain):
            raise UsageError(f"--uncertain {self.uncertain!r}", fix=f"Choose {', '.join(get_args(Uncertain))}.")
        if self.blank not in get_args(Blank):
            raise UsageError(f"--blank {self.blank!r}", fix=f"Choose {' or '.join(get_args(Blank))}.")


def scan(
    images: Path,
    labelling: Labelling | None = None,
    *,
    splitting: Splitting | None = None,
    stated: Stated | None = None,
    looking: Looking | None = None,
    key_file: Path | None = None,
    run: Path | None = None,
    workers: int | None = None,
    progress: Bars | None = None,
    say: Say | None = None,
) -> Cohort:
    """Read every header below `images`, join the labels, put slices in order, look at the pixels, and split by patient.

    Parameters
    ----------
    images:
        A folder of any depth; or one file: a zip or tar of images, a DICOMDIR, or a MedMNIST .npz, whose own splits are
        respected.
    labelling:
        Where labels come from; without a table, from class-named folders or the archive.
    splitting:
        How the cohort is divided, and what is done about leaks.
    stated:
        Centre, modality and body part, where neither files nor table name them.
    looking:
        What becomes of slices that make no volume, and whether pixels are looked at.
    run:
        The run folder, whose private part keeps what was read and seen: an interrupted scan goes on there, and a second
        one reads only what is new or changed.
    progress:
        Called with the name of a long step; returns what to call with (done, total).
    say:
        Called with a sentence about what was found on the way, such as an index that cannot be used.

    Raises
    ------
    LabelError, SplitError, UsageError
        If there are no images, no labels match, there is one class only, too few patients to split, or a leak that is
        to be refused.
    """
    job = _Job(
        images, labelling or Labelling(), stated or Stated(), looking or Looking(), key_file, run, workers, progress
    )
    how = splitting or Splitting()
    cohort, marks = _to_learn_from(job, job.walk(say, how.column), how)
    given = how.uses_given(cohort.usable["given"])
    if job.looking.pixels:
        place(cohort.usable, how)  # what cannot be split is said before all pixels are decoded, not after
    cohort = job.without_repeats(cohort, marks, given=given, leaks=how.leaks)
    rows = cohort.usable
    _still_labelled(cohort)
    return _placed(cohort, rows, place(rows, how))


def _to_learn_from(job: _Job, found: Walk, splitting: Splitting) -> tuple[Cohort, dict[str, str]]:
    how = job.how
    grouping, put_aside = _group(found, how, labelled=True, split=splitting.column)
    decided, grouping = decide_labels(grouping, how.positive, how.uncertain)
    chosen = choose(grouping.drafts, found.source, job.looking.uneven)
    about = About(
        unit=grouping.unit, labels=decided.labels, multi_label=decided.multi_label, positive=decided.positive,
        label_column=grouping.label_column, key_column=grouping.key_column, patients_from=grouping.patients_from,
        seed=splitting.seed, leaks="unchecked", notes=[*decided.notes, *grouping.notes, *chosen.notes],
    )  # fmt: skip
    return job.cohort(found, lambda names: assemble(found, grouping, chosen, about, names, job.stated, put_aside))


def _placed(cohort: Cohort, rows: pl.DataFrame, placement: Placement) -> Cohort:
    """Return the cohort with the splits and folds of its usable rows."""
    made = pl.DataFrame(
        {"case": rows["case"], "to": placement.splits, "parts": placement.folds},
        schema={"case": pl.String, "to": pl.String, "parts": pl.List(pl.Int64)},
    )
    table = cohort.table.join(made, on="case", how="left", maintain_order="left")
    table = table.with_columns(split=pl.col("to"), folds=pl.col("parts")).select(cohort.table.columns)
    update = {
        "split_sentence": " ".join([placement.sentence, *_kept_together(cohort, placement)]),
        "folds": placement.count,
        "repeats": placement.how.repeats if placement.count else 1,
    }
    about = cohort.about.model_copy(update=update)
    away = {rows["case"][row]: why for row, why in placement.quarantine.items()}
    # First put aside, then checked: a case without a part is no case of the cohort.
    unchecked = replace(cohort, about=cohort.about.model_copy(update={"leaks": "unchecked"})).put_aside(
        away, stage="scan"
    )
    table = table.with_columns(quarantine=unchecked.table["quarantine"])
    return replace(unchecked, table=table, about=about)


def _kept_together(cohort: Cohort, placement: Placement) -> list[str]:
    """Return what the sentence on the split tells of leaks and of pictures that are never parted."""
    told = []
    leaks = cohort.table["quarantine"].str.contains("(a leak)", literal=True).sum()
    leaks += sum("(a leak)" in why for why in placement.quarantine.values())
    if leaks:
        told.append(f"{leaks} case(s) would have leaked from one part into another, and were put aside.")
    if cohort.about.leaks_allowed:
        told.append(f"{cohort.about.leaks_allowed} case(s) leak from one part into another, as was allowed.")
    joined = cohort.usable["patient"].n_unique() - cohort.usable["group"].n_unique()
    if joined:
        told.append(f"Patients who share a picture stay together ({joined} joined to another).")
    return told


def _still_labelled(cohort: Cohort) -> None:
    """Check that no label was lost with the cases that were put aside."""
    if not cohort.about.multi_label:
        left = set(cohort.usable["label"])
        lost = [name for name in cohort.about.labels if name not in left]
        if lost:
            raise LabelError(
                f"no usable case is labelled {lost[0]!r} any more: all were put aside", fix=_most_reasons(cohort)
            )
        return
    states = cohort.usable["states"].to_list()
    for number, name in enumerate(cohort.about.labels):
        if {PRESENT, ABSENT} - {row[number] for row in states}:
            raise LabelError(
                f"the usable cases no longer show {name!r} both present and absent", fix=_most_reasons(cohort)
            )


def _most_reasons(cohort: Cohort) -> str:
    told = [f"{count}× {why}" for count, kind, why in cohort.reasons() if kind == "case"]
    return f"The reasons: {'; '.join(told[:3])}."


def scan_for_prediction(
    images: Path,
    labels: Sequence[str],
    positive: str | None,
    labelling: Labelling | None = None,
    *,
    multi_label: bool = False,
    stated: Stated | None = None,
    looking: Looking | None = None,
    key_file: Path | None = None,
    run: Path | None = None,
    workers: int | None = None,
    progress: Bars | None = None,
    say: Say | None = None,
) -> Cohort:
    """Read a folder that a finished bundle is to predict: every case becomes test, labels are optional.

    Where a case may have several labels (`multi_label`), its states stand in the order of `labels`; a label that the table
    lacks is not known.

    Raises
    ------
    LabelError, UsageError
        If there are no images, or the table holds labels that the bundle does not know.
    """
    job = _Job(
        images, labelling or Labelling(), stated or Stated(), looking or Looking(), key_file, run, workers, progress
    )
    cohort, marks = _to_predict(job, job.walk(say, None), labels, positive, multi_label)
    cohort = job.without_repeats(cohort, marks, given=False, leaks="drop")
    about = cohort.about.model_copy(update={"split_sentence": "not split: every case is predicted"})
    test = pl.when(pl.col("split").is_not_null()).then(pl.lit("test")).alias("split")
    return replace(cohort, table=cohort.table.with_columns(test), about=about)


def _to_predict(
    job: _Job, found: Walk, labels: Sequence[str], positive: str | None, several: bool
) -> tuple[Cohort, dict[str, str]]:
    how = job.how
    archive = all(header.kind == "npz" for header in found.headers)
    # Folders name one class of a case, which says nothing of the labels that it may have beside.
    in_folders = not several and not _class_folders(found).isdisjoint(labels)
    labelled = how.table is not None or archive or in_folders
    grouping, put_aside = _group(found, how, labelled=labelled, known=labels if several else ())
    # With several, only an archive gives a class: it says nothing of them either.
    strange = {draft.label for draft in grouping.drafts if draft.label is not None and not several} - set(labels)
    strange |= set(grouping.findings) - set(labels if several else ())
    if strange:
        raise LabelError(
            f"the bundle does not know the label(s) {', '.join(sorted(strange)[:5])}",
            where=how.table or job.images, fix=f"It knows: {', '.join(labels)}.",
        )  # fmt: skip
    if several:
        drafts = [_in_order(draft, grouping.findings, labels, how.uncertain) for draft in grouping.drafts]
        grouping = replace(grouping, drafts=drafts)
    chosen = choose(grouping.drafts, found.source, job.looking.uneven)
    about = About(
        unit=grouping.unit, labels=list(labels), multi_label=several, positive=positive, label_column=grouping.label_column,
        key_column=grouping.key_column, patients_from=grouping.patients_from, leaks="unchecked",
        notes=[*grouping.notes, *chosen.notes],
    )  # fmt: skip
    return job.cohort(found, lambda names: assemble(found, grouping, chosen, about, names, job.stated, put_aside))


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
    progress: Bars | None

    def bar(self, what: str) -> Progress | None:
        return None if self.progress is None else self.progress(what)

    def walk(self, say: Say | None, split: str | None) -> Walk:
        table = self.how.table
        if table is not None:
            existing(table)  # before hours of reading headers, not after
        elif split is not None or self.how.label or self.how.key:
            raise UsageError("columns are named, and there is no label table", fix="Give it with --labels.")
        bar = self.bar("reading headers")
        leave_out = [table] if table else []
        found = walk(self.images, leave_out=leave_out, run=self.run, workers=self.workers, progress=bar, say=say)
        if not found.headers:
            why = Counter(one.why for one in found.aside).most_common(3)
            reasons = "; ".join(f"{count}× {reason}" for reason, count in why)
            raise UsageError(f"no images among {len(found.aside)} files: {reasons}", where=self.images)
        return found

    def cohort(
        self, found: Walk, make: Callable[[Pseudonyms], tuple[Cohort, dict[str, str]]]
    ) -> tuple[Cohort, dict[str, str]]:
        made = make(Pseudonyms(load_key(self.key_file)))
        tidy(found, self.run)
        return made

    def without_repeats(self, cohort: Cohort, marks: dict[str, str], *, given: bool, leaks: Leaks) -> Cohort:
        """Look at the pixels, put repeated pictures and leaks aside, and join patients who share a picture."""
        if not self.looking.pixels:
            return self._settled(cohort, marks, None, given, leaks)
        with open_memory(self.run) as memory:
            bar = self.bar("looking at pixels")
            cohort, sights = look(cohort, memory, workers=self.workers, progress=bar)
            return self._settled(cohort, marks, sights, given, leaks)

    def _settled(
        self, cohort: Cohort, marks: dict[str, str], sights: Sights | None, given: bool, leaks: Leaks
    ) -> Cohort:
        cases = cohort.usable["case"].to_list()
        if not cases:
            reasons = Counter(cohort.table["quarantine"].drop_nulls()).most_common(3)
            raise LabelError(
                "no case can be used: " + "; ".join(f"{count}× {why}" for why, count in reasons), where=self.images
            )
        same, notes = pairs_among(cases, marks, sights, self.bar("comparing pictures"))
        about = cohort.about.model_copy(update={"notes": [*cohort.about.notes, *notes]})
        return settle(replace(cohort, about=about), same, given=given, leaks=leaks)


def _in_order(draft: Draft, names: Sequence[str], labels: Sequence[str], uncertain: Uncertain) -> Draft:
    """Return the draft with a state for each of `labels`, where its own are of `names`."""
    if draft.states is None:
        return replace(draft, label=None)
    known = dict(zip(names, settled(draft.states, uncertain), strict=True))
    return replace(draft, states=tuple(known.get(label) for label in labels))


def _group(
    found: Walk, how: Labelling, *, labelled: bool, split: str | None = None, known: Sequence[str] = ()
) -> tuple[Grouping, list[Aside]]:
    """Return the draft cases, and everything that is no part of one."""
    if how.masks is None:
        return _grouped(found, how, labelled=labelled, split=split, known=known)
    masks = masks_below(how.masks, found)
    found, _ = without_masks(found, masks)
    grouping, aside = _grouped(found, how, labelled=labelled, split=split, known=known)
    drafts = [
        replace(
            draft, interest=with_mask(draft.interest, [found.place(one.source.path) for one in draft.headers], masks)
        )
        for draft in grouping.drafts
    ]
    used = {draft.interest.mask for draft in drafts}
    marked = sum(draft.interest.mask is not None for draft in drafts)
    notes = [*grouping.notes, f"{marked} of {len(drafts)} cases have a mask in the folder of masks"]
    idle = [Aside(place, "a mask, and no case has its name") for place in sorted(set(masks.values()) - used)]
    return replace(grouping, drafts=drafts, notes=notes), [*aside, *idle]


def _grouped(
    found: Walk, how: Labelling, *, labelled: bool, split: str | None, known: Sequence[str]
) -> tuple[Grouping, list[Aside]]:
    archive = all(header.kind == "npz" for header in found.headers)
    if how.table is not None and not archive:
        beside = found.top or how.table.parent.resolve()
        masks = mask_places(read_table(how.table), how.table.parent, found)
        found, named = without_masks(found, masks)  # before keys are matched: a mask often has the name of its image
        headers, aside = found.headers, found.aside
        index = key_index(headers, found.root, beside)
        table = read_labels(
            how.table, index, key=how.key, label=how.label, blank=how.blank, split=split, masks=masks, known=known
        )
        if table.unit != "image":
            headers, aside = _without_repeated_files(found)
            if len(headers) < len(found.headers):
                index = key_index(headers, found.root, beside)
        grouping = by_table(headers, index, table, found.root, how.patient_pattern)
        return grouping, aside + _idle_masks(named, grouping)
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


def _idle_masks(named: set[str], grouping: Grouping) -> list[Aside]:
    """List the masks among the images that no case uses: they are no images, and would else vanish."""
    drafts = [*grouping.drafts, *(draft for draft, _ in grouping.unlabelled)]
    idle = named - {draft.interest.mask for draft in drafts}
    return [Aside(place, "a mask that the label table names, and no case uses") for place in sorted(idle)]


def _without_repeated_files(found: Walk) -> tuple[list[Header], list[Aside]]:
    headers, repeated = drop_repeated_files(found.headers, found.marks)
    why = "the same DICOM object (SOPInstanceUID), a second time"
    return headers, [*found.aside, *(Aside(found.place(header.source.path), why) for header in repeated)]


def _class_folders(found: Walk) -> set[str]:
    parts = (found.place(header.source.path).partition("/") for header in found.headers)
    return {folder for folder, slash, _ in parts if slash}
