"""Cohort: a table with one row per case, where each case ends up (a split, or the quarantine), and why."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from hounsfield.core import files
from hounsfield.core.digest import digest, digest_table
from hounsfield.errors import UsageError

SPLITS = ("train", "validation", "calibration", "test")

# What was seen in a frame of a file (counted in the case), its box in fractions of height and width.
ARTEFACT: dict[str, pl.DataType] = {
    "kind": pl.String(),
    "file": pl.Int64(),
    "frame": pl.Int64(),
    "top": pl.Float64(),
    "left": pl.Float64(),
    "bottom": pl.Float64(),
    "right": pl.Float64(),
    "score": pl.Float64(),
}
# `files` are keyed hashes too: a path may hold a name. Only the private crosswalk maps them back.
SCHEMA: dict[str, pl.DataType] = {
    "case": pl.String(),
    "patient": pl.String(),
    "study": pl.String(),
    "series": pl.String(),
    "files": pl.List(pl.String()),
    "frames": pl.List(pl.Int64()),
    "stacks": pl.List(pl.Int64()),
    "modality": pl.String(),
    "body_part": pl.String(),
    "laterality": pl.String(),
    "site": pl.String(),
    "scanner": pl.String(),
    "sex": pl.String(),
    "age": pl.Float64(),
    "age_band": pl.String(),
    "day": pl.Int64(),
    "rows": pl.Int64(),
    "columns": pl.Int64(),
    "spacing": pl.List(pl.Float64()),
    "region": pl.List(pl.Float64()),
    "mask": pl.String(),
    "artefacts": pl.List(pl.Struct(ARTEFACT)),
    "label": pl.String(),
    "states": pl.List(pl.Int8()),
    "given": pl.String(),
    "group": pl.String(),
    "split": pl.String(),
    "folds": pl.List(pl.Int64()),
    "quarantine": pl.String(),
}
# Columns that cohorts of earlier versions lack; empty, they change no digest.
ADDED = ("region", "mask")
# The states of a label in a case; null is not known.
PRESENT, ABSENT, UNCERTAIN = 1, 0, -1
AGE_BANDS = (18, 40, 60, 75)
PAIRS: dict[str, pl.DataType] = {
    "first": pl.String(),
    "second": pl.String(),
    "kind": pl.String(),
    "how": pl.String(),
    "likeness": pl.Float64(),
    "fate": pl.String(),
}
QUARANTINE: dict[str, pl.DataType] = {
    "item": pl.String(),
    "kind": pl.String(),
    "stage": pl.String(),
    "reason": pl.String(),
}
CROSSWALK: dict[str, pl.DataType] = {
    "key": pl.String(),
    "case": pl.String(),
    "path": pl.String(),
    "member": pl.String(),
    "patient_id": pl.String(),
    "study_uid": pl.String(),
    "series_uid": pl.String(),
}


_NAMED = re.compile(r"\bcase-[0-9a-f]+\b")

# What is done about leaks between parts that were given; "unchecked" while a scan has not come that far.
Leaks = Literal["drop", "refuse", "allow", "unchecked"]


class About(BaseModel):
    """What holds for the cohort as a whole.

    Attributes
    ----------
    labels, multi_label:
        The classes, of which a case has one; or, where `multi_label`, findings of which a case has any number.
    folds, repeats:
        How many folds there are, and how often the cohort was divided into them; a member is trained for each.
    leaks, leaks_allowed:
        What was done about leaks between parts that were given, and how many were allowed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    unit: str
    labels: list[str]
    multi_label: bool = False
    positive: str | None = None
    label_column: str | None = None
    key_column: str | None = None
    patients_from: str
    split_sentence: str = ""
    folds: int = 0
    repeats: int = 1
    seed: int = 0
    leaks: Leaks = "drop"
    leaks_allowed: int = 0
    notes: list[str] = []


