"""Each stage on a run folder: read what it needs, do it unless it is done, write the result, say it in a line."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from hounsfield.audit import Audit, audit
from hounsfield.cohort import Labelling, Looking, Splitting, Stated, scan, scan_for_prediction
from hounsfield.core import files
from hounsfield.core.bundle import Bundle
from hounsfield.core.cohort import Cohort
from hounsfield.core.digest import digest, digest_file
from hounsfield.core.plan import Plan
from hounsfield.core.predictions import Predictions
from hounsfield.errors import UsageError
from hounsfield.evaluate import Evaluation
from hounsfield.explain import (
    CASE_METHODS,
    GRADCAM,
    METHODS,
    OTHERWISE,
    NoFeatureMapsError,
    choices_of,
    explain,
    most_confident,
    panel_facts,
    write_panels,
    write_records,
)
from hounsfield.explain.attention import POINTERS, attend, judge_looks, write_attention
from hounsfield.export import Bench, Parity, bench, export
from hounsfield.pipeline.folder import RunFolder
from hounsfield.pipeline.reporter import SILENT, Reporter
from hounsfield.plan import Budget, make_plan
from hounsfield.predict import bundle_at, is_proved, predict
from hounsfield.report import write_case_page, write_datasheet, write_report
from hounsfield.train import Listeners, train

# What is only to be predicted is not looked at: its pixels are decoded once, for the prediction.
UNSEEN = Looking(pixels=False)


@dataclass(frozen=True)
class ScanOptions:
    """Everything that decides what a cohort will be, beside the files themselves."""

    images: Path
    labelling: Labelling = field(default_factory=Labelling)
    stated: Stated = field(default_factory=Stated)
    splitting: Splitting = field(default_factory=Splitting)
    key_file: Path | None = None
    looking: Looking = field(default_factory=Looking)

    @property
    def digest(self) -> str:
        table = self.labelling.table
        content = asdict(self) | {"images": str(self.images.resolve()), "key_file": str(self.key_file)}
        masks = self.labelling.masks
        content["labelling"] = asdict(self.labelling) | {
            "table": str(table.resolve()) if table else None, "masks": str(masks.resolve()) if masks else None,
        }  # fmt: skip
        content["table"] = [table.stat().st_size, table.stat().st_mtime_ns] if table and table.exists() else None
        return digest(content)


@dataclass(frozen=True)
class PlanOptions:
    """What the user decided before the planner did.

    Attributes
    ----------
    side_free, loss, decisions, trials:
        As for `make_plan`.
    budget:
        Seconds that the command may take, if there is a limit.
    """

    side_free: bool = False
    loss: str = "cross-entropy"
    decisions: Mapping[str, Any] = field(default_factory=dict)
    budget: float | None = None
    trials: bool = False

    @property
    def digest(self) -> str:
        return digest(asdict(self) | {"decisions": dict(self.decisions)})


@dataclass(frozen=True)
class Machine:
    """Where it runs: device, worker processes (None: one per core), who hears of it (a reporter, and MLflow if named), and the
    runtime of predictions (see `predict`).
    """

    device: str = "auto"
    workers: int | None = None
    reporter: Reporter = SILENT
    mlflow: str | None = None
    runtime: str = "auto"


def scan_stage(run: RunFolder, options: ScanOptions, machine: Machine, *, anew: bool = True) -> Cohort:
    """Scan into the run folder; with `anew` false, keep a cohort that was scanned with the same options."""
    machine.reporter.stage("scan")
    files.make_folder(run.path)
    if not anew and run.recall("scan") == options.digest and (run.path / "cohort.parquet").exists():
        cohort = Cohort.load(run.path)
        machine.reporter.say(f"{cohort} (scanned before)")
        return cohort
    with run.timed("scan"):
        cohort = scan(
            options.images, options.labelling, splitting=options.splitting, stated=options.stated, looking=options.looking,
            key_file=options.key_file, run=run.path, workers=machine.workers, progress=machine.reporter.bar,
            say=machine.reporter.say,
        )  # fmt: skip
    cohort.save(run.path)
    run.remember("scan", options.digest)
    _tell_cohort(cohort, machine.reporter)
    return cohort


def audit_stage(run: RunFolder, machine: Machine, seed: int = 0, *, anew: bool = False) -> Audit:
    """Audit the cohort and write the data sheet; an audit that was made of this cohort is kept."""
    machine.reporter.stage("audit")
    cohort = Cohort.load(run.path)
    if not anew and run.recall("audit") == digest([cohort.digest, seed]) and (run.audit / "audit.json").exists():
        found = Audit.load(run.audit)
        machine.reporter.say(f"{found} (audited before)")
    else:
        with run.timed("audit"):
            found = audit(
                cohort,
                run=run.path,
                folder=run.audit,
                workers=machine.workers,
                seed=seed,
                progress=machine.reporter.bar,
            )
            write_datasheet(run.audit)
        run.remember("audit", digest([cohort.digest, seed]))
        machine.reporter.say(str(found))
    for item in [*found.of("alarm"), *found.of("warning")]:
        machine.reporter.say(f"  {item.level}: {item.sentence}")
    return found


def plan_stage(
    run: RunFolder, options: PlanOptions, machine: Machine, *, anew: bool = True, started: float | None = None
) -> Plan:
    """Plan; with `anew` false, keep a plan.yaml of this cohort (perhaps edited), unless options ask for another.

    `started` is when the whole run began (`time.monotonic()`), whose budget then covers all its stages.
    """
    machine.reporter.stage("plan")
    cohort = Cohort.load(run.path)
    if not anew and run.plan.exists():
        plan = Plan.load(run.plan)
        if plan.cohort == cohort.digest and (options == PlanOptions() or run.recall("plan") == options.digest):
            machine.reporter.say(f"{plan} (from {run.plan.name})")
            return plan
    with run.timed("plan"):
        plan = make_plan(
            cohort,
            side_free=options.side_free,
            loss=options.loss,
            workers=machine.workers,
            device=machine.device,
            decisions=options.decisions,
            budget=None if options.budget is None else Budget(options.budget, started),
            trials=options.trials,
            place=run.path,
            say=machine.reporter.say,
        )
    plan.save(run.plan)
    run.remember("plan", options.digest)
    machine.reporter.say(str(plan))
    for name in ("windows", "dimension", "size", "augmentation", "frozen", "loss", "limits", "cost"):
        machine.reporter.say(f"  {name}: {plan.decisions[name].reason}")
    return plan


def train_stage(run: RunFolder, machine: Machine, *, anew: bool = False) -> Bundle:
    """Train and seal; a bundle that this plan gave before is kept, an interrupted training goes on."""
    reporter = machine.reporter
    reporter.stage("train")
    cohort, plan = Cohort.load(run.path), Plan.load(run.plan)
    if not anew and run.bundle.is_dir():
        bundle = Bundle.load(run.bundle)
        if bundle.plan.digest == plan.digest:
            reporter.say(f"{bundle} (trained before)")
            return bundle
    if anew:
        shutil.rmtree(run.path / "train", ignore_errors=True)
    bars: dict[str, Any] = {}

    def progress(what: str, done: int, total: int) -> None:
        if what not in bars:
            bars[what] = reporter.bar(what)
        bars[what](done, total)

    with run.timed("train"):
        result = train(
            cohort, plan, run.path, device=machine.device, workers=machine.workers,
            listeners=Listeners(
                progress, lambda member, news: reporter.epoch(member, plan.members.value, news), reporter.say, machine.mlflow
            ),
        )  # fmt: skip
    _keep_cohort(run, cohort, result.cohort, reporter)
    if result.out_of_fold is not None:
        result.out_of_fold.save(run.predictions("folds"))
        reporter.say(f"{result.out_of_fold}")
    reporter.say(str(result.bundle))
    calibration = result.bundle.calibration
    cut = ""
    if calibration.threshold is not None:
        cut = f", threshold {calibration.threshold:.3f} ({calibration.operating_point})"
    elif calibration.thresholds is not None:
        cut = f", a threshold for each label ({calibration.operating_point})"
    warmth = [calibration.temperature] if calibration.temperatures is None else calibration.temperatures
    told = ", ".join(f"{value:.2f}" for value in warmth)
    note = f"; {calibration.note}" if calibration.note else ""
    name = {"platt": "platt, ", "isotonic": "isotonic, "}.get(calibration.method, "")
    reporter.say(
        f"  {name}temperature {told}{cut}, fitted on {calibration.fitted_on} ({calibration.cases} cases){note}"
    )
    return result.bundle


def predict_stage(run: RunFolder, machine: Machine, part: str = "test") -> Predictions:
    """Predict a part of the run's own cohort through its sealed bundle."""
    machine.reporter.stage("predict")
    if run.path.is_file():
        raise UsageError("a bundle brings no images with it", where=run.path, fix="Name the folder of images as well.")
    bundle, cohort = Bundle.load(run.bundle), Cohort.load(run.path)
    known = _predicted_before(run.predictions(part), bundle)
    if known is not None:
        machine.reporter.say(f"{known} (predicted before)")
        return known
    with run.timed("predict"):
        predictions, after = predict(
            bundle,
            cohort,
            part,
            device=machine.device,
            runtime=machine.runtime,
            workers=machine.workers,
            progress=machine.reporter.bar(f"predicting {part}"),
            say=machine.reporter.say,
            journal=_journal(run.predictions(part)),
        )
    _keep_cohort(run, cohort, after, machine.reporter)
    predictions.save(run.predictions(part))
    machine.reporter.say(str(predictions))
    return predictions


