"""Predictions: a table of what a model said of each case. The only input of `evaluate`, whatever made it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, model_validator

from hounsfield.core import files
from hounsfield.core.digest import digest, digest_table
from hounsfield.errors import PredictionsError

FIXED: dict[str, pl.DataType] = {
    "case": pl.String(),
    "patient": pl.String(),
    "split": pl.String(),
    "fold": pl.Int64(),
    "truth": pl.String(),
    "decision": pl.String(),
    "abstention": pl.String(),
    "site": pl.String(),
    "scanner": pl.String(),
    "sex": pl.String(),
    "age_band": pl.String(),
}


class Task(BaseModel):
    """What the columns mean: labels in order, the positive one of a binary task, thresholds, the bundle's digest.

    Attributes
    ----------
    multi_label:
        Whether a case may have any number of the labels; else it has exactly one of them.
    threshold, thresholds:
        The one of a binary task; with several labels per case one for each, in their order.
    points:
        Rules for the decision of a binary task and their thresholds, fixed before these cases were seen; None where it differs
        from fold to fold. What each rule says of a case is in the column `called:<rule>`.
    coverage:
        In which share of cases the sets in the column `set` are meant to hold the true label (with several labels per case the
        true state of each); None where there are none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    labels: list[str]
    positive: str | None
    multi_label: bool = False
    threshold: float | None = None
    thresholds: list[float] | None = None
    operating_point: str = ""
    points: dict[str, float | None] = {}
    coverage: float | None = None
    bundle: str
    name: str = "test"

    @model_validator(mode="after")
    def _fits_together(self) -> Task:
        if self.multi_label and (self.positive is not None or self.threshold is not None):
            raise ValueError("with several labels per case none is the positive one, and each has its own threshold")
        if self.thresholds is not None and (not self.multi_label or len(self.thresholds) != len(self.labels)):
            raise ValueError("thresholds are those of several labels per case, one for each label")
        return self

    @property
    def outputs(self) -> list[str]:
        """The labels with a logit of their own: the positive one where it is binary, else all."""
        return [self.positive] if self.positive is not None else list(self.labels)


