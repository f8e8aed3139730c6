"""The label table: find its key column and its label column(s), say which, and list what contradicts itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from hounsfield.cohort.findings import BLANKS, Blank, States, findings_of
from hounsfield.cohort.regions import NAMES, Interest, interests_of
from hounsfield.errors import LabelError

# What a key can be, best first: where two kinds match equally many rows, the finer one is meant.
KEY_KINDS = ("path", "stem", "SeriesInstanceUID", "StudyInstanceUID", "PatientID", "folder")
UNIT_OF_KEY = {
    "path": "image", "stem": "image", "folder": "series", "SeriesInstanceUID": "series",
    "StudyInstanceUID": "study", "PatientID": "patient",
}  # fmt: skip
COVARIATES = {
    "site": ("site", "centre", "center", "hospital", "institution"),
    "scanner": ("scanner", "manufacturer", "device", "model"),
    "sex": ("sex", "gender", "patientsex"),
    "age": ("age", "patientage"),
    "age_band": ("age_band", "ageband", "age_group", "agegroup"),
    "date": ("date", "study_date", "studydate", "exam_date", "acquisition_date"),
    "split": ("split", "subset", "partition"),
    "patient": ("patient", "patient_id", "patientid", "subject", "subject_id", "case_id"),
}
LABEL_NAMES = ("label", "labels", "class", "target", "diagnosis", "finding", "outcome", "y", "ground_truth")
MOST_CLASSES = 50
# What two rows of one key must agree on: with two answers nobody can say which is meant.
_BINDING = ("split", "patient")
# Where so many keys contradict themselves, the key is too coarse; where few do, they are put aside.
_TOO_MANY, _MOST_CONFLICTS = 5, 0.2


@dataclass(frozen=True)
class LabelTable:
    """A label table, matched against the images.

    Attributes
    ----------
    key_column, key_kind, label_columns:
        The columns that were found (or named), and what the key is (one of `KEY_KINDS`).
    labels:
        Key → label, None where the table says that it is not known. With several labels per case, None throughout.
    states:
        Key → one state per name in `names`, where a case has several labels; else empty.
    names:
        The labels of which a case may have several; empty where it has one of some classes.
    rows:
        Key → number of its first row in the file, the header being row 1.
    covariates:
        Key → {site, scanner, sex, age, age_band, date, split, patient}, as far as the table has them.
    conflicts:
        Key → why nobody can say what it means.
    left_over:
        (row, reason) of rows that say nothing: without a key, or saying again what another row says; and of regions of
        interest that cannot be used.
    interests:
        Key → region of interest; None where the table has no columns for it.
    """

    key_column: str
    key_kind: str
    label_columns: tuple[str, ...]
    labels: Mapping[str, str | None]
    rows: Mapping[str, int]
    states: Mapping[str, States] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    covariates: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    conflicts: Mapping[str, str] = field(default_factory=dict)
    left_over: tuple[tuple[int, str], ...] = ()
    notes: tuple[str, ...] = ()
    interests: Mapping[str, Interest] | None = None

    @property
    def unit(self) -> str:
        """What a case is when labels are given by this kind of key."""
        return UNIT_OF_KEY[self.key_kind]


def read_labels(
    path: Path, index: Mapping[str, Mapping[str, object]], *, key: str | None = None, label: Sequence[str] = (),
    blank: Blank = "unknown", split: str | None = None, masks: Mapping[str, str | None] | None = None,
    known: Sequence[str] = (),
) -> LabelTable:  # fmt: skip
    """Read a table of labels (CSV, TSV or Parquet) and match it.

    Parameters
    ----------
    index:
        Key kind → the keys that the images have (`KEY_KINDS`).
    key, label:
        Names of the key and the label column(s), where they are not to be found by themselves. Several label columns
        mean that a case may have several labels.
    blank:
        Whether an empty cell means "unknown" or "absent", where a case may have several labels.
    split:
        The column that gives the part (or the fold) of a case, where its name does not tell.
    known:
        The labels of a model of which a case may have several: columns named after them are the label columns, where no
        other is named.
    masks:
        Text of a mask cell → the place of its file (`regions.mask_places`).

    Raises
    ------
    LabelError
        If the file is no table, a named column is missing, no column matches the images, the label column is not
        clear, a cell holds no state of a label, or more than a fifth of the keys have two labels.
    """
    table = read_table(path)
    key_column, kind = _find_key(table, index, key, path)
    columns = _find_labels(table, key_column, label or [name for name in known if name in table.columns], path)
    if split is not None and split not in table.columns:
        raise LabelError(f"there is no column {split!r}", where=path, fix=f"Columns: {', '.join(table.columns)}.")
    keys = [normalised(value, kind) for value in table[key_column].to_list()]
    found = findings_of(table, columns, blank, path, known)
    covariates = _covariates(table, {key_column, *columns}, split)
    if kind == "PatientID" and not any("patient" in facts for facts in covariates):
        covariates = [{**facts, "patient": name} for name, facts in zip(keys, covariates, strict=True)]
    said = [
        (value, *(facts.get(role) for role in _BINDING)) for value, facts in zip(found.values, covariates, strict=True)
    ]
    rows, left_over, conflicts = _one_row_per_key(keys, said)
    _refuse_too_many(conflicts, len(rows), path)
    interests, doubted, notes = _interests(table, keys, masks or {})
    values = {name: found.values[row - 2] for name, row in rows.items()}
    return LabelTable(
        key_column, kind, tuple(columns), {name: value if isinstance(value, str) else None for name, value in values.items()},
        rows, {name: value for name, value in values.items() if isinstance(value, tuple)}, found.names,
        {name: covariates[row - 2] for name, row in rows.items()}, conflicts, (*left_over, *doubted),
        (*found.notes, *notes), interests,
    )  # fmt: skip


def normalised(value: str | None, kind: str) -> str:
    """Write a key the way the images' keys are written: forward slashes, no leading ./, no spaces around."""
    text = (value or "").strip()
    return text.replace("\\", "/").removeprefix("./").rstrip("/") if kind in ("path", "folder") else text


