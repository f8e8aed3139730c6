"""Bundle: a folder with everything that inference needs, sealed; it loads without executing anything."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hounsfield.core import files
from hounsfield.core.digest import digest, digest_file
from hounsfield.core.plan import CalibrationMethod, Plan
from hounsfield.core.recipe import Recipe
from hounsfield.errors import BundleError

SCHEMA_VERSION = 1
WEIGHTS, PLAN, RECIPE, LABELS = "weights.safetensors", "plan.yaml", "recipe.json", "labels.json"
CALIBRATION, REFERENCE = "calibration.json", "reference.json"
CORE = (WEIGHTS, PLAN, RECIPE, LABELS, CALIBRATION, REFERENCE)


class OperatingPoint(BaseModel):
    """A rule for the decision of a binary task, and the threshold that it gave on the calibration cases."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    rule: str
    threshold: float


class CalibrationCurve(BaseModel):
    """A piecewise linear curve, constant beyond its outermost knots; `at` rises, `to` never falls."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    at: list[float] = Field(min_length=1)
    to: list[float] = Field(min_length=1)

    @model_validator(mode="after")
    def _rises(self) -> CalibrationCurve:
        if len(self.at) != len(self.to):
            raise ValueError("a curve has as many values as knots")
        if any(after <= before for before, after in pairwise(self.at)):
            raise ValueError("the knots of a curve must rise")
        if any(after < before for before, after in pairwise(self.to)):
            raise ValueError("a curve must not fall")
        return self


class Calibration(BaseModel):
    """From logits to probabilities, and from probabilities to a decision.

    probability = link(curve(logit / temperature + offset)), link the sigmoid (a binary task; each of several labels per case) or
    the softmax. The offsets undo the class weights of the loss, or are fitted too; all are fitted on the part that `fitted_on` names.

    Attributes
    ----------
    method:
        temperature (Guo 2017), platt (temperature and offsets fitted together) or isotonic (a temperature, then curves).
    offsets:
        One per output.
    curves:
        One per output, of the log odds; of exclusive classes, of the log of the softmax. None: no curve.
    temperature, temperatures:
        The common one; with several labels per case there may be one per output, which then take its place.
    threshold, thresholds:
        The one of a binary task; with several labels per case one per output.
    points:
        Of a binary task: other rules and their thresholds, fixed on the same cases, so that a reader may compare them on test
        without choosing there. The one that `operating_point` names is among them.
    floors, absent_floors, coverage:
        Label → the probability from which it belongs into the set of labels that cannot be ruled out, which holds the true one
        in this share of cases (split-conformal, each label by its own cases). With several labels per case it is that of a
        label's presence, and `absent_floors` are those of its absence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    method: CalibrationMethod = "temperature"
    temperature: float = Field(gt=0)
    temperatures: list[Annotated[float, Field(gt=0)]] | None = None
    offsets: list[float]
    curves: list[CalibrationCurve] | None = None
    threshold: float | None = None
    thresholds: list[float] | None = None
    operating_point: str = ""
    points: list[OperatingPoint] = []
    floors: dict[str, float] = {}
    absent_floors: dict[str, float] = {}
    coverage: float = 0.9
    fitted_on: str
    cases: int
    note: str = ""

    @model_validator(mode="after")
    def _one_per_output(self) -> Calibration:
        for name, values in (
            ("temperatures", self.temperatures),
            ("thresholds", self.thresholds),
            ("curves", self.curves),
        ):
            if values is not None and len(values) != len(self.offsets):
                raise ValueError(f"{name} must be as many as offsets: one per output")
        if self.threshold is not None and self.thresholds is not None:
            raise ValueError("there is one threshold, or one per output, and not both")
        return self

    @property
    def divisors(self) -> float | list[float]:
        """What logits are divided by: one number for all outputs, or one per output."""
        return self.temperature if self.temperatures is None else self.temperatures

    @property
    def knots(self) -> list[tuple[list[float], list[float]]] | None:
        """The curves as `measure.probabilities` takes them."""
        return None if self.curves is None else [(curve.at, curve.to) for curve in self.curves]


