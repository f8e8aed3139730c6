"""A run folder as the stages would leave it, made of random numbers: for the tests, and for looking at the page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from hounsfield.core import Cohort, Plan, Predictions, files
from hounsfield.core.cohort import CROSSWALK, QUARANTINE, SCHEMA, About
from hounsfield.core.digest import digest
from hounsfield.core.predictions import FIXED, Task
from hounsfield.measure import probabilities, sets, threshold

BINARY = ["benign", "malignant"]
MANY = ["normal", "pneumonia", "tuberculosis", "effusion"]
SEVERAL = ["effusion", "nodule", "pneumonia"]
CORE = digest("core")


def predictions(
    name: str,
    labels: list[str],
    *,
    cases: int = 160,
    strength: float = 1.6,
    seed: int = 0,
    folds: int = 0,
    site: str | None = None,
) -> Predictions:
    """Predictions of random cases, two per patient in places; `strength` is how far apart the classes lie."""
    generator = np.random.default_rng(seed)
    owner = np.sort(generator.integers(0, int(cases * 0.8), cases))
    of_patient = generator.choice(len(labels), size=cases, p=[0.65, 0.35] if len(labels) == 2 else None)
    truth = of_patient[owner]
    positive = labels[1] if len(labels) == 2 else None
    outputs = [positive] if positive else labels
    if positive:
        logits = (generator.normal(size=cases) + strength * truth - strength / 2)[:, None]
    else:
        logits = generator.normal(size=(cases, len(labels))) + strength * np.eye(len(labels))[truth]
    probability = probabilities(logits, multi_label=False)
    cut = threshold([0, 1, 0, 1], [0.2, 0.5, 0.4, 0.9], "youden") if positive else None
    decided = (probability[:, 0] >= cut).astype(int) if cut is not None else probability.argmax(axis=1)
    fixed = {
        "case": [digest([name, seed, number])[:16] for number in range(cases)],
        "patient": [digest([name, seed, "patient", int(number)])[:16] for number in owner],
        "split": ["train" if folds else "test"] * cases,
        "fold": [int(number % folds) for number in owner] if folds else [None] * cases,
        "truth": [labels[index] for index in truth],
        "decision": [labels[index] for index in decided],
        "abstention": [None] * cases,
        "site": [site or ("north", "south")[int(number) % 2] for number in owner],
        "scanner": ["A"] * cases,
        "sex": [("F", "M")[int(number) // 2 % 2] for number in owner],
        "age_band": [("<40", "40–64", "65+")[int(number) % 3] for number in owner],
    }
    table = pl.DataFrame(fixed, schema=FIXED).with_columns(
        *[pl.Series(f"logit:{label}", logits[:, place]) for place, label in enumerate(outputs)],
        *[pl.Series(f"probability:{label}", probability[:, place]) for place, label in enumerate(outputs)],
    )
    rule = "sensitivity>=0.9" if positive else ""
    points = {} if cut is None else {rule: cut, "specificity>=0.95": 0.8, "cost=5": 1 / 6}
    table = table.with_columns(pl.Series(f"called:{name}", probability[:, 0] >= at) for name, at in points.items())
    shifted = 0.0 if site is None else 0.15
    table = table.with_columns(
        pl.Series("image:brightness", generator.normal(0.4 + shifted, 0.1, cases)),
        pl.Series("image:distance", generator.gamma(8, 0.06, cases) + shifted),
    )
    held = sets(probability, np.full(len(labels), 0.25))
    names = [[label for label, inside in zip(labels, row, strict=True) if inside] for row in held]
    table = table.with_columns(pl.Series("set", names, pl.List(pl.String)))
    task = Task(
        labels=labels, positive=positive, threshold=cut, operating_point=rule, bundle=CORE, name=name, points=points,
        coverage=0.9,
    )  # fmt: skip
    return Predictions(table, task)


def several(
    name: str, labels: list[str] = SEVERAL, *, cases: int = 200, patients: int = 120, strength: float = 1.6, seed: int = 0,
    unknown: float = 0.15,
) -> Predictions:  # fmt: skip
    """Predictions of cases of which each may have any of the labels, or none; a share of the states is not known."""
    generator = np.random.default_rng(seed)
    owner = np.sort(np.concatenate([np.arange(patients), generator.integers(0, patients, cases - patients)]))
    share = np.linspace(0.4, 0.15, len(labels))
    truth = (generator.random((cases, len(labels))) < share).astype(int)
    logits = generator.normal(size=truth.shape) + strength * (truth - 0.5) - 0.5
    probability = probabilities(logits, multi_label=True)
    thresholds = np.linspace(0.45, 0.3, len(labels)).tolist()
    hidden = generator.random(truth.shape) < unknown
    fixed: dict[str, list[object]] = {column: [None] * cases for column in FIXED}
    fixed |= {
        "case": [digest([name, seed, number])[:16] for number in range(cases)],
        "patient": [digest([name, seed, "patient", int(number)])[:16] for number in owner],
        "split": ["test"] * cases,
        "site": [("north", "south")[int(number) % 2] for number in owner],
        "sex": [("F", "M")[int(number) // 2 % 2] for number in owner],
    }
    states = [
        [None if gone else int(value) for value, gone in zip(*column, strict=True)]
        for column in zip(truth.T, hidden.T, strict=True)
    ]
    table = pl.DataFrame(fixed, schema=FIXED).with_columns(
        column
        for place, label in enumerate(labels)
        for column in (
            pl.Series(f"truth:{label}", states[place], pl.Int8),
            pl.Series(f"logit:{label}", logits[:, place]),
            pl.Series(f"probability:{label}", probability[:, place]),
            pl.Series(f"decision:{label}", probability[:, place] >= thresholds[place]).cast(pl.Int8),
        )
    )
    for name_of, inside in (("set", probability >= 0.2), ("set_absent", probability <= 0.6)):
        held = [[label for label, is_in in zip(labels, row, strict=True) if is_in] for row in inside]
        table = table.with_columns(pl.Series(name_of, held, pl.List(pl.String)))
    task = Task(
        labels=labels, positive=None, multi_label=True, thresholds=thresholds, operating_point="youden", bundle=CORE,
        name=name, coverage=0.9,
    )  # fmt: skip
    return Predictions(table, task)


def several_folder(run: Path, labels: list[str] = SEVERAL) -> Path:
    """Write a run folder of a task of several labels per case, as far as its report needs one."""
    made = cohort(labels)
    states = np.random.default_rng(8).choice(
        [1, 0, -1, None], size=(made.table.height, len(labels)), p=[0.3, 0.5, 0.05, 0.15]
    )
    table = made.table.with_columns(
        label=pl.lit(None, pl.String), states=pl.Series(states.tolist(), dtype=pl.List(pl.Int8))
    )
    about = made.about.model_copy(update={"multi_label": True, "positive": None})
    made = type(made)(table, about, made.quarantine)
    made.save(run)
    content = plan(made).model_dump(mode="json") | {"task": {"value": "multilabel"}, "positive": {"value": None}}
    Plan.from_content(content).save(run / "plan.yaml")
    several("test", labels, seed=1).save(run / "predictions" / "test.parquet")
    several("external-Utrecht", labels, cases=140, patients=100, strength=0.8, seed=3).save(
        run / "predictions" / "x.parquet"
    )
    _panels(run, ["absent", "present"])
    calibration = {
        "temperature": 1.0, "temperatures": [1.31] * len(labels), "offsets": [0.0] * len(labels),
        "thresholds": np.linspace(0.45, 0.3, len(labels)).tolist(), "operating_point": "youden",
        "fitted_on": "the calibration part", "cases": 34,
    }  # fmt: skip
    files.write_json(run / "bundle" / "calibration.json", calibration)
    return run


def cohort(labels: list[str], *, cases: int = 400, seed: int = 0) -> Cohort:
    generator = np.random.default_rng(seed)
    splits = generator.choice(["train", "validation", "calibration", "test"], size=cases, p=[0.6, 0.12, 0.08, 0.2])
    columns: dict[str, list[object]] = {name: [None] * cases for name in SCHEMA}
    columns |= {
        "case": [digest(["case", number])[:16] for number in range(cases)],
        "patient": [digest(["patient", number])[:16] for number in range(cases)],
        "group": [digest(["patient", number])[:16] for number in range(cases)],
        "files": [[digest(["file", number])[:16]] for number in range(cases)],
        "modality": ["CT"] * cases,
        "site": [("north", "south")[number % 2] for number in range(cases)],
        "label": [labels[index] for index in generator.integers(0, len(labels), cases)],
        "split": splits.tolist(),
    }
    about = About(
        unit="series",
        labels=labels,
        positive=labels[1] if len(labels) == 2 else None,
        patients_from="PatientID",
        split_sentence="Split by patient, 60/12/8/20, with near-duplicates kept together.",
        notes=["3 pairs of near-duplicates between patients were kept in one group."],
    )
    aside = [
        ("f1", "file", "read", "damaged: the pixel data end early in /data/secret/Jane_Doe/scan.dcm"),
        ("f2", "file", "read", "damaged: the pixel data end early in /data/secret/John_Roe/scan.dcm"),
        ("c1", "case", "audit", f"near-duplicate of {digest('a')[:16]} in the test part"),
        ("c2", "case", "audit", f"near-duplicate of {digest('b')[:16]} in the test part"),
        ("l1", "label", "labels", "no image has this key"),
    ]
    private = pl.DataFrame(
        [("f1", None, "Jane_Doe/scan.dcm", None, "PID-4711", None, None)], schema=CROSSWALK, orient="row"
    )
    table = pl.DataFrame(columns, schema=SCHEMA)
    put_aside = pl.DataFrame(aside, schema=QUARANTINE, orient="row")
    return Cohort(table, about, put_aside, crosswalk=private, root=Path("/data/secret"))


def plan(made_for: Cohort) -> Plan:
    labels = made_for.about.labels
    binary = len(labels) == 2
    values: dict[str, object] = {
        "task": "binary" if binary else "multiclass",
        "labels": labels,
        "positive": labels[1] if binary else None,
        "unit": "HU",
        "conditioning": "hu",
        "windows": [(40.0, 400.0), (-600.0, 1500.0)],
        "slices": 1,
        "size": (224, 224),
        "channels": 3,
        "normalisation": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
        "augmentation": {"rotate": 10, "flip_horizontal": True},
        "backbone": "efficientnet_lite0",
        "weights": {"source": "file", "path": "/home/someone/weights/lite0.safetensors"},
        "frozen": "all but the last 2 blocks",
        "cached_views": 8,
        "members": 3,
        "dropout": 0.2,
        "loss": {"name": "cross-entropy", "class_weights": {label: 1.0 for label in labels}},
        "batch": 32,
        "epochs": 30,
        "patience": 6,
        "learning_rate": 0.001,
        "backbone_rate": 0.1,
        "batch_norm": "frozen",
        "weight_decay": 0.0001,
        "operating_point": "sensitivity>=0.9",
        "seed": 0,
        "cost": {"minutes": 3.2, "memory": 1.4, "disk": 0.12},
    }
    reasons = {
        "size": "the backbone was pretrained at 224 and the images are 512 × 512",
        "frozen": "240 training patients are too few to tune everything",
        "weights": "asked for",
        "cost": "measured on this machine with 16 images",
    }
    decisions = {
        name: {"value": value, "reason": reasons.get(name, "the rule for cohorts of this size")}
        for name, value in values.items()
    }
    return Plan.model_validate({"cohort": made_for.digest, **decisions})


def run_folder(run: Path, labels: list[str] = BINARY, *, full: bool = True) -> Path:
    """Write a run folder; with `full` false only what a report cannot do without."""
    made = cohort(labels)
    made.save(run)
    plan(made).save(run / "plan.yaml")
    if full:
        predictions("test", labels, seed=1).save(run / "predictions" / "test.parquet")
        predictions("folds", labels, cases=400, seed=2, folds=5).save(run / "predictions" / "folds.parquet")
        predictions("external-Utrecht", labels, cases=140, strength=0.7, seed=3, site="Utrecht").save(
            run / "predictions" / "x.parquet"
        )
        predictions("validation", labels, seed=4).save(run / "predictions" / "validation.parquet")
        _training(run)
        _panels(run, labels)
        files.write_json(
            run / "bundle" / "manifest.json",
            {"schema_version": 1, "core_digest": CORE, "core": {"plan.yaml": digest(1)}},
        )
        files.write_json(
            run / "bundle" / "calibration.json",
            {
                "temperature": 1.31,
                "offsets": [0.0],
                "threshold": 0.45,
                "fitted_on": "the calibration part",
                "cases": 34,
            },
        )
        parity = {
            "passed": True,
            "images": 24,
            "sizes": [[512, 512], [480, 640]],
            "logit_difference": 3.1e-6,
            "opset": 18,
        }
        parity |= {
            "probability_difference": 7e-7,
            "logit_standard_deviation": 1.93,
            "logit_range": [-4.1, 5.2],
            "reason": "compared with /home/someone/run/model.onnx",
        }
        files.write_json(run / "export" / "parity.json", parity)
    return run


def _training(run: Path) -> None:
    generator, rows = np.random.default_rng(5), []
    for member in range(3):
        train = 0.7 * np.exp(-np.arange(18) / 7) + 0.12 + 0.01 * generator.normal(size=18)
        validation = (
            0.68
            - 0.03 * np.minimum(np.arange(18), 9)
            + 0.012 * np.maximum(0, np.arange(18) - 9)
            + 0.015 * generator.normal(size=18)
        )
        score = (
            0.9
            - 0.35 * np.exp(-np.arange(18) / 4)
            - 0.004 * np.maximum(0, np.arange(18) - 10)
            + 0.01 * generator.normal(size=18)
        )
        for epoch in range(18):
            rows.append(
                (
                    str(member),
                    epoch,
                    train[epoch],
                    validation[epoch],
                    score[epoch],
                    1e-3,
                    61.0,
                    epoch == int(score.argmax()),
                )
            )
    names = (
        "member",
        "epoch",
        "train_loss",
        "validation_loss",
        "validation_auc",
        "learning_rate",
        "images_per_second",
        "best",
    )
    files.make_folder(run / "train")
    pl.DataFrame(rows, schema=names, orient="row").write_csv(run / "train" / "history.csv")
    files.write_json(
        run / "train" / "cost.json", {"seconds": {"store": 41.0, "cache": 33.5, "fit": 121.0}, "peak_memory_gib": 1.62}
    )


def _panels(run: Path, labels: list[str]) -> None:
    generator = np.random.default_rng(6)
    folder, entries = files.make_folder(run / "explain"), []
    down, across = np.mgrid[0:224, 0:224] / 112 - 1
    for number in range(5):
        body = np.clip(1.1 - (down**2 * 1.4 + across**2 * 0.9) * 1.3, 0, 1) * 150 + 12 * generator.random((224, 224))
        x, y = generator.uniform(-0.5, 0.5, 2)
        spot = np.exp(-((across - x) ** 2 + (down - y) ** 2) / 0.02)
        grey = np.clip(body + 90 * spot, 0, 255).astype(np.uint8)
        colour = np.stack(
            [np.clip(grey + 170 * spot, 0, 255), grey + 40 * spot * (1 - spot), grey * (1 - 0.6 * spot)], axis=-1
        )
        Image.fromarray(grey).save(folder / f"{number}.png")
        Image.fromarray(np.clip(colour, 0, 255).astype(np.uint8)).save(folder / f"{number}-map.png")
        entry = {
            "case": digest(number)[:16],
            "part": "test",
            "truth": labels[1],
            "probability": 0.91 - 0.1 * number,
            "target": labels[1],
        }
        entry |= {
            "decision": labels[1] if number < 4 else labels[0],
            "kind": "right" if number < 4 else "wrong",
            "scale": 0.31,
            "note": "",
        }
        entries.append(entry | {"image": f"{number}.png", "overlay": f"{number}-map.png"})
    files.write_json(folder / "panels.json", entries)