def existing(path: Path) -> Path:
    """Return the path of a label table, or raise a LabelError where there is no such file."""
    if not path.is_file():
        raise LabelError("the label table does not exist", where=path, fix="Give a CSV, TSV or Parquet with --labels.")
    return path


def read_table(path: Path) -> pl.DataFrame:
    """Read a CSV, TSV or Parquet as text.

    Raises
    ------
    LabelError
        If it is no table, or has a single column or no rows.
    """
    try:
        existing(path)
        table = _parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _text(path)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise LabelError(f"the label table cannot be read: {reason}", where=path) from error
    if table.width < 2 or table.height == 0:
        raise LabelError(
            f"the label table has {table.height} rows and {table.width} column(s)", where=path,
            fix="It needs a key column (path, PatientID, …) and a label column, with a header line.",
        )  # fmt: skip
    return table.rename({name: name.strip().lstrip("\ufeff") for name in table.columns})


def _text(path: Path) -> pl.DataFrame:
    separator = "\t" if path.suffix.lower() in (".tsv", ".tab") else _separator(path)
    return pl.read_csv(path, infer_schema=False, separator=separator, encoding="utf8-lossy")


def _parquet(path: Path) -> pl.DataFrame:
    table = pl.read_parquet(path)
    nested = [name for name, kind in table.schema.items() if kind.is_nested() or kind == pl.Binary]
    if nested:
        raise LabelError(f"column {nested[0]!r} holds lists or bytes, not one value per row", where=path)
    # Whole numbers that a table keeps as floats (because some are missing) are meant as whole numbers.
    whole = [
        name for name, kind in table.schema.items()
        if kind.is_float() and table[name].drop_nans().drop_nulls().map_elements(float.is_integer, pl.Boolean).all()
    ]  # fmt: skip
    return table.with_columns(pl.col(whole).fill_nan(None).cast(pl.Int64, strict=False)).cast(pl.String)


