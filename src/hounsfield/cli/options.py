"""Options that several commands share, each defined once; and how their text becomes values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from hounsfield.errors import UsageError

if TYPE_CHECKING:
    from hounsfield.cohort import Looking
    from hounsfield.pipeline.stages import PlanOptions, ScanOptions

Run = Annotated[Path, typer.Argument(help="The run folder.", metavar="RUN")]
Model = Annotated[
    Path, typer.Argument(help="A run folder, or a bundle: a folder, or one .hounsfield file.", metavar="RUN|BUNDLE")
]
Images = Annotated[
    Path,
    typer.Argument(
        help="Folder of images (any depth), a zip or tar of one, a DICOMDIR, or one MedMNIST .npz.", metavar="IMAGES"
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option("--labels", help="CSV, TSV or Parquet with a key and a label column; else class-named folders."),
]
Out = Annotated[Path, typer.Option("--out", help="The run folder to write.")]
Key = Annotated[str | None, typer.Option("--key", help="Name of the key column.")]
Label = Annotated[
    list[str] | None,
    typer.Option("--label", help="Name of the label column; given several times, a case may have several labels."),
]
Uncertain = Annotated[
    str, typer.Option("--uncertain", help="What an uncertain label counts as: unknown, present, absent or class.")
]
Blank = Annotated[
    str, typer.Option("--blank", help="What an empty cell means, with several labels per case: unknown or absent.")
]
Positive = Annotated[str | None, typer.Option("--positive", help="The label that means disease.")]
PatientPattern = Annotated[
    str | None,
    typer.Option("--patient-pattern", help="Regular expression on the path; its first group names the patient."),
]
Masks = Annotated[
    Path | None,
    typer.Option("--masks", help="Folder of lesion masks, each with the path of its image: do maps point at lesions?"),
]
Folds = Annotated[int, typer.Option("--folds", help="Number of folds; 0 for train/validation/calibration/test.", min=0)]
Repeats = Annotated[int, typer.Option("--repeats", help="How often the cohort is divided into folds.", min=1)]
Split = Annotated[
    str,
    typer.Option(
        "--split",
        help="auto, given, patient, time, site, scanner, site=NAME, scanner=NAME or column=NAME; see the page on scan.",
    ),
]
Leaks = Annotated[
    str, typer.Option("--leaks", help="Patients and pictures in two parts of a given split: drop, refuse or allow.")
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of what is drawn at random, such as the split.", min=0)]
Site = Annotated[str | None, typer.Option("--site", help="Name of the centre, where the labels do not say.")]
Modality = Annotated[
    str | None, typer.Option("--modality", help="Modality of pictures, whose files do not say (CT, MR, CR, US…).")
]
BodyPart = Annotated[
    str | None, typer.Option("--body-part", help="Body part of pictures, whose files do not say (CHEST, HEAD…).")
]
KeyFile = Annotated[
    Path | None, typer.Option("--key-file", help="Secret key for pseudonyms; made where there is none.")
]
Uneven = Annotated[
    str, typer.Option("--uneven", help="Slices that make no even volume: put them aside, or keep them as pictures.")
]
Pixels = Annotated[
    bool,
    typer.Option(
        "--pixels/--no-pixels", help="Decode every case once: near duplicates, burned-in text, markers, lines."
    ),
]
SideFree = Annotated[bool, typer.Option("--side-free", help="The label has no side: allow horizontal flips.")]
LossName = Annotated[str, typer.Option("--loss", help="cross-entropy or focal; both weighted by the class balance.")]
Backbone = Annotated[
    str | None, typer.Option("--backbone", help="resnet50, densenet121, efficientnet_b0 or any timm name.")
]
WeightsFrom = Annotated[str | None, typer.Option("--weights", help="packaged, cache, hub, none, or a file of weights.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Any decision of the plan, as name=value; can be repeated.")
]
Budget = Annotated[
    str | None,
    typer.Option("--budget", help="Time that it may take: 90s, 10m, 1h, or minutes; the best plan that ends."),
]
Memory = Annotated[
    float | None, typer.Option("--memory", help="GiB of memory that the run may take, over all processes.", min=0)
]
Disk = Annotated[float | None, typer.Option("--disk", help="GiB of disk that the run may take.", min=0)]
Trials = Annotated[
    bool, typer.Option("--trials", help="Try resolution, freezing and regularisation on training cases first.")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
Workers = Annotated[
    int | None, typer.Option("--workers", help="Processes that read files; by default one per core.", min=0)
]
Runtime = Annotated[
    str,
    typer.Option("--runtime", help="auto, torch, onnx or int8; auto takes a graph that was proved to answer alike."),
]
MLflow = Annotated[
    str | None, typer.Option("--mlflow", help="MLflow tracking URI, or a folder, that hears of every epoch.")
]
Anew = Annotated[bool, typer.Option("--anew", help="Do it again even where it was done.")]


def planning(
    side_free: bool, loss: str, backbone: str | None, weights: str | None, pairs: list[str] | None, budget: str | None,
    memory: float | None, disk: float | None, trials: bool, seed: int | None = None,
) -> PlanOptions:  # fmt: skip
    """Collect the options of a plan.

    Raises
    ------
    UsageError
        If one of them cannot be read, or a limit is given twice.
    """
    from hounsfield.pipeline.stages import PlanOptions
    from hounsfield.plan import seconds_of_text

    taken = decisions(pairs, backbone, weights, seed)
    limits = {name: value for name, value in (("memory", memory), ("disk", disk)) if value is not None}
    if limits and "limits" in taken:
        raise UsageError("--memory and --disk are the limits that --set limits gives too", fix="Give one of them.")
    if limits:
        taken["limits"] = limits
    seconds = None if budget is None else seconds_of_text(budget)
    return PlanOptions(side_free, loss, taken, seconds, trials)


def decisions(
    pairs: list[str] | None, backbone: str | None, weights: str | None, seed: int | None = None
) -> dict[str, Any]:
    """Collect the decisions that options take before the planner; the values of --set are YAML.

    Raises
    ------
    UsageError
        If a --set is not of the form name=value.
    """
    taken: dict[str, Any] = {}
    for pair in pairs or []:
        name, found, text = pair.partition("=")
        if not found:
            raise UsageError(f"--set {pair!r} is not of the form name=value", fix="For example: --set epochs=10")
        try:
            taken[name.strip()] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UsageError(
                f"--set {name}: the value cannot be read", fix="For example: --set size='[128, 128]'"
            ) from error
    if backbone is not None:
        taken["backbone"] = backbone
    if weights is not None:
        taken["weights"] = weights
    if seed:
        taken.setdefault("seed", seed)
    return taken


def externals(pairs: list[str] | None) -> dict[str, Path]:
    """Read --external NAME=FOLDER options.

    Raises
    ------
    UsageError
        If one is not of that form, or a name comes twice.
    """
    found: dict[str, Path] = {}
    for pair in pairs or []:
        name, sign, folder = pair.partition("=")
        if not sign or not name or not folder or name in found:
            raise UsageError(f"--external {pair!r} is not of the form NAME=FOLDER, with a name of its own")
        found[name] = Path(folder)
    return found


def scanning(
    images: Path, labels: Path | None, key: str | None, label: list[str] | None, positive: str | None, uncertain: str,
    blank: str, patient_pattern: str | None, split: str, folds: int, repeats: int, seed: int, leaks: str, site: str | None,
    modality: str | None, body_part: str | None, uneven: str, pixels: bool, key_file: Path | None, masks: Path | None,
) -> ScanOptions:  # fmt: skip
    """Collect the options of a scan.

    Raises
    ------
    UsageError
        If one of them has a value that it cannot have.
    """
    from hounsfield.cohort import Labelling, Splitting, Stated
    from hounsfield.pipeline.stages import ScanOptions

    labelling = Labelling(labels, key, tuple(label or ()), positive, uncertain, blank, patient_pattern, masks)  # type: ignore[arg-type]
    splitting = Splitting(split, folds, repeats, seed, leaks)  # type: ignore[arg-type]
    return ScanOptions(
        images, labelling, Stated(site, modality, body_part), splitting, key_file, looking(uneven, pixels)
    )


def looking(uneven: str, pixels: bool) -> Looking:
    """Return how images are to be looked at.

    Raises
    ------
    UsageError
        If `uneven` is neither "aside" nor "keep".
    """
    from hounsfield.cohort import Looking

    if uneven not in ("aside", "keep"):
        raise UsageError(f"--uneven {uneven!r}", fix="Choose aside or keep.")
    return Looking("keep" if uneven == "keep" else "aside", pixels)
