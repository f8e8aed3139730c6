"""run: every stage in order, in one run folder; what is done stays done, so that the same command goes on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from hounsfield.cohort import Labelling
from hounsfield.core.cohort import Cohort
from hounsfield.errors import ExportError
from hounsfield.pipeline import stages
from hounsfield.pipeline.folder import RunFolder
from hounsfield.pipeline.stages import Machine, PlanOptions, ScanOptions


@dataclass(frozen=True)
class External:
    """Another centre: its images, and its labels where they are not in a labels.csv or folders of its own."""

    images: Path
    labelling: Labelling = field(default_factory=Labelling)


def run_all(
    out: Path,
    options: ScanOptions,
    plan: PlanOptions,
    machine: Machine,
    externals: Mapping[str, External] | None = None,
) -> RunFolder:
    """Scan, audit, plan, train, export, predict, explain, evaluate and report.

    A budget of the plan covers all of these, but not the other centres. An export that is refused does not stop the
    rest: torch predicts then, and the report says why.

    Raises
    ------
    HounsfieldError
        For whatever a stage cannot do; see there.
    """
    started = time.monotonic()
    run = RunFolder(out)
    stages.scan_stage(run, options, machine, anew=False)
    stages.audit_stage(run, machine, options.splitting.seed)
    stages.plan_stage(run, plan, machine, anew=False, started=started)
    stages.train_stage(run, machine)
    # Before the predictions, so that they and all later ones by this bundle come from the same runtime.
    try:
        stages.export_stage(run, machine)
    except ExportError as error:
        machine.reporter.say(f"not exported: {error.what}")
    if Cohort.load(run.path).part("test").height:
        stages.predict_stage(run, machine)
    for name, external in (externals or {}).items():
        looking = replace(options.looking, pixels=False)
        stages.external_stage(run, name, external.images, external.labelling, machine, options.key_file, looking)
    stages.explain_stage(run, machine)
    stages.report_stage(run, machine)
    return run
