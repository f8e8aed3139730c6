"""Recipe: ordered pure steps from a conditioned image to the network's input, and their numbers.

The same for every image, and the only path there is: training, prediction, serving and the ONNX graph all read it.
The arithmetic of the steps stands in `hounsfield.prepare`; here they are data.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hounsfield.core import digest as digests
from hounsfield.core import files
from hounsfield.errors import BundleError


class _Step(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Window(_Step):
    """Map [centre - width/2, centre + width/2] to [0, 1] and clip: LINEAR_EXACT of DICOM PS3.3 C.11.2.1.3.2.

    Several windows make several channels, in order. A colour image is windowed channel by channel by one window.
    """

    kind: Literal["window"] = "window"
    windows: tuple[tuple[float, float], ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _widths_are_positive(self) -> Window:
        if any(width <= 0 for _, width in self.windows):
            raise ValueError("a window's width must be greater than 0")
        return self


class Resize(_Step):
    """Scale the image, keeping its aspect, to the largest size that fits; triangle filter, antialiased."""

    kind: Literal["resize"] = "resize"
    height: int = Field(gt=0)
    width: int = Field(gt=0)


class Pad(_Step):
    """Fill up to height x width, the image in the centre."""

    kind: Literal["pad"] = "pad"
    height: int = Field(gt=0)
    width: int = Field(gt=0)
    value: float = 0.0


class Repeat(_Step):
    """Repeat one channel, so that grey images fit a network pretrained on colour."""

    kind: Literal["repeat"] = "repeat"
    channels: int = Field(gt=0)


class Normalise(_Step):
    """Subtract the mean and divide by the standard deviation of the backbone's pretraining, channel by channel."""

    kind: Literal["normalise"] = "normalise"
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @model_validator(mode="after")
    def _lengths_agree(self) -> Normalise:
        if len(self.mean) != len(self.std) or any(value <= 0 for value in self.std):
            raise ValueError("mean and std need the same length, and every std must be greater than 0")
        return self


Step = Annotated[Window | Resize | Pad | Repeat | Normalise, Field(discriminator="kind")]

# What the store keeps is the result of these; the others are cheap and come after augmentation.
STORED_KINDS = ("window", "resize", "pad")


class Recipe(BaseModel):
    """Steps from a conditioned frame, (height, width) or (height, width, 3), to (channels, height, width)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    steps: tuple[Step, ...]

    @model_validator(mode="after")
    def _order_is_possible(self) -> Recipe:
        kinds = [step.kind for step in self.steps]
        stored = [kind in STORED_KINDS for kind in kinds]
        if "pad" not in kinds or "window" not in kinds or stored != sorted(stored, reverse=True):
            raise ValueError("a recipe needs a window and a pad, and repeat and normalise come after them")
        return self

    @property
    def stored(self) -> tuple[Step, ...]:
        """The steps whose result, in [0, 1], is kept in the store and augmented."""
        return tuple(step for step in self.steps if step.kind in STORED_KINDS)

    @property
    def late(self) -> tuple[Step, ...]:
        """The steps that come after the store."""
        return tuple(step for step in self.steps if step.kind not in STORED_KINDS)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the network's input."""
        pad = next(step for step in self.steps if step.kind == "pad")
        return pad.height, pad.width

    @property
    def digest(self) -> str:
        return digests.digest(self.model_dump(mode="json"))

    def save(self, path: Path) -> None:
        files.write_json(path, self.model_dump(mode="json"))

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Read a recipe from JSON.

        Raises
        ------
        BundleError
            If the file is missing or is not a recipe.
        """
        try:
            return cls.model_validate(files.read_json(path, BundleError))
        except ValidationError as error:
            raise BundleError(f"not a recipe: {error.errors()[0]['msg']}", where=path) from error

    def __str__(self) -> str:
        return "Recipe " + " → ".join(step.kind for step in self.steps) + f" ({self.digest[:8]})"
