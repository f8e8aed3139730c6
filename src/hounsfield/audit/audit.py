"""audit: a cohort → everything that one should know of it before anything is trained on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from hounsfield.audit import checks, show
from hounsfield.audit.balance import associations_of, balance_items, groups_of, missing_of
from hounsfield.audit.facts import facts_of
from hounsfield.audit.record import Audit, Item, Pair, Picture
from hounsfield.audit.sentences import shortcut_items
from hounsfield.audit.shortcuts import shortcut_test
from hounsfield.audit.single import single_items
from hounsfield.cohort.looking import Sights, look
from hounsfield.cohort.looks import open_memory
from hounsfield.core import files
from hounsfield.core.cohort import PRESENT, UNCERTAIN, Cohort
from hounsfield.errors import UsageError

Bars = Callable[[str], Callable[[int, int], None]]
_COLUMNS = ("site", "scanner", "sex", "age_band")
_COUNTED = ("site", "scanner", "sex", "age_band", "modality", "body_part", "day", "spacing")
_LEVELS = ("alarm", "warning", "note")


def audit(
    cohort: Cohort, *, run: Path | None = None, folder: Path | None = None, workers: int | None = None, seed: int = 0,
    progress: Bars | None = None,
) -> Audit:  # fmt: skip
    """Audit a cohort: labels, duplicates, leaks, patients, balance, missing values, and shortcuts to the label.

    Parameters
    ----------
    run:
        The run folder that the cohort was scanned in, whose memory spares a second look at the pixels.
    folder:
        Where the record and its pictures are written; without it nothing is written and there are no pictures.
    seed:
        Of the folds of the shortcut test, and of the choice of pictures.
    progress:
        Called with the name of a long step; returns what to call with (done, total).

    Raises
    ------
    UsageError
        If the cohort has no labels, or came without the crosswalk that leads to its files.
    """
    if not (cohort.about.multi_label or cohort.usable["label"].null_count() < cohort.usable.height):
        raise UsageError("a cohort without labels cannot be audited", fix="Scan it with --labels.")
    return _Auditor(cohort, run, folder, workers, seed, progress).run()


class _Auditor:
    def __init__(
        self,
        cohort: Cohort,
        run: Path | None,
        folder: Path | None,
        workers: int | None,
        seed: int,
        progress: Bars | None,
    ) -> None:
        self.cohort, self.folder, self.workers, self.seed = cohort, folder, workers, seed
        self.home, self.progress, self.digest = run, progress, cohort.digest
        self.looked = cohort.usable["artefacts"].null_count() < cohort.usable.height
        self.seconds: dict[str, float] = {}
        self.not_done: list[str] = []

    def run(self) -> Audit:
        with open_memory(self.home) as memory:
            sights = None
            if self.looked:
                with self._timed("looking at pixels"):
                    bar = self.progress("looking at pixels") if self.progress else None
                    # What can no longer be decoded is out of this audit too. The cohort itself stays the one it was.
                    looked, sights = look(self.cohort, memory, workers=self.workers, progress=bar)
                    self.cohort = replace(looked, about=self.cohort.about)
            else:
                self.not_done.append(
                    "The pixels were not looked at (--no-pixels): no near duplicates, no facts of pictures."
                )
            return self._judged(sights)

    def _judged(self, sights: Sights | None) -> Audit:
        cohort, about = self.cohort, self.cohort.about
        told = _told_table(cohort)
        with self._timed("shortcut test"):
            facts, families = facts_of(cohort, sights)
            truth, labels = truth_of(cohort)
            shortcuts = shortcut_test(facts, families, truth, labels, cohort.usable["group"].to_list(), seed=self.seed)
        with self._timed("counting"):
            known = [name for name in _COLUMNS if told[name].null_count() < told.height]
            groups = groups_of(told, known, about.labels)
            missing = missing_of(cohort.usable, _COUNTED)
            associations = associations_of(told, _COLUMNS)
            pairs = checks.pairs_of(cohort)
            items = [
                *checks.leak_items(cohort), *shortcut_items(shortcuts),
                *single_items(facts, families, truth, labels, cohort.usable["group"].to_list()), *checks.label_items(cohort),
                *checks.duplicate_items(pairs, self.looked, named=checks.patients_named(cohort)), *checks.patient_items(cohort),
                *balance_items(told, about.labels, groups, missing, associations), *checks.image_items(cohort),
            ]  # fmt: skip
        samples, artefacts, of_pairs = self._pictures(pairs)
        found = Audit(
            cohort=self.digest,
            unit=about.unit,
            cases=cohort.usable.height,
            patients=cohort.usable["patient"].n_unique(),
            labels=about.labels,
            several=about.multi_label,
            counts=counts_of(cohort),
            split_sentence=about.split_sentence,
            parts=cohort.parts,
            items=_in_order(items),
            shortcuts=shortcuts,
            groups=groups,
            missing=missing,
            associations=associations,
            pairs=pairs,
            quarantine=cohort.reasons(),
            samples=samples,
            artefacts=artefacts,
            pair_pictures=of_pairs,
            not_done=self.not_done,
            seconds=self.seconds,
        )
        if self.folder is not None:
            found.save(files.make_folder(self.folder))
        return found

    def _pictures(self, pairs: list[Pair]) -> tuple[list[Picture], list[Picture], list[tuple[Picture, Picture]]]:
        if self.folder is None:
            return [], [], []
        with self._timed("pictures"):
            wanted = show.Pictures(self.cohort)
            samples = show.samples(self.cohort, self.seed)
            artefacts = show.burned_in(self.cohort, self.seed)
            shown = pairs[: show.PAIRS]
            for case in [case for case, _ in samples] + [case for pair in shown for case in (pair.first, pair.second)]:
                wanted.want(case)
            for case, _, file, frame, box in artefacts:
                wanted.want(case, file, frame, box)
            written = wanted.write(self.folder, self.workers)
        label_of = dict(self.cohort.table.select("case", "label").iter_rows())
        drawn = [show.picture(written, case, label, label) for case, label in samples]
        burned = [show.picture(written, case, label_of[case] or "", kind, box) for case, kind, _, _, box in artefacts]
        both = [
            (
                show.picture(written, pair.first, pair.labels[0], pair.labels[0]),
                show.picture(written, pair.second, pair.labels[1], f"{pair.labels[1]}: {pair.how}"),
            )
            for pair in shown
        ]
        return (
            [one for one in drawn if one is not None],
            [one for one in burned if one is not None],
            [(one, other) for one, other in both if one is not None and other is not None],
        )

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[what] = round(time.perf_counter() - started, 2)


def truth_of(cohort: Cohort) -> tuple[np.ndarray, list[str]]:
    """Return what a shortcut is to predict: (n, K) of 1, 0 and nan, and K names.

    Two classes are one column, of the positive one; more are a column each, against the rest.
    """
    about, rows = cohort.about, cohort.usable
    if about.multi_label:
        states = [[np.nan if one in (None, UNCERTAIN) else float(one) for one in row] for row in rows["states"]]
        return np.array(states, dtype=np.float64), about.labels
    names = [about.positive] if about.positive is not None else about.labels
    labels = rows["label"].to_numpy()
    return np.stack([(labels == name).astype(np.float64) for name in names], axis=1), [str(name) for name in names]


def counts_of(cohort: Cohort) -> dict[str, int]:
    """Return label → usable cases that have it, in the order of the labels."""
    rows = cohort.usable
    if cohort.about.multi_label:
        places = enumerate(cohort.about.labels)
        return {name: int((rows["states"].list.get(place) == PRESENT).sum()) for place, name in places}
    found = dict(rows.group_by("label").len().iter_rows())
    return {name: int(found.get(name, 0)) for name in cohort.about.labels}


def _told_table(cohort: Cohort) -> pl.DataFrame:
    """Return the usable cases with their labels as the counting takes them."""
    if not cohort.about.multi_label:
        return cohort.usable
    names = cohort.about.labels
    present = [
        [name for name, state in zip(names, states, strict=True) if state == PRESENT]
        for states in cohort.usable["states"].to_list()
    ]
    return cohort.usable.with_columns(pl.Series("present", present, dtype=pl.List(pl.String)))


def _in_order(items: list[Item]) -> list[Item]:
    """Return the items, gravest first, each as a sentence with a capital and a full stop."""
    told = [
        item.model_copy(update={"sentence": f"{item.sentence[0].upper()}{item.sentence[1:].rstrip('.')}."})
        for item in items
    ]
    return sorted(told, key=lambda item: _LEVELS.index(item.level))