def predict_folder(
    place: Path, images: Path, out: Path, labelling: Labelling, machine: Machine, key_file: Path | None = None,
    looking: Looking = UNSEEN,
) -> Path:  # fmt: skip
    """Predict any folder of images with a bundle (or the bundle of a run folder) and write the table, Parquet or CSV."""
    machine.reporter.stage("predict")
    bundle = bundle_at(place)
    if out.suffix not in (".parquet", ".csv"):
        raise UsageError(f"predictions are written as .parquet or .csv, not {out.suffix!r}", where=out)
    cohort = scan_for_prediction(
        images, bundle.labels, bundle.positive, labelling, multi_label=_several(bundle), looking=looking,
        key_file=key_file, workers=machine.workers, progress=machine.reporter.bar,
    )  # fmt: skip
    predictions, after = predict(
        bundle,
        cohort,
        name=out.stem,
        device=machine.device,
        runtime=machine.runtime,
        workers=machine.workers,
        progress=machine.reporter.bar("predicting"),
        say=machine.reporter.say,
        journal=_journal(out),
    )
    if out.suffix == ".parquet":
        predictions.save(out)
    else:
        predictions.write_csv(out)
    machine.reporter.say(f"{predictions}")
    for item, kind, _, reason in after.quarantine.iter_rows():
        machine.reporter.say(f"  not predicted: {kind} {item}: {reason}")
    return out


