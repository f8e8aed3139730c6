"""Evaluation: what was found when predictions were held against the truth. A plain record: JSON in, JSON out."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hounsfield.core import files
from hounsfield.errors import PredictionsError
from hounsfield.evaluate.doubt import Doubt
from hounsfield.evaluate.operating import AtPoint
from hounsfield.evaluate.subgroups import Subgroup
from hounsfield.measure import Estimate

SCHEMA_VERSION = 2

# How each measure is called where people read it.
TITLES = {
    "auc": "AUC",
    "average_precision": "Average precision",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "f1": "F1",
    "balanced_accuracy": "Balanced accuracy",
    "mcc": "Matthews correlation",
    "lr_positive": "Positive likelihood ratio",
    "lr_negative": "Negative likelihood ratio",
    "brier": "Brier score",
    "log_loss": "Log loss",
    "calibration_slope": "Calibration slope",
    "calibration_intercept": "Calibration intercept",
    "ece": "Calibration error (ECE)",
    "ece_by_chance": "ECE by chance alone",
    "accuracy": "Accuracy",
}
_NOT_STORED = ("resampled", "patient_keys")


@dataclass(frozen=True)
class Evaluation:
    """How good predictions are.

    Attributes
    ----------
    name:
        The part that was judged: "test", "folds", "external-NAME".
    labels, positive:
        In label-map order; the positive one of a binary task, else None.
    cases, patients:
        Cases with a known truth, which are those that were judged, and their patients.
    without_truth:
        Cases that had to be left out because their truth is not known.
    abstentions:
        Judged cases in which the model abstained. They are judged all the same, by the decision it would have taken.
    prevalence:
        Label → cases, patients, share (of the cases). With several labels per case: cases and patients that have it, share
        (of the cases where it is known), known (so many), absent and absent_patients (cases and patients known not to).
    estimates, per_class:
        Measure → Estimate; and label → measure → Estimate with more than two classes, or several labels per case.
    confusion:
        Counts; rows are the truth, columns the decision, both in the order of `labels`. Empty with several labels per case.
    curves:
        Label → "roc", "precision_recall", "reliability" → lists of points; empty for a label that cannot be judged.
    folds:
        Fold → AUC within the fold, where predictions are out of fold; None where it has one class only.
    subgroups, hidden_groups:
        Groups of patients, see `Subgroup`; and covariate → how many values had too few patients to be shown.
    threshold, operating_point:
        Frozen before these cases were seen; the threshold is None unless binary.
    warnings:
        What a reader must know before believing a number.
    multi_label:
        Whether a case may have several labels. `estimates` are then means over those of `per_class`: each is judged against
        its own absence, on the cases where it is known.
    thresholds, confusions, not_judged:
        With several labels per case: label → its threshold; label → its two by two counts (rows absent, present; columns
        not called so, called so); and label → why it cannot be judged.
    points:
        What each rule for the decision of a binary task gave, the chosen one first.
    doubt:
        How the sets of labels and the confidence did.
    counts:
        Of a binary task: threshold 0, 0.01, … 1 → [found, missed, false alarms, cleared] cases, for a reader who moves it.
    raw:
        Measure → Estimate of a binary task's probabilities as they were before the calibration; empty where there was none.
    resampled, patient_keys:
        What the bootstrap drew ("measure", and "measure:place of the class") and whose cases these are; used by `compare`,
        never stored.
    """

    name: str
    labels: list[str]
    positive: str | None
    cases: int
    patients: int
    without_truth: int
    abstentions: int
    prevalence: dict[str, dict[str, float]]
    estimates: dict[str, Estimate]
    per_class: dict[str, dict[str, Estimate]]
    confusion: list[list[int]]
    curves: dict[str, dict[str, dict[str, list[float]]]]
    folds: dict[str, float | None]
    subgroups: list[Subgroup]
    threshold: float | None
    operating_point: str
    warnings: list[str]
    bundle: str
    predictions: str
    resamples: int
    seed: int
    multi_label: bool = False
    thresholds: dict[str, float] = field(default_factory=dict)
    confusions: dict[str, list[list[int]]] = field(default_factory=dict)
    not_judged: dict[str, str] = field(default_factory=dict)
    hidden_groups: dict[str, int] = field(default_factory=dict)
    points: list[AtPoint] = field(default_factory=list)
    counts: list[list[int]] = field(default_factory=list)
    raw: dict[str, Estimate] = field(default_factory=dict)
    doubt: Doubt | None = None
    resampled: dict[str, NDArray[np.float64]] = field(default_factory=dict, repr=False, compare=False)
    patient_keys: frozenset[str] = field(default=frozenset(), repr=False, compare=False)

    @property
    def mean_fold_auc(self) -> float | None:
        """The mean of the AUCs within the folds, None where there are none."""
        known = [value for value in self.folds.values() if value is not None]
        return float(np.mean(known)) if known else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values only, ready for JSON."""
        content: dict[str, Any] = {"schema_version": SCHEMA_VERSION}
        for item in fields(self):
            if item.name not in _NOT_STORED:
                content[item.name] = getattr(self, item.name)
        content["estimates"] = {name: value.to_dict() for name, value in self.estimates.items()}
        content["per_class"] = {
            label: {name: value.to_dict() for name, value in row.items()} for label, row in self.per_class.items()
        }
        content["raw"] = {name: value.to_dict() for name, value in self.raw.items()}
        content["subgroups"] = [item.to_dict() for item in self.subgroups]
        content["doubt"] = self.doubt.to_dict() if self.doubt is not None else None
        content["points"] = [item.to_dict() for item in self.points]
        content["mean_fold_auc"] = self.mean_fold_auc
        return content

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Evaluation:
        """Rebuild what `to_dict` gave, without what is never stored.

        Raises
        ------
        PredictionsError
            If it is not an evaluation, or of an unknown version.
        """
        if content.get("schema_version") != SCHEMA_VERSION:
            raise PredictionsError("this is not an evaluation that this Hounsfield knows")
        stored = [item for item in fields(cls) if item.name not in _NOT_STORED]
        needed = [item.name for item in stored if item.default is MISSING and item.default_factory is MISSING]
        missing = [name for name in needed if name not in content]
        if missing:
            raise PredictionsError(f"this evaluation lacks: {', '.join(missing)}")
        values = {item.name: content[item.name] for item in stored if item.name in content}
        values["estimates"] = {name: Estimate.from_dict(item) for name, item in content["estimates"].items()}
        values["per_class"] = {
            label: {name: Estimate.from_dict(item) for name, item in row.items()}
            for label, row in content["per_class"].items()
        }
        values["raw"] = {name: Estimate.from_dict(item) for name, item in content.get("raw", {}).items()}
        values["subgroups"] = [Subgroup.from_dict(item) for item in content["subgroups"]]
        values["points"] = [AtPoint.from_dict(item) for item in content.get("points", [])]
        values["doubt"] = Doubt.from_dict(content["doubt"]) if content.get("doubt") else None
        return cls(**values)

    def save(self, path: Path) -> None:
        files.write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: Path) -> Evaluation:
        """Read what `save` wrote; raises PredictionsError as `from_dict` does."""
        content = files.read_json(path, PredictionsError)
        if not isinstance(content, dict):
            raise PredictionsError("this is not an evaluation", where=path)
        return cls.from_dict(content)

    def __str__(self) -> str:
        """A compact table, AUC first."""
        counts = ", ".join(
            f"{int(row['cases'])}{' of ' + str(int(row['known'])) if self.multi_label else ''} {label}"
            for label, row in self.prevalence.items()
        )
        lines = [f"Evaluation of {self.name}: {self.cases} cases of {self.patients} patients ({counts})"]
        if self.threshold is not None:
            lines.append(
                f"threshold {self.threshold:.3f}" + (f" ({self.operating_point})" if self.operating_point else "")
            )
        if self.multi_label:
            lines.append("means over labels:")
        width = max(map(len, TITLES.values()))
        lines += [f"  {TITLES[name]:<{width}}  {value}" for name, value in self.estimates.items()]
        if self.mean_fold_auc is not None:
            lines.append(f"  {'AUC, mean of folds':<{width}}  {self.mean_fold_auc:.2f}")
        if self.multi_label:
            lines += [f"  {'AUC, ' + label:<{width}}  {row['auc']}" for label, row in self.per_class.items()]
        return "\n".join(lines + [f"  ! {text}" for text in self.warnings])
