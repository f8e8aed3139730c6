"""Where each case goes: a split that is given, made by patient, by time, by site or scanner; or folds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from hounsfield.cohort.split import SHARES, fold_patients, split_patients
from hounsfield.core.cohort import PRESENT, SPLITS, UNCERTAIN, Leaks
from hounsfield.errors import SplitError, UsageError

# A part taken from given training cases: an eighth keeps most of them for training.
CARVED = {"train": 7, "carved": 1}
_LEFT_OUT = ("site", "scanner")
HOWS = "auto, given, patient, time, site, scanner, site=NAME, scanner=NAME or column=NAME"


@dataclass(frozen=True)
class Splitting:
    """How a cohort is to be split.

    Attributes
    ----------
    how:
        "auto": the split that came with the data, if every case has one, else by patient. "given", or "column=NAME" of the
        label table: that one. "patient": by patient, whatever is given. "time": the patients who were examined last are the
        test part. "site=NAME" or "scanner=NAME": those cases are the test part. "site" or "scanner": every value is a fold.
    folds, repeats:
        0, or the number of folds (3 or more), and how often the cohort is divided into them.
    leaks:
        What is done about patients and pictures that stand in two given parts: drop, refuse or allow.
    """

    how: str = "auto"
    folds: int = 0
    repeats: int = 1
    seed: int = 0
    leaks: Leaks = "drop"

    def __post_init__(self) -> None:
        name, equals, value = self.how.partition("=")
        known = {"auto", "given", "patient", "time", *_LEFT_OUT} if not equals else {"column", *_LEFT_OUT}
        if name not in known or (equals and not value):
            raise UsageError(f"--split {self.how!r} is no way to split", fix=f"Choose {HOWS}.")
        if self.leaks not in ("drop", "refuse", "allow"):
            raise UsageError(f"--leaks {self.leaks!r}", fix="Choose drop, refuse or allow.")
        if self.repeats < 1 or (self.repeats > 1 and not self.folds):
            raise UsageError(f"--repeats {self.repeats} needs folds", fix="For example: --folds 5 --repeats 2")
        if self.folds and (self.how in ("time", *_LEFT_OUT) or (equals and name != "column")):
            raise UsageError(f"--split {self.how} and --folds do not go together", fix="Leave one of them out.")

    @property
    def column(self) -> str | None:
        """The column of the label table that gives the split, where one is named."""
        return self.how.partition("=")[2] if self.how.startswith("column=") else None

    def uses_given(self, given: pl.Series) -> bool:
        """Say whether the parts that came with the data are used.

        Raises
        ------
        SplitError
            If they are to be, and some cases have none, or a word is no part.
        """
        if self.how not in ("auto", "given") and self.column is None:
            return False
        if given.null_count() == given.len():
            if self.how == "auto":
                return False
            raise SplitError(
                "no case has a given split", fix="Use --split patient, or name the column: --split column=NAME."
            )
        if given.null_count():
            raise SplitError(
                "some cases have a given split and others have none",
                fix="Give every case a split, or ignore it: --split patient.",
            )
        strange = [value for value in given.unique(maintain_order=True) if value not in SPLITS and not value.isdigit()]
        numbers = [value for value in given.unique(maintain_order=True) if value.isdigit()]
        if strange or (numbers and not given.is_in(numbers).all()):
            raise SplitError(
                f"the split column holds {(strange or numbers)[0]!r}",
                fix="Use train, validation, calibration and test, or the numbers of folds alone; --split patient ignores it.",
            )
        return True


@dataclass(frozen=True)
class Placement:
    """Where each row goes: its split, its folds (one for each repeat), row → reason of those put aside; a sentence.

    `count` is the number of folds, 0 where there are none.
    """

    splits: list[str | None]
    folds: list[list[int] | None]
    quarantine: dict[int, str]
    sentence: str
    count: int
    how: Splitting


def place(rows: pl.DataFrame, how: Splitting) -> Placement:
    """Split cases so that no group of patients is parted.

    Parameters
    ----------
    rows:
        Usable cases; columns group, label or states, given, day, site and scanner of a cohort.

    Raises
    ------
    SplitError
        If there are too few patients, or what the split goes by is not known.
    """
    return _Placing(rows, how).run()


class _Placing:
    def __init__(self, rows: pl.DataFrame, how: Splitting) -> None:
        self.rows, self.how = rows, how
        self.groups: list[str] = rows["group"].to_list()
        self.given: list[str | None] = rows["given"].to_list()
        self.splits: list[str | None] = [None] * rows.height
        self.folds: list[list[int] | None] = [None] * rows.height
        self.quarantine: dict[int, str] = {}

    def run(self) -> Placement:
        kind, _, value = self.how.how.partition("=")
        if self.how.uses_given(self.rows["given"]):
            folds, sentence = self._as_given()
        elif kind in _LEFT_OUT and value:
            folds, sentence = 0, self._held_out(kind, value)
        elif kind in _LEFT_OUT:
            folds, sentence = self._one_fold_each(kind)
        elif kind == "time":
            folds, sentence = 0, self._by_time()
        elif self.how.folds:
            folds, sentence = self._into_folds(range(self.rows.height))
        else:
            self._split(range(self.rows.height), SHARES)
            folds, sentence = 0, f"Split by patient, stratified by label, seed {self.how.seed}: {_shares(SHARES)}."
        return Placement(self.splits, self.folds, self.quarantine, sentence, folds, self.how)

    def _labels(self, inside: Sequence[int]) -> tuple[list[str], list[str] | np.ndarray]:
        """Return groups, and labels or states as the splitter takes them."""
        groups = [self.groups[row] for row in inside]
        chosen = self.rows[list(inside)]
        if chosen["states"].null_count() == chosen.height:
            return groups, chosen["label"].to_list()
        states = [[np.nan if one in (None, UNCERTAIN) else float(one) for one in row] for row in chosen["states"]]
        return groups, np.array(states)

    def _split(self, inside: Sequence[int], shares: dict[str, int]) -> None:
        made = split_patients(*self._labels(inside), shares, self.how.seed)
        for row, name in zip(inside, made, strict=True):
            self.splits[row] = name

    def _into_folds(self, inside: Sequence[int]) -> tuple[int, str]:
        how = self.how
        divisions = [
            fold_patients(*self._labels(inside), how.folds, how.seed + repeat) for repeat in range(how.repeats)
        ]
        for place, row in enumerate(inside):
            self.splits[row], self.folds[row] = "train", [made[place] for made in divisions]
        times = f", {how.repeats} times, seeds {how.seed} to {how.seed + how.repeats - 1}"
        told = times if how.repeats > 1 else f", seed {how.seed}"
        return how.folds, f"{how.folds} folds by patient, stratified by label{told}."

    def _as_given(self) -> tuple[int, str]:
        if all(name is not None and name.isdigit() for name in self.given):
            return self._given_folds()
        self.splits = list(self.given)
        if self.how.folds:
            inside = [row for row, name in enumerate(self.splits) if name != "test"]
            kept = " The given test part is kept." if len(inside) < len(self.splits) else ""
            folds, sentence = self._into_folds(inside)
            return folds, sentence + kept
        sentences = ["The split is the one given with the data."]
        for missing in ("test", "validation", "calibration"):
            if missing not in self.splits:
                self._carve(missing)
                sentences.append(
                    f"It has no {missing} part: an eighth of the training patients, stratified, seed {self.how.seed}, became that."
                )
        return 0, " ".join(sentences)

    def _given_folds(self) -> tuple[int, str]:
        names = sorted({int(name) for name in self.given if name is not None})
        self._enough_folds(names, "given folds")
        place = {name: number for number, name in enumerate(names)}
        for row, name in enumerate(self.given):
            self.splits[row], self.folds[row] = "train", [place[int(name or 0)]]
        return len(names), f"The {len(names)} folds are those given with the data."

    def _carve(self, missing: str) -> None:
        inside = [row for row, name in enumerate(self.splits) if name == "train"]
        made = split_patients(*self._labels(inside), CARVED, self.how.seed)
        for row, name in zip(inside, made, strict=True):
            self.splits[row] = missing if name == "carved" else "train"

    def _held_out(self, kind: str, value: str) -> str:
        found = self.rows[kind].to_list()
        if value not in found:
            known = ", ".join(sorted({str(name) for name in found if name is not None})) or "none is known"
            raise SplitError(f"no case has the {kind} {value!r}", fix=f"There are: {known}.")
        away = {self.groups[row] for row, name in enumerate(found) if name == value}
        rest = []
        for row, name in enumerate(found):
            if name == value:
                self.splits[row] = "test"
            elif self.groups[row] in away:
                self.quarantine[row] = (
                    f"its patient, or nearly the same image, stands in the {kind} that is held out (a leak)"
                )
            else:
                rest.append(row)
        shares = {name: share for name, share in SHARES.items() if name != "test"}
        self._split(rest, shares)
        return (
            f"The {kind} {value} is held out as the test part; the others are split by patient, stratified by label, "
            f"seed {self.how.seed}: {_shares(shares)}."
        )

    def _one_fold_each(self, kind: str) -> tuple[int, str]:
        found = self.rows[kind].to_list()
        names = sorted({str(name) for name in found if name is not None})
        self._enough_folds(names, f"different {kind}s")
        at: dict[str, Counter[str]] = defaultdict(Counter)
        for group, name in zip(self.groups, found, strict=True):
            if name is not None:
                at[group][name] += 1
        for row, (group, name) in enumerate(zip(self.groups, found, strict=True)):
            if name is None:
                self.quarantine[row] = f"no {kind} is known, and the folds go by it"
            elif name != at[group].most_common(1)[0][0]:
                self.quarantine[row] = f"its patient, or nearly the same image, stands at another {kind} (a leak)"
            else:
                self.splits[row], self.folds[row] = "train", [names.index(name)]
        return len(names), f"{len(names)} folds, one for each {kind}: {', '.join(names)}."

    def _enough_folds(self, names: Sequence[object], what: str) -> None:
        if len(names) < 3:
            raise SplitError(
                f"{len(names)} {what} are too few for folds",
                fix="There must be 3 or more; with two, hold one out: --split site=NAME.",
            )

    def _by_time(self) -> str:
        """Give the latest tenths of patients to test, and so on; a patient goes by the last study, so none trains on later ones."""
        last: dict[str, int] = {}
        days = self.rows["day"].to_list()
        for group, day in zip(self.groups, days, strict=True):
            if day is not None:
                last[group] = max(day, last.get(group, day))
        if not last:
            raise SplitError(
                "no study date is known, so there is no order of time",
                fix="Name a date column 'study_date', or use --split patient.",
            )
        part_of = _in_order(last, Counter(self.groups))
        for row, group in enumerate(self.groups):
            if group in part_of:
                self.splits[row] = part_of[group]
            else:
                self.quarantine[row] = "no study date is known, and the split goes by time"
        self._every_label_everywhere()
        spans = []
        for name in SHARES:
            inside = [last[group] for group, part in part_of.items() if part == name]
            spans.append(f"{name} day {min(inside)} to {max(inside)}")
        return f"Split by time, patients by their last study, the earliest to train: {', '.join(spans)}."

    def _every_label_everywhere(self) -> None:
        labels: list[set[object]] = [
            {label} if states is None else {number for number, state in enumerate(states) if state == PRESENT}
            for label, states in self.rows.select("label", "states").iter_rows()
        ]
        wanted = set().union(*labels)
        for name in SHARES:
            inside = [labels[row] for row, split in enumerate(self.splits) if split == name]
            if not wanted <= set().union(*inside):
                raise SplitError(
                    f"split by time, the {name} part lacks a label", fix="Add cases, or use --split patient."
                )


def _in_order(last: dict[str, int], sizes: Counter[str]) -> dict[str, str]:
    """Give groups to parts in the order of time, parts as large as `SHARES`; groups of one day stay together."""
    total, whole = sum(sizes[group] for group in last), sum(SHARES.values())
    ends = np.cumsum(list(SHARES.values())) / whole * total
    names, done, part_of = list(SHARES), 0, {}
    by_day: dict[int, list[str]] = defaultdict(list)
    for group, day in last.items():
        by_day[day].append(group)
    for day in sorted(by_day):
        size = sum(sizes[group] for group in by_day[day])
        number = int(np.searchsorted(ends, done + size / 2, side="right"))
        part_of.update(dict.fromkeys(by_day[day], names[min(number, len(names) - 1)]))
        done += size
    return part_of


def _shares(shares: dict[str, int]) -> str:
    total = sum(shares.values())
    return ", ".join(f"{100 * share / total:.0f}% {name}" for name, share in shares.items())
