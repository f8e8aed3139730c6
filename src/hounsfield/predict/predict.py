"""predict: Bundle + Cohort → Predictions, and a second cohort for the files that could not be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from hounsfield.core.bundle import Bundle
from hounsfield.core.calibration import Calibration
from hounsfield.core.cohort import ABSENT, PRESENT, Cohort
from hounsfield.core.plan import Plan
from hounsfield.core.predictions import FIXED, Predictions, Task
from hounsfield.errors import UsageError
from hounsfield.measure import probabilities, sets
from hounsfield.predict.engine import Scored, score
from hounsfield.predict.journal import Journal
from hounsfield.predict.judge import Judge, judge_of
from hounsfield.predict.suit import checks, with_looks
from hounsfield.prepare import CaseFiles, Preparation, case_files, preparation_from


def preparation_of(bundle: Bundle) -> Preparation:
    """Return what turns a case into the network's input, as the bundle has it."""
    return preparation_from(bundle.plan, bundle.recipe)


def predict(
    bundle: Bundle,
    cohort: Cohort,
    part: str = "test",
    *,
    name: str | None = None,
    device: str = "auto",
    runtime: str | Judge = "auto",
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    say: Callable[[str], None] | None = None,
    journal: Path | None = None,
) -> tuple[Predictions, Cohort]:
    """Predict one part of a cohort through the sealed bundle alone.

    Parameters
    ----------
    runtime:
        `torch`, `onnx` or `int8` (the graphs that `export` attached), or `auto`: `onnx` where the device is a CPU and the
        graph was proved to answer as torch does, else `torch`; or a judge of one's own. `say` hears which.
    journal:
        A file in which every answer is noted at once; if it is there from an interrupted prediction of the same cohort
        by the same bundle and runtime, that goes on. It is removed in the end.

    Returns
    -------
    The predictions, and the cohort with the cases in quarantine whose files could not be read. A case that is not such as the
    model was trained on (`predict.suit`) has the reason in `abstention`; it keeps the decision that it would have had.

    Raises
    ------
    UsageError
        If the part has no cases, or none of them can be read; or cases may have several labels here and one there; or
        the bundle does not hold what the runtime needs.
    """
    table = cohort.part(part)
    if table.height == 0:
        raise UsageError(
            f"the cohort has no usable cases in its {part} part", fix=f"Parts: {', '.join(cohort.parts) or 'none'}."
        )
    knows(bundle, cohort)
    judge, chosen = judge_of(bundle, device, runtime) if isinstance(runtime, str) else (runtime, "a given judge")
    belongs = {"bundle": bundle.core_digest, "runtime": chosen, "cohort": cohort.digest}
    notes = None if journal is None else Journal(journal, belongs)
    if say is not None:
        before = f"; {len(notes.known)} cases were answered before" if notes is not None and notes.known else ""
        say(f"answered by {chosen}{before}")
    _, check = checks(bundle)
    scored = score(
        judge,
        files_of(cohort, table),
        preparation_of(bundle),
        workers=workers,
        progress=progress,
        check=check,
        journal=notes,
    )
    predictions, cohort = collected(bundle, cohort, table, scored, name or part)
    if notes is not None:
        notes.end()
    return predictions, cohort


def collected(
    bundle: Bundle, cohort: Cohort, table: pl.DataFrame, scored: Scored, name: str
) -> tuple[Predictions, Cohort]:
    """Make the predictions of the cases of `table` from what was answered; cases that were refused go to quarantine.

    Raises
    ------
    UsageError
        If no case was answered.
    """
    cohort = cohort.put_aside(scored.refused, stage="predict")
    rows = table.filter(pl.col("case").is_in(list(scored.logits)))
    if rows.height == 0:
        raise UsageError(f"none of the {table.height} cases can be read: {sorted(set(scored.refused.values()))[0]}")
    logits = np.stack([scored.logits[case].mean(axis=0) for case in rows["case"]])
    made = tabulate(rows, logits, bundle.plan, bundle.calibration, bundle.core_digest, name)
    by_header, _ = checks(bundle)
    reasons = [by_header(row) or scored.seen[row["case"]].reason for row in rows.iter_rows(named=True)]
    made = Predictions(made.table.with_columns(pl.Series("abstention", reasons, pl.String)), made.task)
    return with_slice_weights(with_looks(made, rows, scored.seen), scored.weights), cohort


def with_slice_weights(predictions: Predictions, weights: Mapping[str, np.ndarray]) -> Predictions:
    """Add how much each slice counted in its case: `slice_weights`, in the order in which the network saw the slices.

    `weights` are those of `Scored`; where it has none (single images, volumes) nothing is added.
    """
    if not weights:
        return predictions
    rows = [weights[case].tolist() if case in weights else None for case in predictions.table["case"]]
    return Predictions(
        predictions.table.with_columns(pl.Series("slice_weights", rows, pl.List(pl.Float64))), predictions.task
    )


def knows(bundle: Bundle, cohort: Cohort) -> None:
    """Refuse a cohort whose states are not those of the bundle's labels, in their order: columns would be mixed up."""
    several, about = bundle.plan.task.value == "multilabel", cohort.about
    if several != about.multi_label or (several and about.labels != bundle.labels):
        there = f"has the labels {', '.join(about.labels)}" + (", any number per case" if about.multi_label else "")
        here = f"knows {', '.join(bundle.labels)}" + (", any number per case" if several else "")
        raise UsageError(f"the cohort {there}, and the bundle {here}", fix="Scan the images with labels of this kind.")


