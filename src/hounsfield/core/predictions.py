"""Predictions: a table of what a model said of each case. The only input of `evaluate`, whatever made it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

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
    """What the columns mean: labels in order, the positive one of a binary task, thresholds, the bundle's digest."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    labels: list[str]
    positive: str | None
    threshold: float | None = None
    operating_point: str = ""
    bundle: str
    name: str = "test"

    @property
    def outputs(self) -> list[str]:
        """The labels with a logit of their own: the positive one where it is binary, else all."""
        return [self.positive] if self.positive is not None else list(self.labels)


@dataclass(frozen=True)
class Predictions:
    """One row per case: `FIXED` columns, then `logit:<label>` and `probability:<label>` per output.

    A binary task has one logit (sigmoid), of the positive label; K classes have K logits (softmax). Probabilities are
    calibrated. `truth` is null where it is not known.
    """

    table: pl.DataFrame
    task: Task

    def __post_init__(self) -> None:
        wanted = list(FIXED) + [f"{kind}:{name}" for name in self.task.outputs for kind in ("logit", "probability")]
        missing = [name for name in wanted if name not in self.table.columns]
        if missing:
            raise PredictionsError(f"columns are missing: {', '.join(missing)}")
        values = self.probabilities
        if not np.isfinite(values).all() or values.min(initial=0) < 0 or values.max(initial=1) > 1:
            raise PredictionsError("probabilities must be numbers between 0 and 1")
        strange = set(self.table["truth"].drop_nulls().unique()) - set(self.task.labels)
        if strange:
            raise PredictionsError(f"truth holds labels that the model does not know: {', '.join(sorted(strange))}")
        decided = {str(name) for name in self.table["decision"].drop_nulls().unique()} - set(self.task.labels)
        if decided:
            raise PredictionsError(f"decisions that are no labels of the model: {', '.join(sorted(decided))}")

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
        """(cases,), the index of the true label, -1 where it is not known."""
        index = {name: place for place, name in enumerate(self.task.labels)}
        return np.array([index.get(name, -1) for name in self.table["truth"].to_list()], dtype=np.int64)

    @property
    def decisions(self) -> np.ndarray:
        """(cases,), the index of the decided label."""
        index = {name: place for place, name in enumerate(self.task.labels)}
        return np.array([index[name] for name in self.table["decision"].to_list()], dtype=np.int64)

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
        return f"Predictions of {self.table.height} cases ({self.task.name}) by bundle {self.task.bundle[:8]}"
