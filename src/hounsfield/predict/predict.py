"""predict: Bundle + Cohort → Predictions, and a second cohort for the files that could not be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from hounsfield.core.bundle import Bundle, Calibration
from hounsfield.core.cohort import Cohort
from hounsfield.core.plan import Plan
from hounsfield.core.predictions import FIXED, Predictions, Task
from hounsfield.errors import UsageError
from hounsfield.measure import probabilities
from hounsfield.models import Network, build
from hounsfield.models.device import choose_device
from hounsfield.predict.engine import score
from hounsfield.prepare import CaseFiles, Preparation, case_files


def load_network(bundle: Bundle, device: str = "auto") -> Network:
    """Build the bundle's network and load its weights.

    Raises
    ------
    BundleError
        If the weights do not fit.
    """
    return build(bundle.plan, blank=True).load(bundle.weights).to(choose_device(device))


def preparation_of(bundle: Bundle) -> Preparation:
    """Return what turns a case into the network's input, as the bundle has it."""
    plan = bundle.plan
    return Preparation(plan.conditioning.value, plan.slices.value, bundle.recipe, tuple(plan.clean.value))


def predict(
    bundle: Bundle,
    cohort: Cohort,
    part: str = "test",
    *,
    name: str | None = None,
    device: str = "auto",
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Predictions, Cohort]:
    """Predict one part of a cohort through the sealed bundle alone.

    Returns
    -------
    The predictions, and the cohort with the cases in quarantine whose files could not be read.

    Raises
    ------
    UsageError
        If the part has no cases, or none of them can be read.
    """
    table = cohort.part(part)
    if table.height == 0:
        raise UsageError(
            f"the cohort has no usable cases in its {part} part", fix=f"Parts: {', '.join(cohort.parts) or 'none'}."
        )
    network = load_network(bundle, device)
    scored = score(
        network,
        files_of(cohort, table),
        preparation_of(bundle),
        device=choose_device(device),
        workers=workers,
        progress=progress,
    )
    cohort = cohort.put_aside(scored.refused, stage="predict")
    rows = table.filter(pl.col("case").is_in(list(scored.logits)))
    if rows.height == 0:
        raise UsageError(f"none of the {table.height} cases can be read: {sorted(set(scored.refused.values()))[0]}")
    logits = np.stack([scored.logits[case].mean(axis=0) for case in rows["case"]])
    return tabulate(rows, logits, bundle.plan, bundle.calibration, bundle.core_digest, name or part), cohort


def files_of(cohort: Cohort, table: pl.DataFrame) -> list[CaseFiles]:
    """Return the files of the cases of a table, in its order."""
    keys = [key for row in table["files"].to_list() for key in row]
    found = dict(zip(keys, cohort.locate(keys), strict=True))
    return [
        case_files([found[key] for key in files], frames, case)
        for case, files, frames in table.select("case", "files", "frames").iter_rows()
    ]


def tabulate(
    rows: pl.DataFrame,
    logits: np.ndarray,
    plan: Plan,
    calibration: Calibration | Sequence[Calibration],
    bundle: str,
    name: str,
) -> Predictions:
    """Make Predictions from a cohort's rows and their (cases, outputs) logits.

    `calibration` is one for all, or one per row where predictions are out of fold.
    """
    each = [calibration] * rows.height if isinstance(calibration, Calibration) else list(calibration)
    values = np.concatenate([
        probabilities(logits[row : row + 1], temperature=one.temperature, offsets=one.offsets) for row, one in enumerate(each)
    ])  # fmt: skip
    labels = plan.labels.value
    chosen = [decide(values[row], labels, one.threshold) for row, one in enumerate(each)]
    task = Task(
        labels=labels, positive=plan.positive.value, threshold=each[0].threshold, operating_point=each[0].operating_point,
        bundle=bundle, name=name,
    )  # fmt: skip
    columns: Mapping[str, object] = {
        **{column: rows[column] for column in ("case", "patient", "split", "site", "scanner", "sex", "age_band")},
        "truth": rows["label"], "decision": chosen, "abstention": [None] * rows.height,
        # Predictions of a cohort that was divided several times are means over several folds.
        "fold": [folds[0] if folds is not None and len(folds) == 1 else None for folds in rows["folds"]],
    }  # fmt: skip
    table = pl.DataFrame(columns, schema_overrides=FIXED).select(list(FIXED))
    for place, output in enumerate(plan.outputs):
        table = table.with_columns(
            pl.Series(f"logit:{output}", logits[:, place]), pl.Series(f"probability:{output}", values[:, place])
        )
    return Predictions(table, task)


def decide(probability: np.ndarray, labels: Sequence[str], threshold: float | None) -> str:
    """Return the decided label of one case: by the threshold where there is one output, else the most probable."""
    if len(probability) == 1:
        return labels[int(probability[0] >= (0.5 if threshold is None else threshold))]
    return labels[int(probability.argmax())]


def bundle_at(place: Path) -> Bundle:
    """Load the bundle of a run folder, or the bundle that a folder is.

    Raises
    ------
    BundleError
        If there is none, or it is damaged.
    """
    return Bundle.load(place / "bundle" if (place / "bundle").is_dir() else place)