def external_stage(
    run: RunFolder, name: str, images: Path, labelling: Labelling, machine: Machine, key_file: Path | None,
    looking: Looking = UNSEEN,
) -> Predictions:  # fmt: skip
    """Scan another centre and predict it with the sealed bundle; nothing is refitted."""
    machine.reporter.stage(f"external centre {name}")
    if not name.replace("-", "").replace("_", "").isalnum():
        raise UsageError(f"{name!r} cannot name a centre", fix="Use letters, digits, - and _.")
    bundle = Bundle.load(run.bundle)
    own = _own_table(images)
    # The masks of home say nothing of the images of another centre.
    table = replace(labelling, masks=None)
    table = replace(table, table=own, key=None, label=(), positive=None) if own else table
    with run.timed(f"external-{name}"):
        cohort = scan_for_prediction(
            images, bundle.labels, bundle.positive, table, multi_label=_several(bundle), stated=Stated(site=name),
            looking=looking, key_file=key_file, run=run.external(name), workers=machine.workers, progress=machine.reporter.bar,
            say=machine.reporter.say,
        )  # fmt: skip
        predictions, after = predict(
            bundle, cohort, "test", name=f"external-{name}", device=machine.device, runtime=machine.runtime,
            workers=machine.workers, progress=machine.reporter.bar(f"predicting {name}"), say=machine.reporter.say,
            journal=_journal(run.predictions(f"external-{name}")),
        )  # fmt: skip
    after.save(files.make_folder(run.external(name)))
    predictions.save(run.predictions(f"external-{name}"))
    machine.reporter.say(f"{after}")
    machine.reporter.say(f"{predictions}")
    return predictions


