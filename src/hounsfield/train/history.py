"""The history of a fit: one CSV row per epoch, kept whole across interruptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from hounsfield.core import files

SCHEMA: dict[str, pl.DataType] = {
    "epoch": pl.Int64(),
    "train_loss": pl.Float64(),
    "validation_loss": pl.Float64(),
    "validation_auc": pl.Float64(),
    "learning_rate": pl.Float64(),
    "images_per_second": pl.Float64(),
    "seconds": pl.Float64(),
}


def append_history(path: Path, row: Mapping[str, Any]) -> None:
    """Add an epoch; rows of it and of later epochs, from an interrupted run, give way."""
    new = pl.DataFrame([dict(row)], schema=SCHEMA)
    old = pl.read_csv(path, schema=SCHEMA).filter(pl.col("epoch") < row["epoch"]) if path.exists() else new.clear()
    with files.replacing(path) as partial:
        pl.concat([old, new]).write_csv(partial)


def joined_history(paths: Sequence[Path], kept: Sequence[int]) -> pl.DataFrame:
    """Return the histories of all members in one table, the kept epoch of each marked `best`."""
    parts = [
        pl.read_csv(path, schema=SCHEMA).select(
            pl.lit(member).alias("member"), pl.all(), (pl.col("epoch") == best).alias("best")
        )
        for member, (path, best) in enumerate(zip(paths, kept, strict=True))
    ]
    return pl.concat(parts)
