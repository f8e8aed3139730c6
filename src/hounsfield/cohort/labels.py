"""The label table: find its key column and its label column, say which, and check that it does not contradict itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

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
    "split": ("split", "subset", "partition"),
    "patient": ("patient", "patient_id", "patientid", "subject", "subject_id", "case_id"),
}
LABEL_NAMES = ("label", "labels", "class", "target", "diagnosis", "finding", "outcome", "y", "ground_truth")
UNKNOWN = {"", "na", "n/a", "nan", "null", "unknown", "?"}
MOST_CLASSES = 50


@dataclass(frozen=True)
class LabelTable:
    """A label table, matched against the images.

    Attributes
    ----------
    key_column, key_kind, label_column:
        The columns that were found (or named), and what the key is (one of `KEY_KINDS`).
    labels:
        Key → label, None where the table says that it is not known.
    rows:
        Key → row number in the file, the header being row 1.
    covariates:
        Key → {site, scanner, sex, age, split, patient}, as far as the table has them.
    """

    key_column: str
    key_kind: str
    label_column: str
    labels: Mapping[str, str | None]
    rows: Mapping[str, int]
    covariates: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """What a case is when labels are given by this kind of key."""
        return UNIT_OF_KEY[self.key_kind]


def read_labels(
    path: Path, index: Mapping[str, Mapping[str, object]], *, key: str | None = None, label: str | None = None
) -> LabelTable:
    """Read a CSV of labels and match it.

    Parameters
    ----------
    index:
        Key kind → the keys that the images have (`KEY_KINDS`).
    key, label:
        Names of the key and the label column, where they are not to be found by themselves.

    Raises
    ------
    LabelError
        If the file is no table, a named column is missing, no column matches the images, the label column is not
        clear, or one case has two labels.
    """
    table = _read(path)
    key_column, kind = _find_key(table, index, key, path)
    label_column = _find_label(table, key_column, label, path)
    keys = [normalised(value, kind) for value in table[key_column].to_list()]
    values = [_known(value) for value in table[label_column].to_list()]
    _refuse_conflicts(keys, values, path)
    rows = {name: number for number, name in reversed(list(enumerate(keys, start=2)))}
    labels = dict(zip(keys, values, strict=True))
    columns = {role: _column(table, names, {key_column, label_column}) for role, names in COVARIATES.items()}
    covariates = {
        name: {role: str(row[column]) for role, column in columns.items() if column and row[column] is not None}
        for name, row in zip(keys, table.iter_rows(named=True), strict=True)
    }
    if columns["patient"] is None and kind == "PatientID":
        covariates = {name: {**facts, "patient": name} for name, facts in covariates.items()}
    notes = (
        () if len(labels) == len(keys) else (f"{len(keys) - len(labels)} rows repeat another row with the same label",)
    )
    return LabelTable(key_column, kind, label_column, labels, rows, covariates, notes)


def normalised(value: str | None, kind: str) -> str:
    """Write a key the way the images' keys are written: forward slashes, no leading ./, no spaces around."""
    text = (value or "").strip()
    return text.replace("\\", "/").removeprefix("./").rstrip("/") if kind in ("path", "folder") else text


def existing(path: Path) -> Path:
    """Return the path of a label table, or raise a LabelError where there is no such file."""
    if not path.is_file():
        raise LabelError("the label table does not exist", where=path, fix="Give a CSV with --labels.")
    return path


def _read(path: Path) -> pl.DataFrame:
    try:
        existing(path)
        separator = "\t" if path.suffix.lower() in (".tsv", ".tab") else _separator(path)
        table = pl.read_csv(path, infer_schema=False, separator=separator, encoding="utf8-lossy")
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise LabelError(f"the label table cannot be read as CSV: {reason}", where=path) from error
    if table.width < 2 or table.height == 0:
        raise LabelError(
            f"the label table has {table.height} rows and {table.width} column(s)", where=path,
            fix="It needs a key column (path, PatientID, …) and a label column, with a header line.",
        )  # fmt: skip
    return table.rename({name: name.strip().lstrip("\ufeff") for name in table.columns})


def _separator(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        head = file.readline()
    return max(",;\t", key=head.count)


def _find_key(
    table: pl.DataFrame, index: Mapping[str, Mapping[str, object]], key: str | None, path: Path
) -> tuple[str, str]:
    if key is not None and key not in table.columns:
        raise LabelError(f"there is no column {key!r}", where=path, fix=f"Columns: {', '.join(table.columns)}.")
    best: tuple[int, int, str, str] | None = None
    for place, kind in enumerate(KEY_KINDS):
        for column in [key] if key else table.columns:
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


def _find_label(table: pl.DataFrame, key_column: str, label: str | None, path: Path) -> str:
    if label is not None:
        if label not in table.columns:
            raise LabelError(f"there is no column {label!r}", where=path, fix=f"Columns: {', '.join(table.columns)}.")
        return label
    reserved = {name for names in COVARIATES.values() for name in names}
    others = [name for name in table.columns if name != key_column and name.lower() not in reserved]
    named = [name for name in others if name.lower() in LABEL_NAMES]
    few = [name for name in others if _looks_like_classes(table[name])]
    found = named if len(named) == 1 else few
    if len(found) != 1:
        raise LabelError(
            "the label column is not clear: " + (f"it could be {', '.join(found)}" if found else "no column has a few classes"),
            where=path, fix=f"Name it with --label. Columns: {', '.join(table.columns)}.",
        )  # fmt: skip
    return found[0]


def _looks_like_classes(values: pl.Series) -> bool:
    known = {value for value in (_known(item) for item in values.to_list()) if value is not None}
    return 1 <= len(known) <= 20 and len(known) <= max(2, values.len() // 3)


def _known(value: str | None) -> str | None:
    text = (value or "").strip()
    return None if text.lower() in UNKNOWN else text


def _column(table: pl.DataFrame, names: Iterable[str], taken: set[str]) -> str | None:
    return next((name for name in table.columns if name.lower() in names and name not in taken), None)


def _refuse_conflicts(keys: list[str], values: list[str | None], path: Path) -> None:
    seen: dict[str, dict[str | None, int]] = defaultdict(dict)
    for number, (name, value) in enumerate(zip(keys, values, strict=True), start=2):
        seen[name].setdefault(value, number)
    conflicts = [sorted(rows.values()) for name, rows in seen.items() if len(rows) > 1 and name]
    if conflicts:
        places = "; ".join(f"rows {rows[0]} and {rows[1]}" for rows in conflicts[:5])
        more = f" and {len(conflicts) - 5} more" if len(conflicts) > 5 else ""
        raise LabelError(
            f"two labels for one case: {places}{more}", where=path, fix="Keep one label per case, or use a finer key.",
        )  # fmt: skip