def explain_stage(
    run: RunFolder, machine: Machine, cases: Mapping[str, str | None] | None = None, methods: Sequence[str] | None = None,
    *, check: bool = False,
) -> Path:  # fmt: skip
    """Explain chosen cases (case → label or None for the decided one), by default the most confident right and wrong ones, and
    then look at where the maps of the whole part lie.

    Each chosen case gets a page of its own. Methods are those of `CASE_METHODS` then, and else Grad-CAM; where the network has no
    feature maps for that, integrated gradients take its place.
    """
    machine.reporter.stage("explain")
    usual = (GRADCAM,) if cases is None else CASE_METHODS
    if methods:
        return _explain(run, machine, cases, methods, check=check)
    try:
        return _explain(run, machine, cases, usual, check=check)
    except NoFeatureMapsError as error:
        machine.reporter.say(f"  {error.what}: {METHODS[OTHERWISE].title} instead")
        return _explain(run, machine, cases, [OTHERWISE if one == GRADCAM else one for one in usual], check=check)


def _explain(
    run: RunFolder, machine: Machine, cases: Mapping[str, str | None] | None, methods: Sequence[str], *, check: bool
) -> Path:
    bundle, cohort = Bundle.load(run.bundle), Cohort.load(run.path)
    predictions = main_predictions(run)
    chosen = most_confident(predictions) if cases is None else choices_of(predictions, cases)
    targets = {one.case: one.target for one in chosen}
    pages: list[Path] = []
    with run.timed("explain"):
        found = explain(
            bundle,
            cohort,
            targets,
            methods,
            check=check,
            device=machine.device,
            workers=machine.workers,
            progress=machine.reporter.bar("maps"),
        )
        panels = write_panels(run.explain, bundle, found, panel_facts(predictions, chosen))
        if cases is not None:
            write_records(
                run.explain,
                bundle,
                cohort,
                found,
                device=machine.device,
                workers=machine.workers,
                progress=machine.reporter.bar("looking for similar training cases"),
            )
            pages = [write_case_page(run.path, one.case) for one in chosen]
    titles = ", ".join(METHODS[method].title for method in methods)
    machine.reporter.say(f"{titles} of {len(found)} cases in {run.explain}")
    for one in found:
        for item in one.checks:
            answer = {True: "passed", False: "FAILED", None: "not asked"}[item.passed]
            machine.reporter.say(f"  {one.case} {item.method}, {item.name}: {answer}; {item.said}")
    if cases is None:
        _attention(run, bundle, cohort, predictions, methods, machine)
    for page in pages:
        machine.reporter.say(f"  {page}")
    return panels


def _attention(
    run: RunFolder, bundle: Bundle, cohort: Cohort, predictions: Predictions, methods: Sequence[str], machine: Machine
) -> None:
    """Audit where the maps of a part lie, by a method that is quick; where there are masks of lesions, also by those that doctors
    know best.
    """
    marked = cohort.usable["mask"].null_count() < cohort.usable.height
    quick = next((method for method in methods if not METHODS[method].asks), OTHERWISE)
    rivals = [one for one in POINTERS if quick != OTHERWISE or not one.startswith(GRADCAM)] if marked else []
    asked = list(dict.fromkeys([quick, *methods, *rivals]))
    with run.timed("attention"):
        looks = attend(
            bundle,
            cohort,
            predictions,
            asked,
            device=machine.device,
            workers=machine.workers,
            progress=machine.reporter.bar,
        )
        found = judge_looks(looks)
        write_attention(run.explain, bundle.core_digest, looks, found)
    machine.reporter.say(f"where the maps of {found.cases} of {found.total} cases lie:")
    for item in found.items:
        machine.reporter.say(f"  {item.level}: {item.sentence}")
    for why, count in found.left_out.items():
        machine.reporter.say(f"  left out, {count}: {why}")


def export_stage(run: RunFolder, machine: Machine, *, int8: bool = False) -> Parity:
    """Export to ONNX, refused unless it answers as the Python path does; with `int8` also quantised, if the AUC holds."""
    machine.reporter.stage("export")
    bundle, cohort = Bundle.load(run.bundle), Cohort.load(run.path)
    known = None if int8 else _exported_before(run, bundle)
    if known is not None:
        machine.reporter.say(f"{known} (exported before)")
        return known
    with run.timed("export"):
        exported = export(
            bundle,
            cohort,
            run.export,
            int8=int8,
            workers=machine.workers,
            progress=machine.reporter.bar("reading images"),
        )
    machine.reporter.say(str(exported.parity))
    if exported.small is not None:
        machine.reporter.say(str(exported.small))
    return exported.parity