@dataclass(frozen=True)
class Bundle:
    """A sealed model.

    The *core digest* covers weights, plan, recipe, labels, calibration and reference, and is what Predictions quote.
    Attachments (ONNX, parity) have their own digests in the manifest and never change it.
    """

    folder: Path
    plan: Plan
    recipe: Recipe
    labels: list[str]
    positive: str | None
    calibration: Calibration
    reference: dict[str, Any]
    core_digest: str

    @property
    def weights(self) -> Path:
        return self.folder / WEIGHTS

    @property
    def outputs(self) -> list[str]:
        return self.plan.outputs

    @staticmethod
    def seal(
        folder: Path, *, plan: Plan, recipe: Recipe, calibration: Calibration, reference: dict[str, Any], weights: Path
    ) -> Bundle:
        """Write a bundle into `folder`, replacing an older one in one step, and read it back verified."""
        partial = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(partial, ignore_errors=True)
        files.make_folder(partial)
        shutil.copyfile(weights, partial / WEIGHTS)
        plan.portable().save(partial / PLAN)
        recipe.save(partial / RECIPE)
        files.write_json(partial / LABELS, {"labels": plan.labels.value, "positive": plan.positive.value})
        files.write_json(partial / CALIBRATION, calibration.model_dump(mode="json"))
        files.write_json(partial / REFERENCE, reference)
        members = {name: digest_file(partial / name) for name in CORE}
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "core_digest": digest(members),
            "core": members,
            "attachments": {},
        }
        files.write_json(partial / "manifest.json", manifest)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
        return Bundle.load(folder)

    @classmethod
    def load(cls, folder: Path) -> Bundle:
        """Read a bundle and verify the digest of every member.

        Raises
        ------
        BundleError
            If it is no bundle, of an unknown version, or a member is missing or was changed; the member is named.
        """
        if not (folder / "manifest.json").is_file():
            raise BundleError("there is no bundle here", where=folder, fix="Make one with: hounsfield train RUN")
        manifest = files.read_json(folder / "manifest.json", BundleError)
        _verify(folder, manifest)
        labels = files.read_json(folder / LABELS, BundleError)
        try:
            calibration = Calibration.model_validate(files.read_json(folder / CALIBRATION, BundleError))
        except ValidationError as error:
            raise BundleError("the calibration is not valid", where=folder / CALIBRATION) from error
        return cls(
            folder,
            Plan.load(folder / PLAN),
            Recipe.load(folder / RECIPE),
            list(labels["labels"]),
            labels["positive"],
            calibration,
            files.read_json(folder / REFERENCE, BundleError),
            manifest["core_digest"],
        )

    def attach(self, name: str, source: Path) -> Path:
        """Copy a file into the bundle as an attachment and note its digest; the core digest stays."""
        if name in CORE or name == "manifest.json" or name in ("", "..") or Path(name).name != name:
            raise BundleError(f"{name!r} cannot be the name of an attachment", where=self.folder)
        target = self.folder / name
        with files.replacing(target) as partial:
            shutil.copyfile(source, partial)
        manifest = files.read_json(self.folder / "manifest.json", BundleError)
        manifest["attachments"][name] = digest_file(target)
        files.write_json(self.folder / "manifest.json", manifest)
        return target

    def __str__(self) -> str:
        return f"Bundle {self.plan.backbone.value} → {', '.join(self.labels)} ({self.core_digest[:8]})"


def _verify(folder: Path, manifest: Any) -> None:
    if not isinstance(manifest, dict) or manifest.get("schema_version") != SCHEMA_VERSION:
        raise BundleError(
            f"this bundle has a version that this Hounsfield does not know (wanted {SCHEMA_VERSION})", where=folder
        )
    core, attachments = manifest.get("core"), manifest.get("attachments")
    if not isinstance(core, dict) or set(core) != set(CORE) or not isinstance(attachments, dict):
        raise BundleError("the manifest does not list the members of a bundle", where=folder)
    if digest(core) != manifest.get("core_digest"):
        raise BundleError("the manifest was changed after the bundle was sealed", where=folder / "manifest.json")
    fix = "Take the bundle again from where it was made."
    for name, wanted in {**core, **attachments}.items():
        path = folder / name
        if Path(name).name != name or not path.is_file() or path.is_symlink():
            raise BundleError("a member of the bundle is missing", where=path, fix=fix)
        if digest_file(path) != wanted:
            raise BundleError("a member of the bundle was changed after it was sealed", where=path, fix=fix)