def files_of(cohort: Cohort, table: pl.DataFrame) -> list[CaseFiles]:
    """Return the files of the cases of a table, in its order, with their regions of interest."""
    keys = [*(key for row in table["files"].to_list() for key in row), *table["mask"].drop_nulls().to_list()]
    found = dict(zip(keys, cohort.locate(keys), strict=True))
    columns = ("case", "files", "frames", "stacks", "region", "mask")
    return [
        case_files(
            [found[key] for key in files],
            frames,
            case,
            stacks=stacks,
            interest=region,
            mask=found[mask] if mask else None,
        )
        for case, files, frames, stacks, region, mask in table.select(columns).iter_rows()
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

    `calibration` is one for all, or one per row where predictions are out of fold. Where a case may have several labels the
    truth comes from `rows["states"]`, in the order of the plan's labels.
    """
    each = [calibration] * rows.height if isinstance(calibration, Calibration) else list(calibration)
    values = np.concatenate([calibrated(logits[row : row + 1], plan, one) for row, one in enumerate(each)])
    labels, several = plan.labels.value, plan.task.value == "multilabel"
    with_sets = all(one.floors for one in each)
    rules = list(dict.fromkeys(point.rule for one in each for point in one.points))
    task = Task(
        labels=labels, positive=plan.positive.value, multi_label=several, threshold=each[0].threshold,
        thresholds=each[0].thresholds, operating_point=each[0].operating_point,
        points={rule: _common([_cut(one, rule) for one in each]) for rule in rules},
        coverage=each[0].coverage if with_sets else None, bundle=bundle, name=name,
    )  # fmt: skip
    columns: Mapping[str, object] = {
        **{column: rows[column] for column in ("case", "patient", "split", "site", "scanner", "sex", "age_band")},
        # Predictions of a cohort that was divided several times are means over several folds.
        "fold": [folds[0] if folds is not None and len(folds) == 1 else None for folds in rows["folds"]],
        **dict.fromkeys(("truth", "decision", "abstention"), [None] * rows.height),
    }  # fmt: skip
    if not several:
        chosen = [decide(values[row], labels, one.threshold) for row, one in enumerate(each)]
        columns = {**columns, "truth": rows["label"], "decision": chosen}
    table = pl.DataFrame(columns, schema_overrides=FIXED).select(list(FIXED))
    for place, output in enumerate(plan.outputs):
        table = table.with_columns(
            pl.Series(f"logit:{output}", logits[:, place]), pl.Series(f"probability:{output}", values[:, place])
        )
    for rule in rules:
        called = [
            None if (cut := _cut(one, rule)) is None else bool(values[row, 0] >= cut) for row, one in enumerate(each)
        ]
        table = table.with_columns(pl.Series(f"called:{rule}", called, pl.Boolean))
    if with_sets:
        table = table.with_columns(_sets(values, labels, each, several=several))
    if several:
        states = [decide_each(values[row], one.thresholds) for row, one in enumerate(each)]
        table = table.with_columns(*_states("truth", labels, rows["states"]), *_states("decision", labels, states))
    return Predictions(table, task)


def _sets(values: np.ndarray, labels: Sequence[str], each: Sequence[Calibration], *, several: bool) -> list[pl.Series]:
    """The labels that cannot be ruled out; with several per case, those whose presence cannot, and those whose absence cannot."""
    lowest = np.array([[one.floors[label] for label in labels] for one in each])
    held = {"set": values >= lowest if several else sets(values, lowest)}
    if several:
        held["set_absent"] = 1 - values >= np.array([[one.absent_floors[label] for label in labels] for one in each])
    return [
        pl.Series(
            name,
            [[label for label, is_in in zip(labels, row, strict=True) if is_in] for row in inside],
            pl.List(pl.String),
        )
        for name, inside in held.items()
    ]


def _cut(calibration: Calibration, rule: str) -> float | None:
    return next((point.threshold for point in calibration.points if point.rule == rule), None)


def _common(cuts: Sequence[float | None]) -> float | None:
    """The threshold that all cases share, None where folds have their own."""
    return cuts[0] if len(set(cuts)) == 1 else None


def calibrated(logits: np.ndarray, plan: Plan, calibration: Calibration) -> np.ndarray:
    """Return the probabilities (cases, outputs) of logits (cases, outputs), by the link of the plan's task."""
    several = plan.task.value == "multilabel"
    return probabilities(
        logits,
        multi_label=several,
        temperature=calibration.divisors,
        offsets=calibration.offsets,
        curves=calibration.knots,
    )


def decide(probability: np.ndarray, labels: Sequence[str], threshold: float | None) -> str:
    """Return the decided label of one case: by the threshold where there is one output, else the most probable."""
    if len(probability) == 1:
        return labels[int(probability[0] >= (0.5 if threshold is None else threshold))]
    return labels[int(probability.argmax())]


def decide_each(probability: np.ndarray, thresholds: Sequence[float] | None) -> list[int]:
    """Return 1 (present) or 0 for each label of a case that may have several, each by its own threshold."""
    cuts = [0.5] * len(probability) if thresholds is None else thresholds
    return [int(value >= cut) for value, cut in zip(probability, cuts, strict=True)]


def _states(kind: str, labels: Sequence[str], states: Iterable[Sequence[int | None] | None]) -> list[pl.Series]:
    """One column per label; a state that is uncertain, or of a case without any, is null."""
    rows = [[None] * len(labels) if row is None else row for row in states]
    columns = zip(*rows, strict=True) if rows else [()] * len(labels)
    return [
        pl.Series(f"{kind}:{name}", [state if state in (PRESENT, ABSENT) else None for state in column], pl.Int8)
        for name, column in zip(labels, columns, strict=True)
    ]


def bundle_at(place: Path) -> Bundle:
    """Load the bundle of a run folder, or the bundle that a folder or a packed file is.

    Raises
    ------
    BundleError
        If there is none, or it is damaged.
    """
    return Bundle.load(place / "bundle" if (place / "bundle").is_dir() else place)
