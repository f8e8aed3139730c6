"""Plan: every decision of a run, each with its value and the reason it was chosen; YAML a person can edit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from hounsfield.core import digest as digests
from hounsfield.core import files
from hounsfield.core.windows import by_name
from hounsfield.errors import PlanError

T = TypeVar("T")

HEADER = """# A Hounsfield plan: every decision of the run, with its value and its reason.
# Change a value and run the same command again; only what depends on it is done anew.
"""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Decision(_Strict, Generic[T]):
    """One decision: what was chosen, and why."""

    value: T
    reason: str = ""


class WindowsDecision(Decision[list[tuple[float, float]]]):
    """(centre, width) pairs. They may be written as names of `core.windows`; the reason then tells the names."""

    @model_validator(mode="before")
    @classmethod
    def _names_become_numbers(cls, content: Any) -> Any:
        if not isinstance(content, dict) or "value" not in content:
            return content
        pairs, told = by_name(content["value"])
        return {**content, "value": pairs, "reason": f"asked for: {', '.join(told)}"} if told else content


# What may be removed from an image before its rule sees it.
Removal = Literal["border", "text", "marker"]


def _listed(value: Any) -> Any:
    """One word, or several with commas between, as they are written on a command line."""
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


def _once(value: list[Removal]) -> list[Removal]:
    """In one order and without repeats, so that equal plans have equal digests."""
    return [name for name in get_args(Removal) if name in value]


Removals = Annotated[list[Removal], BeforeValidator(_listed), AfterValidator(_once)]


CalibrationMethod = Literal["temperature", "platt", "isotonic"]


class Augmentation(_Strict):
    """What is varied in training. Degrees; fractions of the size; standard deviation in units of the [0, 1] range."""

    rotate: float = Field(15.0, ge=0, le=180)
    scale: float = Field(0.15, ge=0, lt=1)
    shift: float = Field(0.1, ge=0, lt=1)
    flip_horizontal: bool = False
    flip_vertical: bool = False
    noise: float = Field(0.02, ge=0)
    contrast: tuple[float, float] = (0.7, 1.4)
    elastic: float = Field(0.0, ge=0)


class Weights(_Strict):
    """Where pretrained weights come from: `packaged`, `file` (with path), `cache`, `hub` (asked for), or `none`."""

    source: Literal["packaged", "file", "cache", "hub", "none"]
    path: str | None = None

    @model_validator(mode="after")
    def _file_needs_a_path(self) -> Weights:
        if (self.source == "file") != (self.path is not None):
            raise ValueError("weights from a file need a path, and only they have one")
        return self


class Loss(_Strict):
    """`cross-entropy` weighted by class, or `focal` (Lin 2017), whose alpha by class are the same weights.

    Attributes
    ----------
    class_weights:
        Label → weight of its cases; labels that are not named weigh 1. For findings of which a case may have several,
        the weight of a case that has the label against one that has not.
    gamma:
        The exponent of the focal loss; 0 makes it cross-entropy.
    smoothing:
        Share of the target that is spread over all classes (Szegedy 2016).
    """

    name: Literal["cross-entropy", "focal"] = "cross-entropy"
    class_weights: dict[str, Annotated[float, Field(gt=0)]] = {}
    gamma: float = Field(2.0, ge=0)
    smoothing: float = Field(0.0, ge=0, lt=0.5)


class Region(_Strict):
    """The region of interest of a volume.

    Attributes
    ----------
    kind:
        `none`; `foreground` (what stands out from the background) or `body` (CT: the patient without the table), found in
        each volume; `mask`, `box` or `centre`, given with the labels of each case.
    margin:
        Millimetres that are added on every side of what was found or given.
    size:
        For a `centre`: millimetres along slices, rows and columns.
    """

    kind: Literal["none", "foreground", "body", "mask", "box", "centre"] = "none"
    margin: float = Field(0.0, ge=0)
    size: tuple[float, float, float] | None = None

    @model_validator(mode="after")
    def _centre_has_a_size(self) -> Region:
        if (self.kind == "centre") != (self.size is not None):
            raise ValueError("a centre of interest needs a size in mm, and only it has one")
        if self.size is not None and min(self.size) <= 0:
            raise ValueError("the size of a region is in mm, greater than 0")
        return self

    def __str__(self) -> str:
        around = f", {self.margin:g} mm around it" if self.margin else ""
        sides = "" if self.size is None else f", {'×'.join(f'{side:g}' for side in self.size)} mm"
        return f"{self.kind}{sides}{around}"


class Limits(_Strict):
    """What a run may take: GiB of memory and of disk (null: what the machine has), and minutes of training."""

    memory: float | None = Field(None, gt=0)
    disk: float | None = Field(None, gt=0)
    minutes: float | None = Field(None, gt=0)

    def __str__(self) -> str:
        units = {"memory": "GiB of memory", "disk": "GiB of disk", "minutes": "min of training"}
        told = [f"{value:g} {units[name]}" for name, value in self if value is not None]
        return ", ".join(told) or "none"


class Cost(_Strict):
    """What the run will take on this machine. Minutes, GiB of memory at the peak, GiB of disk; and what was measured."""

    minutes: float
    memory: float
    disk: float
    measured: dict[str, float] = {}


class Plan(_Strict):
    """Every decision of a run. `cohort` is the digest of the cohort it was made for.

    Raises
    ------
    PlanError
        From `load`, where a value is not allowed; the message names the decision.
    """

    schema_version: Literal[1] = 1
    cohort: str
    task: Decision[Literal["binary", "multiclass", "multilabel"]]
    labels: Decision[list[str]]
    positive: Decision[str | None]
    unit: Decision[Literal["HU", "arbitrary", "RGB"]]
    # Bundles that were sealed before this decision existed removed nothing.
    clean: Decision[Removals] = Decision(value=[], reason="nothing is removed unless asked")
    conditioning: Decision[str]
    windows: WindowsDecision
    dimension: Decision[Literal["2d", "2.5d", "3d"]] = Decision(value="2d", reason="a case is one image")
    slices: Decision[int]
    adjacent: Decision[int] = Decision(value=0, reason="a slice is shown alone")
    spacing: Decision[tuple[float, float, float] | None] = Decision(value=None, reason="pixels as they are")
    region: Decision[Region] = Decision(value=Region(), reason="the whole image")
    size: Decision[tuple[int, int]]
    channels: Decision[int]
    normalisation: Decision[dict[str, list[float]]]
    augmentation: Decision[Augmentation]
    backbone: Decision[str]
    weights: Decision[Weights]
    frozen: Decision[str]
    head: Decision[Literal["last", "stages"]] = Decision(value="last", reason="the last map, as in pretraining")
    pooling: Decision[Literal["mean", "lstm", "gru", "attention"]] = Decision(value="mean", reason="the mean logit")
    cached_views: Decision[int]
    cache_precision: Decision[Literal["half", "single"]] = Decision(value="half", reason="half the room")
    members: Decision[int]
    dropout: Decision[float]
    loss: Decision[Loss]
    sampler: Decision[Literal["shuffled", "balanced"]] = Decision(value="shuffled", reason="every case once")
    batch: Decision[int]
    accumulate: Decision[int] = Decision(value=1, reason="every batch is a step")
    epochs: Decision[int]
    patience: Decision[int]
    learning_rate: Decision[float]
    backbone_rate: Decision[float]
    layer_decay: Decision[float] = Decision(value=1.0, reason="all stages learn alike")
    unfreeze: Decision[int] = Decision(value=0, reason="all that is trained is trained from the start")
    schedule: Decision[Literal["one-cycle", "cosine"]] = Decision(value="one-cycle", reason="a warm-up, then a fall")
    warm_up: Decision[float] = Decision(value=0.15, reason="share of the steps in which the rate rises")
    clip: Decision[float] = Decision(value=1.0, reason="the greatest norm of a gradient")
    precision: Decision[Literal["single", "bf16", "fp16"]] = Decision(value="single", reason="exact everywhere")
    deterministic: Decision[bool] = Decision(value=False, reason="the fastest algorithms")
    batch_norm: Decision[Literal["frozen", "trained"]]
    weight_decay: Decision[float]
    flip_at_test: Decision[bool] = Decision(value=False, reason="an image is judged as it is")
    calibration: Decision[CalibrationMethod] = Decision(value="temperature", reason="one number per output")
    operating_point: Decision[str]
    limits: Decision[Limits] = Decision(value=Limits(), reason="what the machine has")
    seed: Decision[int]
    cost: Decision[Cost]

    @model_validator(mode="after")
    def _values_make_sense(self) -> Plan:
        at_least_one = ("slices", "channels", "members", "batch", "epochs", "patience", "accumulate")
        for name in at_least_one:
            if getattr(self, name).value < 1:
                raise ValueError(f"{name} must be at least 1")
        if self.cached_views.value < 0:
            raise ValueError("cached_views must not be negative")
        if not 0 <= self.dropout.value < 1:
            raise ValueError("dropout must be in [0, 1)")
        if not 0 < self.backbone_rate.value <= 1:
            raise ValueError("backbone_rate is a share of the learning rate, greater than 0 and at most 1")
        if not 0 < self.learning_rate.value < 10 or not 0 <= self.weight_decay.value < 10:
            raise ValueError("learning_rate must be greater than 0, weight_decay not negative, and both below 10")
        if not self.windows.value or any(not width > 0 for _, width in self.windows.value):
            raise ValueError("windows must be (centre, width) pairs, at least one, with widths greater than 0")
        norm = self.normalisation.value
        if set(norm) != {"mean", "std"} or len(norm["mean"]) != len(norm["std"]) or any(not v > 0 for v in norm["std"]):
            raise ValueError("normalisation must give mean and std, of the same length, every std greater than 0")
        if min(self.size.value) < 32 or max(self.size.value) > 2048:
            raise ValueError("size must be between 32 and 2048 pixels")
        several = self.task.value == "multilabel"
        if len(self.labels.value) < (1 if several else 2) or len(set(self.labels.value)) != len(self.labels.value):
            raise ValueError("labels must be at least two different names; one is enough where a case may have several")
        if not several and (self.task.value == "binary") != (len(self.labels.value) == 2):
            raise ValueError("a binary task has two labels, a multiclass task more")
        if self.task.value == "binary" and self.positive.value != self.labels.value[1]:
            raise ValueError("in a binary task the positive label is the second of labels")
        if several and self.positive.value is not None:
            raise ValueError("where a case may have several labels none is the positive one")
        return self

    @property
    def outputs(self) -> list[str]:
        """The labels that have a logit of their own: the positive one in a binary task, else all, in order."""
        return self.labels.value[1:] if self.task.value == "binary" else list(self.labels.value)

    @property
    def decisions(self) -> dict[str, Decision[Any]]:
        """Name → decision, in the order in which they are taken."""
        found = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in found.items() if isinstance(value, Decision)}

    @property
    def digest(self) -> str:
        """sha256 of the values alone: reasons, the measured cost and the folder of a weights file change nothing of the run."""
        decisions = self.portable().decisions
        values = {name: item.model_dump(mode="json")["value"] for name, item in decisions.items() if name != "cost"}
        return digests.digest({"cohort": self.cohort, **values})

    def portable(self) -> Plan:
        """Return the plan as it may leave this machine: a weights file by its name, without its folder."""
        path = self.weights.value.path
        if path is None:
            return self
        named = Weights(source=self.weights.value.source, path=Path(path).name)
        return self.model_copy(update={"weights": Decision(value=named, reason=self.weights.reason)})

    def changed(self, **values: Any) -> Plan:
        """Return a copy with some values replaced, their reason becoming "asked for".

        Raises
        ------
        PlanError
            If a name is not a decision or a value is not allowed.
        """
        content = self.model_dump(mode="json")
        for name, value in values.items():
            if name not in self.decisions:
                raise PlanError(
                    f"the plan has no decision named {name!r}", fix=f"Choose from: {', '.join(self.decisions)}."
                )
            content[name] = {"value": value, "reason": "asked for"}
        return self.from_content(content)

    @classmethod
    def from_content(cls, content: Any) -> Plan:
        """Check plain content (as from YAML) and build the plan; errors as in `load`."""
        return _checked(content, None)

    def save(self, path: Path) -> None:
        files.write_yaml(path, self.model_dump(mode="json"), HEADER)

    @classmethod
    def load(cls, path: Path) -> Plan:
        return _checked(files.read_yaml(path, PlanError), path)

    def __str__(self) -> str:
        size = "×".join(str(side) for side in self.size.value)
        return (
            f"Plan {self.backbone.value} at {size}, frozen {self.frozen.value}, {self.members.value} member(s), "
            f"{self.loss.value.name}, about {self.cost.value.minutes:.1f} min ({self.digest[:8]})"
        )


def _checked(content: Any, path: Path | None) -> Plan:
    if not isinstance(content, dict):
        raise PlanError("this is not a plan", where=path, fix="Make one with: hounsfield plan RUN")
    try:
        return Plan.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = " → ".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise PlanError(
            f"{place + ': ' if place else ''}{message}", where=path, fix="Correct the value and run again."
        ) from error
