"""What the members of a bundle say, each by its model, and that they say it of the same task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hounsfield.core import files
from hounsfield.core.calibration import Calibration
from hounsfield.core.manifest import AGAIN, CALIBRATION, LABELS, MANIFEST, PLAN, RECIPE, REFERENCE, Manifest
from hounsfield.core.plan import Plan
from hounsfield.core.recipe import Recipe
from hounsfield.errors import BundleError, HounsfieldError

Model = TypeVar("Model", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Labels(_Strict):
    """The labels in the order of states and columns, and the positive one of a binary task."""

    labels: list[str] = Field(min_length=1)
    positive: str | None


class TrainingInput(_Strict):
    """What the check of new images knows of the training cases: of their headers, and of their pixels as a whole.

    Attributes
    ----------
    spacing:
        The smallest and the greatest distance of pixels, in mm.
    suited:
        Means, covariances and linear rules, as `prepare.suited` reads them.
    reach:
        Brightness, contrast and so on → from where to where it may lie.
    """

    modalities: list[str] = []
    body_parts: list[str] = []
    spacing: tuple[float, float] | None = None
    suited: dict[str, Any] | None = None
    reach: dict[str, tuple[float, float]] | None = None


class Reference(_Strict):
    """What the training cases were like, taken together; nothing of a single case. What is not known is left out.

    Attributes
    ----------
    counts:
        Label → number of training cases.
    mean, std:
        Of the values in the store, one per channel.
    """

    input: TrainingInput | None = None
    unit: Literal["HU", "arbitrary", "RGB"] | None = None
    modality: list[str] = []
    body_part: list[str] = []
    cases: int | None = Field(None, ge=0)
    patients: int | None = Field(None, ge=0)
    counts: dict[str, int] = {}
    mean: list[float] = []
    std: list[float] = []

    @property
    def plain(self) -> dict[str, Any]:
        """As it is written: only what is known."""
        return self.model_dump(mode="json", exclude_unset=True)


class Content(BaseModel):
    """A sealed bundle. Each property is the content of the member of that name; the weights are a safetensors file."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    manifest: Manifest = Field(alias=MANIFEST)
    plan: Plan = Field(alias=PLAN)
    recipe: Recipe = Field(alias=RECIPE)
    labels: Labels = Field(alias=LABELS)
    calibration: Calibration = Field(alias=CALIBRATION)
    reference: Reference = Field(alias=REFERENCE)

    @classmethod
    def load(cls, folder: Path, manifest: Manifest) -> Content:
        """Read the members of a bundle whose digests were verified.

        Raises
        ------
        BundleError
            If one of them is not valid, or two contradict each other; both are named.
        """
        try:
            return cls(
                manifest=manifest,
                plan=_in_a_bundle(Plan.load, folder / PLAN),
                recipe=_in_a_bundle(Recipe.load, folder / RECIPE),
                labels=read_member(Labels, folder / LABELS),
                calibration=read_member(Calibration, folder / CALIBRATION),
                reference=read_member(Reference, folder / REFERENCE),
            )
        except ValidationError as error:
            raise BundleError(_first(error), where=folder, fix=AGAIN) from error

    @model_validator(mode="after")
    def _members_agree(self) -> Content:
        plan, calibration = self.plan, self.calibration
        names, outputs = set(plan.labels.value), len(plan.outputs)
        binary, several = plan.task.value == "binary", plan.task.value == "multilabel"
        if self.labels != Labels(labels=plan.labels.value, positive=plan.positive.value):
            raise ValueError(f"{LABELS} has other labels than {PLAN}")
        if len(calibration.offsets) != outputs:
            raise ValueError(f"{CALIBRATION} has {len(calibration.offsets)} offsets, and {PLAN} {outputs} outputs")
        if calibration.method != plan.calibration.value:
            raise ValueError(f"{CALIBRATION} was fitted by another method than {PLAN} names")
        if (calibration.threshold is not None and not binary) or (calibration.thresholds is not None and not several):
            raise ValueError(f"{CALIBRATION} has a threshold that the task of {PLAN} has no use for")
        for floors in (calibration.floors, calibration.absent_floors):
            if floors and set(floors) != names:
                raise ValueError(f"{CALIBRATION} has floors of other labels than {PLAN}")
        if not set(self.reference.counts) <= names:
            raise ValueError(f"{REFERENCE} counts other labels than those of {PLAN}")
        self._recipe_is_that_of_the_plan()
        return self

    def _recipe_is_that_of_the_plan(self) -> None:
        norm, windows = self.plan.normalisation.value, [tuple(window) for window in self.plan.windows.value]
        wanted = {
            "size": self.recipe.size == tuple(self.plan.size.value),
            "windows": all(list(step.windows) == windows for step in self.recipe.steps if step.kind == "window"),
            "channels": all(
                step.channels == self.plan.channels.value for step in self.recipe.steps if step.kind == "repeat"
            ),
            "normalisation": all(
                (list(step.mean), list(step.std)) == (norm["mean"], norm["std"])
                for step in self.recipe.steps
                if step.kind == "normalise"
            ),
        }
        for name, agrees in wanted.items():
            if not agrees:
                raise ValueError(f"{RECIPE} and {PLAN} differ in {name}")


def read_member(model: type[Model], path: Path) -> Model:
    """Read a JSON member by its model.

    Raises
    ------
    BundleError
        If it is not valid; the place in it is named.
    """
    return checked_member(model, files.read_json(path, BundleError), path)


def checked_member(model: type[Model], content: Any, path: Path) -> Model:
    """Check the plain content of a member; errors as in `read_member`."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise BundleError(f"not valid in a bundle: {_first(error)}", where=path, fix=AGAIN) from error


def _in_a_bundle(load: Callable[[Path], Model], path: Path) -> Model:
    """What a person may edit elsewhere is sealed here."""
    try:
        return load(path)
    except HounsfieldError as error:
        raise BundleError(f"not valid in a bundle: {error.what}", where=path, fix=AGAIN) from error


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    place = " → ".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"].removeprefix("Value error, ")