@dataclass(frozen=True)
class Cohort:
    """One row per case; a patient lives in exactly one split (and one fold); no file vanishes.

    Attributes
    ----------
    table:
        Columns of `SCHEMA`. `frames` counts per file, `stacks` per volume, both in slice order; `region` is what the label
        table gives as the region of interest, x, y, z of its centre (3 numbers) or of two corners (6), and `mask` the key of
        a file that marks it; `artefacts` is null where nobody looked. `label` is the class of a case; with several labels
        per case it is null, and `states` has one entry per label: 1 present, 0 absent, -1 uncertain, null not known. `day`
        counts from the cohort's first study. `given` is the part (or fold) that came with the data. `group` joins patients
        who share a picture: what a split never parts.
        `split` is train, validation, calibration or test, and null for a case that the scan put aside; `quarantine` gives
        the reason why a case is not used. `folds` has the fold of a case for each time that the cohort was divided, null
        without folds; every case that is not in a given test part is in train then.
    pairs:
        Cases that show the same picture (`PAIRS`): kind "exact" or "near", how the second differs, and what was done.
    quarantine:
        Everything put aside, files and label rows as well as cases: item, kind, stage, reason.
    crosswalk:
        The private map from file key to path and identifiers; absent in a cohort that was given away.
    root:
        The folder that the crosswalk's paths are relative to.
    """

    table: pl.DataFrame
    about: About
    quarantine: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=QUARANTINE))
    pairs: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=PAIRS))
    crosswalk: pl.DataFrame | None = None
    root: Path | None = None

    def __post_init__(self) -> None:
        if self.table.schema != pl.Schema(SCHEMA):
            raise ValueError(f"a cohort's table has the columns of SCHEMA, not {self.table.schema}")
        if self.table["case"].n_unique() != self.table.height:
            raise ValueError("a case stands in the cohort twice")
        if not self.table["region"].list.len().is_in([3, 6]).fill_null(True).all():
            raise ValueError("a region of interest is a centre (3 numbers) or a box (6)")
        used = self.usable
        if not used["split"].is_in(SPLITS).fill_null(False).all():
            raise ValueError("every case has a split, or a reason for its quarantine")
        for kind in ("patient", "group") if self.about.leaks not in ("allow", "unchecked") else ():
            if used[kind].null_count():
                raise ValueError(f"a case has no {kind}")
            place = pl.col("folds").cast(pl.List(pl.String)).list.join(",").fill_null("")
            if (used.group_by(kind).agg((pl.col("split") + place).n_unique().alias("places"))["places"] > 1).any():
                raise ValueError(f"a {kind} lives in more than one split or fold")

    @property
    def usable(self) -> pl.DataFrame:
        """The cases that are not in quarantine."""
        return self.table.filter(pl.col("quarantine").is_null())

    def part(self, *names: str) -> pl.DataFrame:
        """The usable cases of one or several splits."""
        return self.usable.filter(pl.col("split").is_in(names))

    @property
    def parts(self) -> dict[str, int]:
        """Usable cases per split, in the order of use."""
        return {name: self.part(name).height for name in SPLITS if self.part(name).height}

    @property
    def digest(self) -> str:
        """sha256 of what was scanned. A case put aside later keeps its place, so that a plan stays the cohort's plan."""
        empty = [name for name in ADDED if self.table[name].null_count() == self.table.height]
        table = self.table.drop("quarantine", *empty)
        return digest({"table": digest_table(table), "about": self.about.model_dump(mode="json")})

    def locate(self, keys: Sequence[str]) -> list[tuple[Path, str | None]]:
        """Return (path, member) of file keys.

        Raises
        ------
        UsageError
            If this cohort came without its private crosswalk.
        """
        if self.crosswalk is None or self.root is None:
            raise UsageError(
                "this cohort has no crosswalk, so its files cannot be found",
                fix="Use the run folder in which the images were scanned (it keeps private/crosswalk.parquet).",
            )
        # A join, and no dictionary of all files: a cohort may have many more than are asked for.
        wanted = pl.DataFrame({"key": list(keys)}, schema={"key": pl.String})
        found = wanted.join(self._index(), on="key", how="left", maintain_order="left")
        if found["path"].null_count():
            raise KeyError(f"{found['path'].null_count()} file(s) are not in the crosswalk")
        return [(self.root / path, member) for _, path, member in found.iter_rows()]

    def _index(self) -> pl.DataFrame:
        assert self.crosswalk is not None
        return self.crosswalk.select("key", "path", "member")

    def put_aside(self, reasons: dict[str, str], *, stage: str, kind: str = "case") -> Cohort:
        """Return a cohort in which these cases (case → reason) are in quarantine."""
        if not reasons:
            return self
        known = pl.DataFrame(
            {"case": list(reasons), "why": list(reasons.values())}, schema={"case": pl.String, "why": pl.String}
        )
        table = (
            self.table.join(known, on="case", how="left", maintain_order="left")
            .with_columns(
                quarantine=pl.coalesce("quarantine", "why"),
            )
            .select(list(SCHEMA))
        )
        return replace(self, table=table).noting([(case, kind, stage, reason) for case, reason in reasons.items()])

    def noting(self, rows: Sequence[tuple[str, str, str, str]]) -> Cohort:
        """Return a cohort with more rows (item, kind, stage, reason) in its quarantine list."""
        more = pl.DataFrame(list(rows), schema=QUARANTINE, orient="row")
        return replace(self, quarantine=pl.concat([self.quarantine, more]).unique(maintain_order=True))

    def reasons(self) -> list[tuple[int, str, str]]:
        """Return (count, kind, reason) of what was put aside, the most frequent first.

        Reasons that differ only in the case or the row that they name count as one.
        """
        told = Counter(
            (kind or "", _NAMED.sub("another case", reason or "not known"))
            for kind, reason in self.quarantine.select("kind", "reason").iter_rows()
        )
        return [
            (count, kind, reason)
            for (kind, reason), count in sorted(told.items(), key=lambda item: (-item[1], item[0]))
        ]

    def save(self, folder: Path) -> None:
        """Write cohort.parquet, quarantine.csv and duplicates.csv, and private/crosswalk.parquet, for the owner alone."""
        meta = {"hounsfield": json.dumps(self.about.model_dump(mode="json"))}
        _write(folder / "cohort.parquet", self.table, meta)
        for name, table in (("quarantine", self.quarantine), ("duplicates", self.pairs)):
            with files.replacing(folder / f"{name}.csv") as partial:
                table.write_csv(partial)
        if self.crosswalk is not None and self.root is not None:
            private = files.make_folder(folder / "private")
            private.chmod(0o700)
            _write(private / "crosswalk.parquet", self.crosswalk, {"root": str(self.root.resolve())})
            (private / "crosswalk.parquet").chmod(0o600)

    @classmethod
    def load(cls, folder: Path, *, private: bool = True) -> Cohort:
        """Read what `save` wrote; with `private` false, leave the crosswalk alone.

        Raises
        ------
        UsageError
            If the folder holds no cohort, or a file of it is damaged.
        """
        path = folder / "cohort.parquet"
        if not path.exists():
            raise UsageError(
                "there is no cohort here", where=folder, fix="Make one with: hounsfield scan IMAGES --out RUN"
            )
        try:
            table, meta = _read(path)
            table = _completed(table)
            about = About.model_validate(json.loads(meta["hounsfield"]))
            aside = pl.read_csv(folder / "quarantine.csv", schema=QUARANTINE)
            pairs = pl.read_csv(folder / "duplicates.csv", schema=PAIRS)
            crosswalk, root = None, None
            if private and (folder / "private" / "crosswalk.parquet").exists():
                crosswalk, known = _read(folder / "private" / "crosswalk.parquet")
                root = Path(known["root"])
            return cls(table, about, aside, pairs, crosswalk, root)
        except (OSError, ValueError, TypeError, KeyError, pl.exceptions.PolarsError) as error:
            raise UsageError("this is not a cohort", where=path, fix="Scan the images again.") from error

    def __str__(self) -> str:
        parts = ", ".join(f"{count} {name}" for name, count in self.parts.items())
        patients = self.usable["patient"].n_unique()
        aside = self.quarantine.height
        return f"Cohort {self.usable.height} cases of {patients} patients ({parts}), {aside} in quarantine ({self.digest[:8]})"