def bench_stage(place: Path, machine: Machine) -> Bench:
    """Measure the variants of a bundle; of a run folder with its own images, and written to export/bench.json."""
    machine.reporter.stage("bench")
    run = RunFolder(place) if (place / "cohort.parquet").exists() else None
    cohort = None if run is None else Cohort.load(run.path)
    found = bench(bundle_at(place), cohort, workers=machine.workers, progress=machine.reporter.bar("variants"))
    if run is not None:
        files.write_json(files.make_folder(run.export) / "bench.json", found.to_dict())
    return found


def pack_stage(place: Path, out: Path, machine: Machine, without: Sequence[str] = ()) -> Path:
    """Write a bundle (or the bundle of a run folder) as one file, and say what it is known by."""
    machine.reporter.stage("pack")
    bundle = bundle_at(place)
    bundle.pack(out, without=without)
    machine.reporter.say(str(bundle))
    machine.reporter.say(f"size: {out.stat().st_size / 2**20:.1f} MiB")
    machine.reporter.say(f"sha256: {digest_file(out)}")
    machine.reporter.say(f"core digest: {bundle.core_digest}")
    return out


def report_stage(run: RunFolder, machine: Machine, resamples: int = 2000, prevalences: Sequence[float] = ()) -> Path:
    """Judge all predictions of the run and write the report."""
    machine.reporter.stage("evaluate")
    page = write_report(run.path, resamples=resamples, prevalences=prevalences)
    content = files.read_json(page.with_name("report.json"))
    for evaluation in content["evaluations"].values():
        machine.reporter.say(str(Evaluation.from_dict(evaluation)))
    for drop in content.get("drops", []):
        machine.reporter.say(drop["sentence"])
    for warning in content.get("warnings", []):
        machine.reporter.say(f"  note: {warning}")
    return page


def main_predictions(run: RunFolder) -> Predictions:
    """Return the run's own predictions: of the test part, or else out of fold."""
    name = next((name for name in ("test", "folds") if run.predictions(name).exists()), "test")
    return Predictions.load(run.predictions(name))


def _journal(out: Path) -> Path:
    """Where answers are noted until a table of predictions is written."""
    return out.with_name(f".{out.name}.journal")


def _several(bundle: Bundle) -> bool:
    """Whether a case may have several labels."""
    return bundle.plan.task.value == "multilabel"


def _predicted_before(path: Path, bundle: Bundle) -> Predictions | None:
    if not path.exists():
        return None
    found = Predictions.load(path)
    return found if found.task.bundle == bundle.core_digest else None


def _exported_before(run: RunFolder, bundle: Bundle) -> Parity | None:
    record = run.export / "parity.json"
    if not record.exists() or not (run.export / "model.onnx").exists():
        return None
    return Parity.model_validate(files.read_json(record)) if is_proved(bundle) else None


def _keep_cohort(run: RunFolder, before: Cohort, after: Cohort, reporter: Reporter) -> None:
    count = after.quarantine.height - before.quarantine.height
    if count:
        after.save(run.path)
        reporter.say(f"{count} more item(s) went to quarantine; see {run.path / 'quarantine.csv'}")


def _own_table(images: Path) -> Path | None:
    found = (images if images.is_dir() else images.parent) / "labels.csv"
    return found if found.exists() else None


def _tell_cohort(cohort: Cohort, reporter: Reporter) -> None:
    reporter.say(str(cohort))
    about = cohort.about
    key = f", matched by {about.key_column}" if about.key_column else ""
    reporter.say(
        f"  a case is one {about.unit}; labels from {about.label_column}{key}; patients from {about.patients_from}"
    )
    for note in about.notes:
        reporter.say(f"  {note}")
    reporter.say(f"  {about.split_sentence}")
    for count, kind, reason in cohort.reasons()[:8]:
        reporter.say(f"  quarantine: {count} {kind}(s): {reason}")
