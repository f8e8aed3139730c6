"""The verbs of the Python interface: plain arguments in, the six types out. The command line is a shell over the stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from hounsfield.audit import Audit
from hounsfield.audit import audit as audit_cohort
from hounsfield.cohort import Labelling, Looking, Splitting, Stated, scan_for_prediction
from hounsfield.cohort import scan as scan_files
from hounsfield.cohort.findings import Blank, Uncertain
from hounsfield.core import Bundle, Cohort, Image, Plan, Predictions
from hounsfield.core.archive import ENDING
from hounsfield.core.cohort import Leaks
from hounsfield.core.manifest import MANIFEST
from hounsfield.errors import UsageError
from hounsfield.evaluate import Evaluation
from hounsfield.evaluate import evaluate as judge
from hounsfield.explain import GRADCAM, Explanation
from hounsfield.explain import explain as explain_cases
from hounsfield.export import Exported
from hounsfield.export import export as export_bundle
from hounsfield.export.triton import Serving, write_repository
from hounsfield.pipeline.demo import demo as demonstrate
from hounsfield.pipeline.doctor import Finding
from hounsfield.pipeline.doctor import doctor as look
from hounsfield.pipeline.run import External, run_all
from hounsfield.pipeline.stages import UNSEEN, Machine, PlanOptions, ScanOptions
from hounsfield.plan import Budget, make_plan, seconds_of_text
from hounsfield.predict import predict as predict_part
from hounsfield.read import Series, Source, read_image
from hounsfield.read import read_series as read_volumes
from hounsfield.report import write_datasheet, write_report
from hounsfield.train import Listeners
from hounsfield.train import train as train_bundle

Place = str | Path


def read(path: Place, member: str | None = None) -> Image:
    """Read one file as an Image in physical values; `member` names an image inside an .npz, such as "train/12"."""
    return read_image(Source(Path(path), member))


def read_series(images: Place | Sequence[Place]) -> Series:
    """Read a folder (or files) as volumes in LPS; `.volumes` are Images, `.aside` lists what became none, with reasons."""
    return read_volumes(Path(images) if isinstance(images, (str, Path)) else images)


def scan(
    images: Place,
    labels: Place | None = None,
    *,
    out: Place | None = None,
    key: str | None = None,
    label: str | Sequence[str] | None = None,
    positive: str | None = None,
    uncertain: Uncertain = "unknown",
    blank: Blank = "unknown",
    patient_pattern: str | None = None,
    split: str = "auto",
    folds: int = 0,
    repeats: int = 1,
    seed: int = 0,
    leaks: Leaks = "drop",
    site: str | None = None,
    modality: str | None = None,
    body_part: str | None = None,
    uneven: Literal["aside", "keep"] = "aside",
    pixels: bool = True,
    key_file: Place | None = None,
    masks: Place | None = None,
) -> Cohort:
    """Scan a folder of images and join its labels; see `hounsfield.cohort.scan`. `out` also writes it as files."""
    cohort = scan_files(
        Path(images), Labelling(_path(labels), key, _names(label), positive, uncertain, blank, patient_pattern, _path(masks)),
        splitting=Splitting(split, folds, repeats, seed, leaks), stated=Stated(site, modality, body_part),
        looking=Looking(uneven, pixels), key_file=_path(key_file), run=_path(out),
    )  # fmt: skip
    if out is not None:
        cohort.save(Path(out))
    return cohort


def audit(cohort: Cohort | Place, *, out: Place | None = None, seed: int = 0) -> Audit:
    """Audit a cohort, or the one of a run folder; see `hounsfield.audit`.

    The data sheet is written to the folder `out`; for a run folder to RUN/audit where no other is named.
    """
    if isinstance(cohort, Cohort):
        run, folder, found = None, _path(out), cohort
    else:
        run = Path(cohort)
        folder, found = _path(out) or run / "audit", Cohort.load(run)
    record = audit_cohort(found, run=run, folder=folder, seed=seed)
    if folder is not None:
        write_datasheet(folder)
    return record


def plan(
    cohort: Cohort,
    *,
    out: Place | None = None,
    side_free: bool = False,
    loss: str = "cross-entropy",
    budget: str | float | None = None,
    trials: bool = False,
    **decisions: Any,
) -> Plan:
    """Plan a run; `decisions` are taken as given (`backbone="resnet50"`). `out` is the run folder to write plan.yaml in.

    `budget` ("10m", "90s", or minutes) is the time that training and prediction may take; `trials` tries resolution,
    depth of freezing and regularisation first.
    """
    made = make_plan(
        cohort, side_free=side_free, loss=loss, decisions=decisions, trials=trials, place=_path(out),
        budget=None if budget is None else Budget(seconds_of_text(budget)),
    )  # fmt: skip
    if out is not None:
        made.save(Path(out) / "plan.yaml")
    return made


def train(cohort: Cohort, plan: Plan, out: Place, *, device: str = "auto", mlflow: str | None = None) -> Bundle:
    """Train in the run folder `out` and return the sealed bundle; out-of-fold predictions, if any, are written there.

    `mlflow` is a tracking URI or a folder, to which the members' metrics go too.
    """
    result = train_bundle(cohort, plan, Path(out), device=device, listeners=Listeners(mlflow=mlflow))
    if result.out_of_fold is not None:
        result.out_of_fold.save(Path(out) / "predictions" / "folds.parquet")
    return result.bundle


def predict(
    bundle: Bundle, images: Cohort | Place, part: str = "test", *, device: str = "auto", runtime: str = "auto"
) -> Predictions:
    """Predict a part of a cohort, or every image of a folder, through the sealed bundle; `runtime` as for `hounsfield.predict.predict`."""
    cohort = (
        images
        if isinstance(images, Cohort)
        else scan_for_prediction(
            Path(images),
            bundle.labels,
            bundle.positive,
            multi_label=bundle.plan.task.value == "multilabel",
            looking=UNSEEN,
        )
    )
    return predict_part(bundle, cohort, part, device=device, runtime=runtime)[0]


def evaluate(predictions: Predictions, *, resamples: int = 2000, seed: int = 0) -> Evaluation:
    """Hold predictions against the truth: measures with 95% intervals from a bootstrap over patients."""
    return judge(predictions, resamples=resamples, seed=seed)


def explain(
    bundle: Bundle, cohort: Cohort, cases: Sequence[str] | Mapping[str, str], *, methods: Sequence[str] = (GRADCAM,),
    check: bool = False, device: str = "auto",
) -> list[Explanation]:  # fmt: skip
    """Return maps of cases, one per method; a mapping says for which label, a list takes the positive (or the last) one."""
    wanted = dict(cases) if isinstance(cases, Mapping) else dict.fromkeys(cases, bundle.positive or bundle.labels[-1])
    return explain_cases(bundle, cohort, wanted, methods, check=check, device=device)


def export(
    bundle: Bundle,
    cohort: Cohort,
    out: Place,
    *,
    int8: bool = False,
    triton: Place | None = None,
    name: str = "hounsfield",
    max_batch: int = 16,
    instances: str = "auto:1",
    queue_delay: int = 2000,
) -> Exported:
    """Write `out`/model.onnx, refused unless it answers as the Python path does on real images of the cohort.

    `int8` also makes a quantised graph, which is kept only if the AUC holds. `triton` is a model repository to which the model is
    added; the options after it are those of `hounsfield.export.triton.Serving`.
    """
    serving = Serving(name, max_batch, instances, queue_delay)
    exported = export_bundle(bundle, cohort, Path(out), int8=int8)
    if triton is not None:
        write_repository(bundle, Path(triton), serving)
    return exported


def pack(bundle: Bundle, out: Place, *, without: Sequence[str] = ()) -> Path:
    """Write a bundle as one .hounsfield file, always the same for the same bundle; return its path.

    `Bundle.load` opens it. `without` names attachments to leave out.
    """
    return bundle.pack(Path(out), without=without)


def report(run: Place, *, resamples: int = 2000) -> Path:
    """Write the report of a run folder and return the page's path."""
    return write_report(Path(run), resamples=resamples)