def _separator(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        first = file.readline()
    return max((",", ";", "\t"), key=first.count)


def _find_key(
    table: pl.DataFrame, index: Mapping[str, Mapping[str, object]], key: str | None, path: Path
) -> tuple[str, str]:
    if key is not None and key not in table.columns:
        raise LabelError(f"there is no column {key!r}", where=path, fix=f"Columns: {', '.join(table.columns)}.")
    best: tuple[int, int, str, str] | None = None
    for column in [key] if key else [name for name in table.columns if name.lower() not in NAMES]:
        for place, kind in enumerate(KEY_KINDS):
            values = {normalised(value, kind) for value in table[column].to_list()} - {""}
            score = len(values & set(index[kind]))
            if score and (best is None or (score, -place) > best[:2]):
                best = (score, -place, column, kind)
    if best is None:
        raise LabelError(
            f"no labels match: no column of the table ({', '.join(table.columns)}) holds a path, file stem, PatientID, "
            "StudyInstanceUID or SeriesInstanceUID of the images",
            where=path,
            fix="Paths are relative to the image folder (or to the table); name the column with --key.",
        )
    return best[2], best[3]


def _find_labels(table: pl.DataFrame, key_column: str, asked: Sequence[str], path: Path) -> list[str]:
    if asked:
        # A comma may part names, unless it is in one.
        names = [part for name in asked for part in ([name] if name in table.columns else name.split(","))]
        names = list(dict.fromkeys(name.strip() for name in names))
        for name in names:
            if name not in table.columns:
                raise LabelError(
                    f"there is no column {name!r}", where=path, fix=f"Columns: {', '.join(table.columns)}."
                )
        return names
    reserved = NAMES.union(*COVARIATES.values())
    others = [name for name in table.columns if name != key_column and name.lower() not in reserved]
    named = [name for name in others if name.lower() in LABEL_NAMES]
    few = [name for name in others if _looks_like_classes(table[name])]
    found = named if len(named) == 1 else few
    if len(found) != 1:
        raise LabelError(
            "the label column is not clear: " + (f"it could be {', '.join(found)}" if found else "no column has a few classes"),
            where=path,
            fix=f"Name it with --label (several, where a case may have several labels). Columns: {', '.join(table.columns)}.",
        )  # fmt: skip
    return found


def _looks_like_classes(values: pl.Series) -> bool:
    known = {text for text in ((value or "").strip() for value in values.to_list()) if text.lower() not in BLANKS}
    return 1 <= len(known) <= 20 and len(known) <= max(2, values.len() // 3)


def _covariates(table: pl.DataFrame, taken: set[str], split: str | None) -> list[dict[str, str]]:
    columns = {role: _column(table, names, taken) for role, names in COVARIATES.items()}
    if split is not None:
        columns["split"] = split
    return [
        {role: str(row[column]) for role, column in columns.items() if column and row[column] is not None}
        for row in table.iter_rows(named=True)
    ]


def _column(table: pl.DataFrame, names: Iterable[str], taken: set[str]) -> str | None:
    return next((name for name in table.columns if name.lower() in names and name not in taken), None)


def _one_row_per_key(
    keys: Sequence[str], said: Sequence[object]
) -> tuple[dict[str, int], list[tuple[int, str]], dict[str, str]]:
    """Return the first row of each key; rows that add nothing; and keys whose rows contradict each other."""
    rows: dict[str, int] = {}
    left_over: list[tuple[int, str]] = []
    against: dict[str, list[int]] = defaultdict(list)
    for number, (name, value) in enumerate(zip(keys, said, strict=True), start=2):
        if not name:
            left_over.append((number, "the row has no key"))
            continue
        first = rows.setdefault(name, number)
        if first == number:
            continue
        if said[first - 2] == value:
            left_over.append((number, f"repeats row {first}"))
        else:
            against[name].append(number)
    conflicts = {}
    for name, others in against.items():
        told = ", ".join(str(number) for number in [rows[name], *others][:5])
        conflicts[name] = f"two labels for one case: rows {told} of the label table contradict each other"
        left_over += [(number, f"contradicts row {rows[name]}") for number in (rows[name], *others)]
    return rows, sorted(left_over), conflicts


def _interests(
    table: pl.DataFrame, keys: Sequence[str], masks: Mapping[str, str | None]
) -> tuple[dict[str, Interest] | None, list[tuple[int, str]], list[str]]:
    """Return the region of each key, None without such columns; (row, reason) of what cannot be used; notes.

    Of two rows of one key that give different regions nobody can say which is meant, so none is used.
    """
    if NAMES.isdisjoint(name.lower() for name in table.columns):
        return None, [], []
    found = interests_of(table, masks)
    interests: dict[str, Interest] = {}
    first: dict[str, int] = {}
    against: dict[str, int] = {}
    troubles = list(found.troubles)
    for number, (name, interest) in enumerate(zip(keys, found.rows, strict=True), start=2):
        if not name or interest.is_empty:
            continue
        if interests.setdefault(name, interest) != interest:
            against.setdefault(name, first[name])
            troubles.append((number, f"gives another region of interest than row {first[name]}: none is used"))
        first.setdefault(name, number)
    for name, number in against.items():
        del interests[name]
        troubles.append((number, "another row gives another region of interest: none is used"))
    return interests, sorted(troubles), found.notes


def _refuse_too_many(conflicts: Mapping[str, str], keys: int, path: Path) -> None:
    if len(conflicts) > max(_TOO_MANY, _MOST_CONFLICTS * keys):
        first = "; ".join(list(conflicts.values())[:3])
        raise LabelError(
            f"{len(conflicts)} of {keys} keys have two labels: {first}", where=path,
            fix="Use a finer key (--key): one that names an image or a series, not a patient.",
        )  # fmt: skip
