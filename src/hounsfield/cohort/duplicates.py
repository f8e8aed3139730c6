"""The same picture in two cases, and the same patient in two parts: what is put aside, what is never parted, what leaks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from hounsfield.cohort.alike.same import Same
from hounsfield.core.cohort import PAIRS, Cohort, Leaks
from hounsfield.errors import SplitError

# In which part an image is kept when it stands in several: what judges the model is not touched.
KEEP_FIRST = {"test": 0, "calibration": 1, "validation": 2}
_REST = 3  # train, a fold, or no part


def settle(cohort: Cohort, same: Sequence[Same], *, given: bool, leaks: Leaks) -> Cohort:
    """Put repeated pictures aside, deal with leaks between given parts, and join the patients who share a picture.

    Parameters
    ----------
    same:
        Pairs of rows of the cohort's usable cases.
    given:
        Whether the column `given` holds the parts (or folds) that will be used; else no part exists yet.
    leaks:
        "drop" puts the row aside that is not the judge's (test before calibration, validation and train); "refuse" ends;
        "allow" keeps all.

    Raises
    ------
    SplitError
        If there are leaks and they are refused.
    """
    return _Settling(cohort, list(same), given, leaks).run()


class _Settling:
    def __init__(self, cohort: Cohort, same: list[Same], given: bool, leaks: Leaks) -> None:
        self.cohort, self.same, self.leaks = cohort, same, leaks
        rows = cohort.usable
        self.cases: list[str] = rows["case"].to_list()
        self.patients: list[str] = rows["patient"].to_list()
        self.parts: list[str | None] = rows["given"].to_list() if given else [None] * rows.height
        states = rows["states"].to_list() if cohort.about.multi_label else rows["label"].to_list()
        self.labels = [tuple(state) if isinstance(state, list) else state for state in states]
        self.away: dict[int, str] = {}
        self.fates: dict[tuple[int, int], str] = {}
        self.leaking: list[tuple[int, int]] = []  # row that leaks, row that it leaks from

    def run(self) -> Cohort:
        self._repeats()
        self._patients_in_two_parts()
        self._near_in_two_parts()
        if self.leaking and self.leaks == "refuse":
            self._refuse()
        about = self.cohort.about.model_copy(
            update={
                "leaks": self.leaks,
                "leaks_allowed": len(self._allowed()),
                "notes": [*self.cohort.about.notes, *self._notes()],
            }
        )
        groups = pl.DataFrame(
            {"case": self.cases, "joined": self._groups()}, schema={"case": pl.String, "joined": pl.String}
        )
        table = (
            self.cohort.table.join(groups, on="case", how="left", maintain_order="left")
            .with_columns(group=pl.coalesce("joined", "patient"))
            .drop("joined")
        )
        settled = replace(self.cohort, table=table.select(self.cohort.table.columns), about=about, pairs=self._pairs())
        return settled.put_aside({self.cases[row]: why for row, why in self.away.items()}, stage="scan")

    def _order(self, row: int) -> tuple[int, int]:
        return KEEP_FIRST.get(self.parts[row] or "", _REST), row

    def _repeats(self) -> None:
        """Judge groups of equal images, the best kept first. A given test part is never made smaller."""
        groups: dict[int, list[int]] = defaultdict(list)
        for pair in self.same:
            if pair.kind == "exact":
                groups[pair.first].append(pair.second)
        for first, others in groups.items():
            rows = sorted([first, *others], key=self._order)
            conflict = len({self.labels[row] for row in rows}) > 1
            for row in rows:
                partner = rows[0] if row != rows[0] else rows[1]
                self._judge(row, partner, rows[0], conflict)

    def _judge(self, row: int, partner: int, keeper: int, conflict: bool) -> None:
        names = f"it repeats {self.cases[partner]}"
        leak = self.parts[row] != self.parts[keeper]
        if leak:
            self.leaking.append((row, keeper))
        if self.parts[row] == "test" or (row == keeper and not conflict):
            return
        if conflict:
            self.away[row] = f"the same image stands here under two labels; {names}"
        elif leak and self.leaks != "allow":
            self.away[row] = f"the same image stands in the {_named(self.parts[keeper])} (a leak); {names}"
        elif not leak:
            self.away[row] = f"the same image, a second time; {names}"

    def _patients_in_two_parts(self) -> None:
        rows_of: dict[str, list[int]] = defaultdict(list)
        for row, patient in enumerate(self.patients):
            if row not in self.away:
                rows_of[patient].append(row)
        for rows in rows_of.values():
            keeper = min(rows, key=self._order)
            for row in rows:
                if self.parts[row] != self.parts[keeper]:
                    self.leaking.append((row, keeper))
                    if self.leaks != "allow":
                        self.away[row] = f"the patient also stands in the {_named(self.parts[keeper])} (a leak)"

    def _near_in_two_parts(self) -> None:
        for one, other in self._kept_pairs("near"):
            if self.parts[one] == self.parts[other] or one in self.away or other in self.away:
                continue
            keeper, row = sorted((one, other), key=self._order)
            self.leaking.append((row, keeper))
            if self.leaks != "allow":
                part = _named(self.parts[keeper])
                self.away[row] = f"nearly the same image stands in the {part} (a leak); it is like {self.cases[keeper]}"

    def _kept_pairs(self, *kinds: str) -> list[tuple[int, int]]:
        """Return pairs of rows that are kept. What is like a picture is like its equals, of which another may be kept."""
        equals: dict[int, list[int]] = {}
        for pair in self.same:
            if pair.kind == "exact":
                equals.setdefault(pair.first, [pair.first]).append(pair.second)
        return [
            (one, other)
            for pair in self.same
            if pair.kind in kinds
            for one in equals.get(pair.first, [pair.first])
            for other in equals.get(pair.second, [pair.second])
            if one != other and one not in self.away and other not in self.away
        ]

    def _allowed(self) -> set[int]:
        """Return the rows that leak and are kept all the same."""
        return {row for row, _ in self.leaking if self.leaks == "allow" and row not in self.away}

    def _refuse(self) -> None:
        told = [
            f"{self.cases[row]} in the {_named(self.parts[row])} and {self.cases[keeper]} in the {_named(self.parts[keeper])}"
            for row, keeper in self.leaking
        ]
        more = f" and {len(told) - 5} more" if len(told) > 5 else ""
        raise SplitError(
            f"the given split leaks: {len(told)} time(s) a picture or a patient stands in two parts: {'; '.join(told[:5])}{more}",
            fix="Mend the split, or let the training side be put aside (--leaks drop). "
            "After a scan with --leaks allow, hounsfield show RUN --cases --paths tells which files they are.",
        )

    def _groups(self) -> list[str]:
        """Name every case's group after its first patient: patients joined by pictures that both keep."""
        from scipy.sparse import coo_array  # large, and not needed while headers are read
        from scipy.sparse.csgraph import connected_components

        patients = list(dict.fromkeys(self.patients))
        number = {patient: place for place, patient in enumerate(patients)}
        # Where leaks are allowed pairs may lie in two parts, and join nothing.
        kept = [pair for pair in self._kept_pairs("exact", "near") if self.parts[pair[0]] == self.parts[pair[1]]]
        ends = np.array([[number[self.patients[row]] for row in pair] for pair in kept], dtype=np.int64).reshape(-1, 2)
        size = (len(patients), len(patients))
        graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=size)
        _, parts = connected_components(graph, directed=False)
        first: dict[int, str] = {}
        for patient, part in zip(patients, parts.tolist(), strict=True):
            first.setdefault(part, patient)
        return [first[int(parts[number[patient]])] for patient in self.patients]

    def _pairs(self) -> pl.DataFrame:
        rows = [
            (self.cases[one.first], self.cases[one.second], one.kind, one.how, round(one.likeness, 4), self._fate(one))
            for one in self.same
        ]
        return pl.DataFrame(rows, schema=PAIRS, orient="row")

    def _fate(self, pair: Same) -> str:
        gone = [name for name, row in (("first", pair.first), ("second", pair.second)) if row in self.away]
        if len(gone) == 2:
            return "both put aside"
        if gone:
            return f"the {gone[0]} was put aside"
        if self.parts[pair.first] != self.parts[pair.second]:
            return "allowed, though it leaks"
        return "both kept, never parted"

    def _notes(self) -> list[str]:
        counts = Counter((pair.kind, pair.how) for pair in self.same)
        notes = []
        if counts:
            told = ", ".join(f"{count}× {how}" for (_, how), count in counts.most_common())
            exact = sum(count for (kind, _), count in counts.items() if kind == "exact")
            notes.append(f"{exact} exact and {len(self.same) - exact} near duplicates: {told}")
        if self._allowed():
            notes.append(f"{len(self._allowed())} case(s) leak from one given part into another, and were allowed to")
        return notes


def _named(part: str | None) -> str:
    return "cohort" if part is None else f"fold {part}" if part.isdigit() else f"{part} part"
