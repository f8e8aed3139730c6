"""What `show` tells: summaries and lists of a run folder, by pseudonym unless paths are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from hounsfield.audit import Audit
from hounsfield.core.archive import ENDING
from hounsfield.core.bundle import Bundle
from hounsfield.core.cohort import PRESENT, Cohort
from hounsfield.core.plan import Plan
from hounsfield.errors import HounsfieldError, UsageError
from hounsfield.pipeline.folder import RunFolder
from hounsfield.pipeline.stages import main_predictions
from hounsfield.pipeline.verbs import show

Listing = tuple[tuple[str, ...], list[tuple[str, ...]]]


def summary(place: Path) -> list[str]:
    """Return a line for each thing that a place holds."""
    lines = [show(place)]
    run = RunFolder(place)
    if (place / "cohort.parquet").exists():
        if (run.audit / "audit.json").exists():
            lines.append(str(Audit.load(run.audit)))
        if run.plan.exists():
            lines.append(str(Plan.load(run.plan)))
        if run.bundle.is_dir():
            lines.append(str(Bundle.load(run.bundle)))
        lines += [show(path) for path in sorted((place / "predictions").glob("*.parquet"))]
        if run.report.exists():
            lines.append(f"report: {run.report}")
    return lines


def plan_rows(place: Path) -> list[tuple[str, ...]]:
    """Return (decision, value, reason) of a run folder's plan, or of a bundle's, packed or not."""
    file = place if place.suffix == ".yaml" else place / "plan.yaml"
    plan = Bundle.load(place).plan if place.suffix == ENDING else Plan.load(file)
    content = plan.model_dump(mode="json")
    return [(name, str(content[name]["value"]), content[name]["reason"]) for name in plan.decisions]


def cases(place: Path, paths: bool) -> Listing:
    """Return the cases of a run folder, with the decision and probability where there is a prediction."""
    cohort = Cohort.load(place, private=paths)
    known: dict[str, tuple[str, str]] = {}
    try:
        predictions = main_predictions(RunFolder(place))
    except HounsfieldError:
        pass  # not predicted yet: the list then has no decisions
    else:
        values, task = predictions.probabilities, predictions.task
        best = values.max(axis=1) if values.shape[1] > 1 else values[:, 0]
        decided = (
            [_present(task.labels, states) for states in predictions.decision_states]
            if task.multi_label
            else predictions.table["decision"].to_list()
        )
        told = zip(predictions.table["case"], decided, best, strict=True)
        known = {case: (decision, f"{value:.3f}") for case, decision, value in told}
    where = _paths(cohort, paths)
    rows = [
        (
            row["case"],
            row["split"] or "",
            row["label"] or _present(cohort.about.labels, row["states"] or ()),
            *known.get(row["case"], ("", "")),
            *([where.get(row["case"], "")] if paths else []),
        )
        for row in cohort.usable.iter_rows(named=True)
    ]
    return ("case", "split", "label", "decision", "probability", *(["path"] if paths else [])), rows


def _present(labels: Sequence[str], states: Iterable[int | None]) -> str:
    """The labels that are present, where a case may have several."""
    return ", ".join(label for label, state in zip(labels, states, strict=False) if state == PRESENT)


def quarantine(place: Path, paths: bool) -> Listing:
    """Return what was put aside: item, kind, stage, reason."""
    cohort = Cohort.load(place, private=paths)
    where = _paths(cohort, paths)
    rows = [(*map(str, row), *([where.get(row[0], "")] if paths else [])) for row in cohort.quarantine.iter_rows()]
    return ("item", "kind", "stage", "reason", *(["path"] if paths else [])), rows


def _paths(cohort: Cohort, wanted: bool) -> dict[str, str]:
    if not wanted:
        return {}
    if cohort.crosswalk is None:
        raise UsageError("this run has no private crosswalk, so paths cannot be told", fix="Leave --paths out.")
    found: dict[str, str] = {}
    for key, case, path in cohort.crosswalk.select("key", "case", "path").iter_rows():
        found[key] = path
        if case is not None:
            found.setdefault(case, path)
    return found
