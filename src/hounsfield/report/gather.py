"""Reading what the stages left in a run folder. Everything but cohort and plan may be missing; nothing may be broken."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import ValidationError

from hounsfield.audit import Audit
from hounsfield.core import Calibration, Cohort, Plan, Predictions, files
from hounsfield.core.manifest import CALIBRATION
from hounsfield.errors import BundleError, UsageError

HISTORY = {
    "member": pl.String,
    "epoch": pl.Int64,
    "train_loss": pl.Float64,
    "validation_loss": pl.Float64,
    "validation_auc": pl.Float64,
    "learning_rate": pl.Float64,
    "images_per_second": pl.Float64,
    "best": pl.Boolean,
}


@dataclass(frozen=True)
class Found:
    """What a run folder holds; None or empty where a stage has not run.

    Attributes
    ----------
    judged:
        Predictions by name, of the parts that may be judged: test, folds, external-NAME, in this order.
    set_aside:
        Names of predictions of other parts, which served to choose something and prove nothing.
    panels:
        Entries of explain/panels.json; `explain` is the folder that their images are relative to.
    audit:
        What the audit of this very cohort found.
    attention:
        explain/attention.json: where the maps of a whole part lie.
    """

    cohort: Cohort
    plan: Plan
    history: pl.DataFrame | None
    judged: dict[str, Predictions]
    set_aside: list[str]
    panels: list[dict[str, Any]] | None
    explain: Path
    parity: dict[str, Any] | None
    cost: dict[str, Any] | None
    manifest: dict[str, Any] | None
    calibration: Calibration | None
    audit: Audit | None = None
    attention: dict[str, Any] | None = None

    @property
    def main(self) -> str | None:
        """The part whose numbers stand at the top: the test part, else the folds."""
        return next((name for name in ("test", "folds") if name in self.judged), None)


def gather(run: Path) -> Found:
    """Read a run folder.

    Raises
    ------
    UsageError
        If there is no cohort, or a file that is there is not what it should be.
    PlanError, PredictionsError, BundleError
        Likewise, for a plan, predictions, a bundle.
    """
    cohort = Cohort.load(run, private=False)  # a report must not know whose images they were
    plan = Plan.load(run / "plan.yaml")
    judged, set_aside = _predictions(run / "predictions")
    panels = _json(run / "explain" / "panels.json", list)
    manifest = _json(run / "bundle" / "manifest.json", dict)
    return Found(
        cohort=cohort,
        plan=plan,
        history=_history(run / "train" / "history.csv"),
        judged=judged,
        set_aside=set_aside,
        panels=panels,
        explain=run / "explain",
        parity=_json(run / "export" / "parity.json", dict),
        cost=_json(run / "train" / "cost.json", dict),
        manifest=manifest,
        calibration=_calibration(run / "bundle" / CALIBRATION),
        audit=_audit(run / "audit", cohort),
        attention=_attention(run / "explain" / "attention.json", manifest),
    )


def _predictions(folder: Path) -> tuple[dict[str, Predictions], list[str]]:
    found: dict[str, Predictions] = {}
    for path in sorted(folder.glob("*.parquet")) if folder.is_dir() else []:
        predictions = Predictions.load(path)
        if predictions.task.name in found:
            raise UsageError(
                f"two files hold predictions named {predictions.task.name!r}", where=path, fix="Remove one."
            )
        found[predictions.task.name] = predictions
    names: list[str] = [name for name in ("test", "folds") if name in found]
    names += sorted(name for name in found if name.startswith("external-"))
    return {name: found[name] for name in names}, sorted(set(found) - set(names))


def _history(path: Path) -> pl.DataFrame | None:
    if not path.exists():
        return None
    try:
        table = pl.read_csv(path, schema_overrides=HISTORY)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UsageError("the history of training cannot be read", where=path) from error
    missing = [name for name in HISTORY if name not in table.columns]
    if missing:
        raise UsageError(f"the history of training lacks the columns {', '.join(missing)}", where=path)
    return table if table.height else None


def _json(path: Path, kind: type) -> Any:
    if not path.exists():
        return None
    content = files.read_json(path)
    if not isinstance(content, kind):
        raise UsageError(f"this file should hold a {'list' if kind is list else 'mapping'}", where=path)
    return content


def _audit(folder: Path, cohort: Cohort) -> Audit | None:
    """Return the audit, unless it is of an earlier cohort: its warnings would mislead."""
    if not (folder / "audit.json").exists():
        return None
    found = Audit.load(folder)
    return found if found.cohort == cohort.digest else None


def _attention(path: Path, manifest: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what an audit of attention found, unless it was of another bundle."""
    found: dict[str, Any] | None = _json(path, dict)
    return found if found and manifest and found.get("bundle") == manifest.get("core_digest") else None


def _calibration(path: Path) -> Calibration | None:
    if not path.exists():
        return None
    try:
        return Calibration.model_validate(files.read_json(path, BundleError))
    except ValidationError as error:
        raise BundleError("the calibration is not valid", where=path) from error
