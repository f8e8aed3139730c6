"""hounsfield run"""

from __future__ import annotations

from typing import Annotated

import typer

from hounsfield.cli import options as opt
from hounsfield.cli.app import app, console

ExternalCentre = Annotated[
    list[str] | None, typer.Option("--external", help="NAME=FOLDER of another centre; can be repeated.")
]


@app.command(epilog="Example: `hounsfield run images --labels labels.csv --out runs/first`")
def run(
    images: opt.Images,
    out: opt.Out,
    labels: opt.Labels = None,
    key: opt.Key = None,
    label: opt.Label = None,
    positive: opt.Positive = None,
    uncertain: opt.Uncertain = "unknown",
    blank: opt.Blank = "unknown",
    patient_pattern: opt.PatientPattern = None,
    split: opt.Split = "auto",
    folds: opt.Folds = 0,
    repeats: opt.Repeats = 1,
    seed: opt.Seed = 0,
    leaks: opt.Leaks = "drop",
    external: ExternalCentre = None,
    site: opt.Site = None,
    modality: opt.Modality = None,
    body_part: opt.BodyPart = None,
    uneven: opt.Uneven = "aside",
    pixels: opt.Pixels = True,
    key_file: opt.KeyFile = None,
    masks: opt.Masks = None,
    side_free: opt.SideFree = False,
    loss: opt.LossName = "cross-entropy",
    backbone: opt.Backbone = None,
    weights: opt.WeightsFrom = None,
    set_: opt.Set = None,
    budget: opt.Budget = None,
    memory: opt.Memory = None,
    disk: opt.Disk = None,
    trials: opt.Trials = False,
    device: opt.Device = "auto",
    workers: opt.Workers = None,
) -> None:
    """Everything in order: scan, audit, plan, train, predict, explain, export, evaluate, report. The same command resumes."""
    from hounsfield.cli.console import Bars
    from hounsfield.pipeline.run import External, run_all
    from hounsfield.pipeline.stages import Machine

    scanning = opt.scanning(
        images, labels, key, label, positive, uncertain, blank, patient_pattern, split, folds, repeats, seed, leaks, site,
        modality, body_part, uneven, pixels, key_file, masks,
    )  # fmt: skip
    planning = opt.planning(side_free, loss, backbone, weights, set_, budget, memory, disk, trials, seed)
    centres = {name: External(folder, scanning.labelling) for name, folder in opt.externals(external).items()}
    with Bars(console) as bars:
        result = run_all(out, scanning, planning, Machine(device, workers, bars), centres)
    console.print(f"report: {result.report}", soft_wrap=True)