def age_band(age: float | None) -> str | None:
    """Return e.g. "40–59": an age in years is too exact to travel with predictions."""
    if age is None:
        return None
    edges = (0, *AGE_BANDS)
    place = sum(age >= edge for edge in AGE_BANDS)
    return f"{edges[place]}–{AGE_BANDS[place] - 1}" if place < len(AGE_BANDS) else f"{AGE_BANDS[-1]}+"


def _completed(table: pl.DataFrame) -> pl.DataFrame:
    """Return a table of an earlier version with the columns that were added since, in the order of `SCHEMA`."""
    missing = [name for name in ADDED if name not in table.columns]
    if not missing:
        return table
    return table.with_columns(pl.lit(None, dtype=SCHEMA[name]).alias(name) for name in missing).select(list(SCHEMA))


def _write(path: Path, table: pl.DataFrame, meta: dict[str, str]) -> None:
    with files.replacing(path) as partial:
        arrow = table.to_arrow()
        pq.write_table(arrow.replace_schema_metadata(meta), partial)


def _read(path: Path) -> tuple[pl.DataFrame, dict[str, str]]:
    arrow: pa.Table = pq.read_table(path)
    meta = {key.decode(): value.decode() for key, value in (arrow.schema.metadata or {}).items()}
    frame = pl.from_arrow(arrow)
    assert isinstance(frame, pl.DataFrame)
    return frame, meta
