"""Predictions of other tools: a CSV, TSV or Parquet with a case, a truth and a score per row becomes Predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from scipy.special import expit, logit

from hounsfield.cohort.classes import order_labels
from hounsfield.cohort.labels import read_table
from hounsfield.core import Predictions
from hounsfield.core.predictions import FIXED, Task
from hounsfield.errors import LabelError, PredictionsError
from hounsfield.evaluate.subgroups import EXTRA

# Column of Predictions → what other tools call it, in the order in which they are looked for.
NAMES: dict[str, tuple[str, ...]] = {
    "case": ("case", "case_id", "id", "image", "image_id", "file", "filename", "path", "key"),
    "patient": ("patient", "patient_id", "patientid", "subject", "subject_id"),
    "truth": ("truth", "label", "target", "y", "y_true", "ground_truth", "class", "reference"),
    "score": ("score", "probability", "prob", "p", "y_score", "y_prob", "y_pred", "prediction"),
    "decision": ("decision", "called", "predicted_class", "predicted_label"),
    "site": ("site", "centre", "center", "hospital"),
    "scanner": ("scanner", "manufacturer"),
    "sex": ("sex", "gender"),
    "age_band": ("age_band",),
    "fold": ("fold",),
    "abstention": ("abstention",),
}
PER_LABEL = ("probability", "score", "prob", "p")
NEAREST = 1e-12  # a probability of 0 or 1 has no finite logit


def load_predictions(
    path: Path, *, positive: str | None = None, logits: bool = False, by: Sequence[str] = ()
) -> tuple[Predictions, list[str]]:
    """Read a table of predictions, ours or another tool's.

    One row per case. Two classes: a column `truth` and a column `score` (or `probability`). More classes: `truth` and one
    `score:<label>` per class. Several labels per case: `truth:<label>` (1, 0 or empty) and `score:<label>` for each. `case` and
    `patient` should be there, `decision`, `site`, `scanner`, `sex`, `age_band` and `fold` may; other names in use are understood
    (`NAMES`). An empty truth is not known.

    Parameters
    ----------
    positive:
        Of two classes the one that means disease, whose score it is; guessed from the names where it is not given.
    logits:
        The scores are log odds, and not probabilities.
    by:
        Further columns whose values make groups of patients.

    Returns
    -------
    The predictions, and sentences on what had to be assumed.

    Raises
    ------
    PredictionsError
        If the table cannot be read or understood; it names the column and the row.
    """
    if not path.exists() or (path.suffix.lower() in (".parquet", ".pq") and _is_ours(path)):
        ours = Predictions.load(path)
        return Predictions(_grouped(ours.table, ours.table, by, path), ours.task), []
    try:
        table = read_table(path)
    except LabelError as error:
        raise PredictionsError(
            f"this is not a table of predictions: {error.what.replace('the label table', 'it')}", where=path,
            fix="Give what `hounsfield predict` wrote, or a CSV with the columns case, patient, truth and score.",
        ) from error  # fmt: skip
    found = _Foreign(path, table, positive, logits)
    made = found.predictions()
    return Predictions(_grouped(made.table, table, by, path), made.task), found.assumed


def _grouped(made: pl.DataFrame, source: pl.DataFrame, by: Sequence[str], path: Path) -> pl.DataFrame:
    """Add columns that make groups."""
    missing = [name for name in by if name not in source.columns]
    if missing:
        raise PredictionsError(
            f"there is no column {', '.join(missing)}", where=path, fix=f"Columns: {', '.join(source.columns)}."
        )
    return made.with_columns(source[name].cast(pl.String).replace("", None).alias(f"{EXTRA}{name}") for name in by)


def _is_ours(path: Path) -> bool:
    try:
        return b"hounsfield" in (pq.read_schema(path).metadata or {})
    except (OSError, ValueError):
        return False


class _Foreign:
    def __init__(self, path: Path, table: pl.DataFrame, positive: str | None, logits: bool) -> None:
        self.path, self.table, self.positive, self.logits = path, table, positive, logits
        self.assumed: list[str] = []
        self._lower = {name.lower(): name for name in reversed(table.columns)}

    def predictions(self) -> Predictions:
        scores, truths = self._per_label(PER_LABEL), self._per_label(("truth",))
        if truths:
            return self._several(truths, scores)
        truth = self._text("truth")
        if truth is None:
            raise self._error("no column holds the truth", f"Name it one of: {', '.join(NAMES['truth'])}.")
        if len(scores) > 1:
            return self._classes(truth, scores)
        return self._binary(truth, scores)

    def _binary(self, truth: pl.Series, scores: Mapping[str, str]) -> Predictions:
        column, wanted = next(iter(scores.values()), self._column("score")), self.positive or next(iter(scores), None)
        if column is None:
            raise self._error("no column holds a score", f"Name it one of: {', '.join(NAMES['score'])}.")
        try:
            labels, positive, sentence = order_labels(truth.to_list(), wanted)
        except LabelError as error:
            raise self._error(f"column {self._column('truth')!r}: {error.what}", error.fix) from error
        if positive is None:
            raise self._error(
                f"there are {len(labels)} classes and one score",
                "Give a column score:<label> for each class: " + ", ".join(f"score:{name}" for name in labels) + ".",
            )
        if wanted is None:
            self.assumed.append(f"{sentence}; the scores are taken for those of {positive!r}")
        task = Task(labels=labels, positive=positive, bundle="", name=self.path.stem)
        return self._made(task, {"truth": truth, "decision": self._decisions(labels)}, {positive: column})

    def _classes(self, truth: pl.Series, scores: Mapping[str, str]) -> Predictions:
        labels = list(scores)
        strange = sorted(set(truth.drop_nulls()) - set(labels))
        if strange:
            raise self._error(f"the truth holds labels that have no score: {', '.join(strange)}", "Add their columns.")
        task = Task(labels=labels, positive=None, bundle="", name=self.path.stem)
        return self._made(task, {"truth": truth, "decision": self._decisions(labels)}, scores)

    def _several(self, truths: Mapping[str, str], scores: Mapping[str, str]) -> Predictions:
        lacking = sorted(set(truths) ^ set(scores))
        if lacking:
            raise self._error(f"not both a truth and a score for: {', '.join(lacking)}", "Give both, or neither.")
        labels, decided = list(truths), self._per_label(("decision",))
        extra: dict[str, pl.Series] = {}
        for name in labels:
            extra[f"truth:{name}"] = self._states(truths[name])
            extra[f"decision:{name}"] = (
                self._states(decided[name])
                if name in decided
                else pl.Series([None] * self.table.height, dtype=pl.Int64)
            )
        task = Task(labels=labels, positive=None, multi_label=True, bundle="", name=self.path.stem)
        return self._made(task, extra, scores)

    def _made(self, task: Task, columns: Mapping[str, pl.Series | None], scores: Mapping[str, str]) -> Predictions:
        fixed: dict[str, pl.Series] = {}
        for name, kind in FIXED.items():
            given = columns.get(name) if name in columns else self._fixed(name)
            fixed[name] = (given if given is not None else pl.Series([None] * self.table.height)).cast(kind)
        for label, values in self._numbers(scores, exclusive=len(scores) > 1 and not task.multi_label).items():
            fixed[f"logit:{label}"], fixed[f"probability:{label}"] = values
        fixed |= {name: values for name, values in columns.items() if name not in FIXED and values is not None}
        return Predictions(pl.DataFrame(fixed), task)

    def _fixed(self, name: str) -> pl.Series | None:
        if name == "case":
            return self._cases()
        if name == "split":
            return None
        found = self._text(name)
        if name == "patient" and found is None:
            self.assumed.append("no column names the patient: each case counts as a patient of its own")
        if name == "fold" and found is not None:
            return found.cast(pl.Int64, strict=False)
        return found

    def _cases(self) -> pl.Series:
        found = self._text("case")
        if found is None:
            self.assumed.append("no column names the case: rows are numbered")
            return pl.Series([f"row {place + 1}" for place in range(self.table.height)])
        if found.null_count():
            raise self._error(f"row {_first(found.is_null())} names no case", "Fill in the column, or leave it out.")
        if found.n_unique() < len(found):
            again = str(found.filter(found.is_duplicated())[0])
            raise self._error(
                f"case {again!r} stands in several rows", "Give one row per case; a patient may have several."
            )
        return found

    def _numbers(self, scores: Mapping[str, str], *, exclusive: bool) -> dict[str, tuple[pl.Series, pl.Series]]:
        """Label → its log odds and probability."""
        raw = {label: self._number(column) for label, column in scores.items()}
        if self.logits:
            values = np.column_stack(list(raw.values()))
            exact = np.exp(values - np.logaddexp.reduce(values, axis=1, keepdims=True)) if exclusive else expit(values)
            return {label: (pl.Series(raw[label]), pl.Series(exact[:, place])) for place, label in enumerate(raw)}
        for label, values in raw.items():
            outside = (values < 0) | (values > 1)
            if outside.any():
                raise self._error(
                    f"column {scores[label]!r}, row {_first(outside)}: {values[outside][0]:g} is no probability",
                    "Give probabilities between 0 and 1; or log odds, with --logits.",
                )
        if exclusive and np.abs(np.sum(list(raw.values()), axis=0) - 1).max() > 0.01:
            self.assumed.append("the probabilities of a case do not add up to 1; each is judged as it is")
        return {
            label: (pl.Series(logit(np.clip(values, NEAREST, 1 - NEAREST))), pl.Series(values))
            for label, values in raw.items()
        }

    def _number(self, column: str) -> np.ndarray:
        text = self.table[column].cast(pl.String).str.strip_chars()
        values = text.cast(pl.Float64, strict=False).fill_nan(None)
        if values.null_count():
            place = _first(values.is_null())
            raise self._error(
                f"column {column!r}, row {place}: {text[place - 1]!r} is no number", "Correct or remove the row."
            )
        return values.to_numpy().astype(np.float64)

    def _states(self, column: str) -> pl.Series:
        text = self.table[column].cast(pl.String).str.strip_chars().replace("", None)
        strange = text.is_not_null() & ~text.is_in(["0", "1", "0.0", "1.0"])
        if strange.any():
            place = _first(strange)
            raise self._error(
                f"column {column!r}, row {place}: {text[place - 1]!r} is none of 1, 0 and nothing", "Correct it."
            )
        return text.cast(pl.Float64).cast(pl.Int64)

    def _decisions(self, labels: Sequence[str]) -> pl.Series | None:
        found = self._text("decision")
        if found is None:
            self.assumed.append("no column holds the decision: it is taken from the scores, of two classes at 0.5")
            return None
        strange = ~(found.is_in(list(labels)) | found.is_null())
        if strange.any():
            place = _first(strange)
            raise self._error(
                f"column {self._column('decision')!r}, row {place}: {found[place - 1]!r} is none of {', '.join(labels)}",
                "Write decisions as the truth is written.",
            )
        return found

    def _text(self, name: str) -> pl.Series | None:
        column = self._column(name)
        return None if column is None else self.table[column].cast(pl.String).str.strip_chars().replace("", None)

    def _column(self, name: str) -> str | None:
        return next((self._lower[each] for each in NAMES[name] if each in self._lower), None)

    def _per_label(self, kinds: Sequence[str]) -> dict[str, str]:
        """Label → column, of the first kind that there is: "probability:ill", "score:ill"."""
        for kind in kinds:
            found = {
                name.partition(":")[2].strip(): name
                for name in self.table.columns
                if name.partition(":")[0].strip().lower() == kind and name.partition(":")[2].strip()
            }
            if found:
                return found
        return {}

    def _error(self, what: str, fix: str | None) -> PredictionsError:
        return PredictionsError(what, where=self.path, fix=fix)


def _first(rows: pl.Series | np.ndarray) -> int:
    """The number of the first row that is true, counted from 1 without the header."""
    return int(np.flatnonzero(np.asarray(rows))[0]) + 1
