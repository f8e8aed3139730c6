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
    patient_pattern: opt.PatientPattern = None,
    folds: opt.Folds = 0,
    seed: opt.Seed = 0,
    site: opt.Site = None,
    modality: opt.Modality = None,
    body_part: opt.BodyPart = None,
    uneven: opt.Uneven = "aside",
    artefacts: opt.Artefacts = True,
    key_file: opt.KeyFile = None,
    workers: opt.Workers = None,
) -> None:
    """Folder + labels → Cohort: headers, labels, volumes, artefacts, quarantine, split by patient."""
    from hounsfield.cli.console import Bars
    from hounsfield.cohort import Labelling, Stated
    from hounsfield.pipeline.folder import RunFolder
    from hounsfield.pipeline.stages import Machine, ScanOptions, scan_stage

    labelling = Labelling(labels, key, label, positive, patient_pattern)
    chosen = ScanOptions(
        images, labelling, Stated(site, modality, body_part), folds, seed, key_file, opt.looking(uneven, artefacts)
    )
    with Bars(console) as bars:
        scan_stage(RunFolder(out), chosen, Machine(workers=workers, reporter=bars))
    console.print(f"cohort: {out / 'cohort.parquet'}, quarantine: {out / 'quarantine.csv'}", soft_wrap=True)
