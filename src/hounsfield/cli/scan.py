"""hounsfield scan"""

from __future__ import annotations

from hounsfield.cli import options as opt
from hounsfield.cli.app import app, console


@app.command(epilog="Example: `hounsfield scan images --labels labels.csv --out runs/first`")
def scan(
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
    site: opt.Site = None,
    modality: opt.Modality = None,
    body_part: opt.BodyPart = None,
    uneven: opt.Uneven = "aside",
    pixels: opt.Pixels = True,
    key_file: opt.KeyFile = None,
    masks: opt.Masks = None,
    workers: opt.Workers = None,
) -> None:
    """Folder + labels → Cohort: headers, labels, volumes, duplicates, artefacts, quarantine, split by patient."""
    from hounsfield.cli.console import Bars
    from hounsfield.pipeline.folder import RunFolder
    from hounsfield.pipeline.stages import Machine, scan_stage

    chosen = opt.scanning(
        images, labels, key, label, positive, uncertain, blank, patient_pattern, split, folds, repeats, seed, leaks, site,
        modality, body_part, uneven, pixels, key_file, masks,
    )  # fmt: skip
    with Bars(console) as bars:
        scan_stage(RunFolder(out), chosen, Machine(workers=workers, reporter=bars))
    console.print(f"cohort: {out / 'cohort.parquet'}, quarantine: {out / 'quarantine.csv'}", soft_wrap=True)
