"""Image: the only in-memory pixel type. Its values are physical, never stored values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Unit = Literal["HU", "arbitrary", "RGB"]
WindowFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]


@dataclass(frozen=True, slots=True)
class VOIWindow:
    """A window of the file (DICOM PS3.3 C.11.2.1.2), in the unit of the image."""

    centre: float
    width: float
    function: WindowFunction = "LINEAR"
    explanation: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class VOITable:
    """A VOI LUT of the file (DICOM PS3.3 C.11.2.1.1), used in place of a window.

    `values` are float32 in [0, 1] (the table over the greatest value that its bits hold). A pixel of value `first` or
    less takes values[0], `first` + 1 takes values[1], and so on; pixels past the end take the last.
    """

    first: float
    values: np.ndarray
    explanation: str | None = None


@dataclass(frozen=True, slots=True)
class Region:
    """A box in pixels, `bottom` and `right` not included."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What conditioning needs to know of one file, beside its pixels.

    `value_range` is the range that the file could have held (for 8-bit PNG 0 to 255), not the range that it uses.
    `inverted` is true where low values are to be shown bright (MONOCHROME1, PS3.3 C.7.6.3.1.2, or a Presentation LUT
    Shape of INVERSE, C.11.6). `regions` are the ultrasound regions that show tissue (2D or colour flow, PS3.3
    C.8.5.5.1). `burned_in` is what the file says of text in its pixels (BurnedInAnnotation, C.7.6.1.1.2).
    """

    modality: str | None = None
    body_part: str | None = None
    laterality: str | None = None
    photometric: str | None = None
    inverted: bool = False
    windows: tuple[VOIWindow, ...] = ()
    tables: tuple[VOITable, ...] = ()
    regions: tuple[Region, ...] = ()
    burned_in: bool | None = None
    value_range: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """Pixels of one file with what they mean.

    Attributes
    ----------
    pixels:
        float32 of shape (frames, height, width), or (frames, height, width, 3) where the unit is RGB.
    unit:
        "HU", "arbitrary" (MR, ultrasound, radiographs, grey PNG) or "RGB".
    spacing:
        Millimetres between rows, and between columns, where the file states them.
    affine:
        4x4, from (column, row, frame) to patient coordinates in mm, LPS axes, where the file states it.
    facts:
        Modality, body part, laterality, windows, photometric interpretation.
    source:
        sha256 of the file's bytes (or of the array, for members of an archive); None where it was not asked for.
    """

    pixels: np.ndarray
    unit: Unit
    source: str | None
    spacing: tuple[float, float] | None = None
    affine: np.ndarray | None = None
    facts: Facts = field(default_factory=Facts)

    def __post_init__(self) -> None:
        wanted = 4 if self.unit == "RGB" else 3
        if self.pixels.ndim != wanted or (wanted == 4 and self.pixels.shape[-1] != 3):
            raise ValueError(f"an Image in {self.unit} has {wanted} axes, not shape {self.pixels.shape}")
        if self.pixels.dtype != np.float32:
            raise ValueError(f"an Image holds float32, not {self.pixels.dtype}")
        if 0 in self.pixels.shape:
            raise ValueError(f"an Image cannot be empty: {self.pixels.shape}")
        if self.affine is not None and self.affine.shape != (4, 4):
            raise ValueError(f"an affine is 4x4, not {self.affine.shape}")

    @property
    def frames(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.pixels.shape[1]), int(self.pixels.shape[2])

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the frames, each (height, width) or (height, width, 3)."""
        return iter(self.pixels)

    def __str__(self) -> str:
        height, width = self.size
        stack = f"{self.frames}×" if self.frames > 1 else ""
        low, high = float(self.pixels.min()), float(self.pixels.max())
        place = f", {self.spacing[0]:.3g}×{self.spacing[1]:.3g} mm" if self.spacing else ""
        kind = " ".join(part for part in (self.facts.modality, self.facts.body_part) if part)
        return f"Image {stack}{height}×{width} {self.unit} [{low:.6g}, {high:.6g}]{place}{', ' + kind if kind else ''}"