@dataclass(frozen=True)
class Predictions:
    """One row per case: `FIXED` columns, then `logit:<label>` and `probability:<label>` per output.

    A binary task has one logit (sigmoid), of the positive label; K classes have K logits (softmax). Probabilities are
    calibrated. `truth` is null where it is not known.

    Where a case may have several labels, there are K logits (a sigmoid each), `truth` and `decision` are null, and each
    label has `truth:<label>` and `decision:<label>` instead: 1 present, 0 absent; a truth that is uncertain or not known
    is null.

    A binary task may have `called:<rule>` for each rule of `task.points`: whether the case is positive by it.

    `image:<name>` may be there, what images are like: brightness and contrast of conditioned values, distance from the training
    images as a share of the limit, spacing in mm. They serve to tell what differs between two sets of cases.

    `set` may be there: the labels that cannot be ruled out, perhaps none, perhaps all. With several labels per case it has the
    labels whose presence cannot be ruled out, and `set_absent` those whose absence cannot.

    `slice_weights` may be there too: how much each slice of a case counted, in stack order; their sum is 1.
    """

    table: pl.DataFrame
    task: Task

    def __post_init__(self) -> None:
        kinds = ("truth", "logit", "probability", "decision") if self.task.multi_label else ("logit", "probability")
        wanted = list(FIXED) + [f"{kind}:{name}" for name in self.task.outputs for kind in kinds]
        wanted += [f"called:{rule}" for rule in self.task.points]
        if self.task.coverage is not None:
            wanted += ["set", "set_absent"] if self.task.multi_label else ["set"]
        missing = [name for name in wanted if name not in self.table.columns]
        if missing:
            raise PredictionsError(f"columns are missing: {', '.join(missing)}")
        values = self.probabilities
        if not np.isfinite(values).all() or values.min(initial=0) < 0 or values.max(initial=1) > 1:
            raise PredictionsError("probabilities must be numbers between 0 and 1")
        if self.task.multi_label:
            self._check_states()
            return
        strange = set(self.table["truth"].drop_nulls().unique()) - set(self.task.labels)
        if strange:
            raise PredictionsError(f"truth holds labels that the model does not know: {', '.join(sorted(strange))}")
        decided = {str(name) for name in self.table["decision"].drop_nulls().unique()} - set(self.task.labels)
        if decided:
            raise PredictionsError(f"decisions that are no labels of the model: {', '.join(sorted(decided))}")

    def _check_states(self) -> None:
        for kind in ("truth", "decision"):
            if self.table[kind].null_count() < self.table.height:
                raise PredictionsError(
                    f"a case may have several labels, and {kind!r} holds one",
                    fix=f"Leave it empty; use {kind}:<label>.",
                )
            for name in self.task.labels:
                column = self.table[f"{kind}:{name}"]
                if not column.dtype.is_integer() or not column.drop_nulls().is_in([0, 1]).all():
                    raise PredictionsError(
                        f"column '{kind}:{name}' must hold 1 (present), 0 (absent), or nothing, as whole numbers"
                    )

    @property
    def logits(self) -> np.ndarray:
        """(cases, outputs), float64."""
        return self.table.select(f"logit:{name}" for name in self.task.outputs).to_numpy().astype(np.float64)

    @property
    def probabilities(self) -> np.ndarray:
        """(cases, outputs), float64, calibrated."""
        return self.table.select(f"probability:{name}" for name in self.task.outputs).to_numpy().astype(np.float64)

    @property
    def truth(self) -> np.ndarray:
        """(cases,), the index of the true label, -1 where it is not known; not where a case may have several labels."""
        return self._index("truth")

    @property
    def decisions(self) -> np.ndarray:
        """(cases,), the index of the decided label, -1 where none is; not where a case may have several labels."""
        return self._index("decision")

    @property
    def truth_states(self) -> np.ndarray:
        """(cases, labels), 1 present, 0 absent, -1 not known; only where a case may have several labels."""
        return self._states("truth")

    @property
    def decision_states(self) -> np.ndarray:
        """(cases, labels), 1 present, 0 absent, -1 not decided; only where a case may have several labels."""
        return self._states("decision")

    @property
    def known(self) -> np.ndarray:
        """(cases,) bool: the truth is known, of at least one label where a case may have several."""
        if self.task.multi_label:
            return np.asarray((self.truth_states >= 0).any(axis=1))
        return np.asarray(self.truth >= 0)

    def _index(self, column: str) -> np.ndarray:
        if self.task.multi_label:
            raise PredictionsError(f"a case may have several labels here, so its {column} is no single one")
        index = {name: place for place, name in enumerate(self.task.labels)}
        return np.array([index.get(name, -1) for name in self.table[column].to_list()], dtype=np.int64)

    def _states(self, column: str) -> np.ndarray:
        if not self.task.multi_label:
            raise PredictionsError(f"a case has one label here, so its {column} has no states")
        states = self.table.select(pl.col(f"{column}:{name}").cast(pl.Int64).fill_null(-1) for name in self.task.labels)
        return states.to_numpy().reshape(self.table.height, len(self.task.labels))

    @property
    def patients(self) -> np.ndarray:
        return self.table["patient"].to_numpy()

    @property
    def digest(self) -> str:
        return digest({"table": digest_table(self.table), "task": self.task.model_dump(mode="json")})

    def save(self, path: Path) -> None:
        meta = {"hounsfield": json.dumps(self.task.model_dump(mode="json"))}
        with files.replacing(path) as partial:
            pq.write_table(self.table.to_arrow().replace_schema_metadata(meta), partial)

    def write_csv(self, path: Path) -> None:
        """Write the table as CSV; lists become numbers with blanks between, or names with bars."""
        numbers, names = (pl.selectors.by_dtype(pl.List(kind)) for kind in (pl.Float64, pl.String))
        flat = (numbers.list.eval(pl.element().round(4).cast(pl.String)).list.join(" "), names.list.join("|"))
        with files.replacing(path) as partial:
            self.table.with_columns(*flat).write_csv(partial)

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what `save` wrote.

        Raises
        ------
        PredictionsError
            If the file is missing or is not a table of predictions.
        """
        if not path.exists():
            raise PredictionsError(
                "there are no predictions here", where=path, fix="Make them with: hounsfield predict RUN"
            )
        try:
            arrow = pq.read_table(path)
            task = Task.model_validate(json.loads(arrow.schema.metadata[b"hounsfield"]))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise PredictionsError("this is not a table of predictions", where=path) from error
        frame = pl.from_arrow(arrow)
        assert isinstance(frame, pl.DataFrame)
        return cls(frame, task)

    def __str__(self) -> str:
        text = f"Predictions of {self.table.height} cases ({self.task.name}) by bundle {self.task.bundle[:8]}"
        reasons = self.table["abstention"].drop_nulls()
        if not len(reasons):
            return text
        counted = reasons.value_counts(sort=True).iter_rows()
        return f"{text}; {len(reasons)} abstained: {'; '.join(f'{reason} ({count})' for reason, count in counted)}"