def run(
    images: Place,
    labels: Place | None = None,
    *,
    out: Place,
    key: str | None = None,
    label: str | Sequence[str] | None = None,
    positive: str | None = None,
    uncertain: Uncertain = "unknown",
    blank: Blank = "unknown",
    patient_pattern: str | None = None,
    split: str = "auto",
    folds: int = 0,
    repeats: int = 1,
    seed: int = 0,
    leaks: Leaks = "drop",
    external: Mapping[str, Place] | None = None,
    site: str | None = None,
    modality: str | None = None,
    body_part: str | None = None,
    uneven: Literal["aside", "keep"] = "aside",
    pixels: bool = True,
    key_file: Place | None = None,
    masks: Place | None = None,
    side_free: bool = False,
    loss: str = "cross-entropy",
    budget: str | float | None = None,
    trials: bool = False,
    device: str = "auto",
    **decisions: Any,
) -> Path:
    """Do everything in order and return the path of the report; `external` maps a centre's name to its folder.

    `budget` ("10m", "90s", or minutes) is the time that all of it may take; `trials` as for `plan`.
    """
    labelling = Labelling(_path(labels), key, _names(label), positive, uncertain, blank, patient_pattern, _path(masks))
    externals = {name: External(Path(place), labelling) for name, place in (external or {}).items()}
    options = ScanOptions(
        Path(images),
        labelling,
        Stated(site, modality, body_part),
        Splitting(split, folds, repeats, seed, leaks),
        _path(key_file),
        Looking(uneven, pixels),
    )
    if seed:
        decisions.setdefault("seed", seed)
    seconds = None if budget is None else seconds_of_text(budget)
    planning = PlanOptions(side_free, loss, decisions, seconds, trials)
    return run_all(Path(out), options, planning, Machine(device), externals).report


def demo(out: Place = "runs/demo", *, device: str = "auto") -> Path:
    """Generate a cohort of two simulated centres, run on it, and return the path of the report."""
    return demonstrate(Path(out), Machine(device)).report


def show(place: Place) -> str:
    """Return in one line what a run folder, bundle, cohort, plan or table of predictions is.

    Raises
    ------
    UsageError
        If the place holds none of them.
    """
    path = Path(place)
    if path.suffix == ".parquet" and path.name != "cohort.parquet":
        return str(Predictions.load(path))
    if path.name == "plan.yaml":
        return str(Plan.load(path))
    if path.suffix == ENDING or (path / MANIFEST).exists():
        return str(Bundle.load(path))
    if (path / "cohort.parquet").exists():
        return str(Cohort.load(path, private=False))
    if path.is_file():
        return str(read(path))
    raise UsageError(
        "there is nothing of ours here", where=path, fix="Give a run folder, a bundle, predictions, or an image."
    )


def doctor() -> list[Finding]:
    """Look at this machine: decoders, device, threads, weights at hand, and what is missing."""
    return look()


def _names(label: str | Sequence[str] | None) -> tuple[str, ...]:
    return () if label is None else (label,) if isinstance(label, str) else tuple(label)


def _path(place: Place | None) -> Path | None:
    return None if place is None else Path(place)
