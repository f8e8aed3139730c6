"""Scanners: how one centre's images differ from another's in noise, sharpness, stored values, geometry and syntax."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage
from scipy.spatial.transform import Rotation

from hounsfield.errors import UsageError
from hounsfield.phantom.grid import Array, Grid

EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
RLE_LOSSLESS = "1.2.840.10008.1.2.5"


@dataclass(frozen=True)
class Scanner:
    """One centre's scanner and protocol.

    Attributes
    ----------
    noise_hu:
        Deviation of the noise inside the body, HU.
    blur_px, sharpen:
        The reconstruction kernel: a Gaussian of `blur_px` pixels, then `sharpen` times the detail added.
    slope, intercept, bits_stored, signed:
        HU = slope * stored + intercept (PS3.3 C.11.1), and how the stored value is held.
    transfer_syntax:
        UID of the transfer syntax: explicit little endian, or RLE Lossless (PS3.5 annex G).
    field_mm:
        Width of the image; the pixel spacing is this over the number of pixels.
    spacing_mm, thickness_mm:
        Distance between slices, and their thickness.
    position:
        Patient Position, for example HFS or HFP (PS3.3 C.7.3.1.1.2).
    orientation:
        Image Orientation (Patient): the directions of a row and of a column, along ±x and ±y.
    first_slice_at_head:
        Whether Instance Number 1 is the slice nearest to the head.
    tilt_deg:
        By how much the patient lies turned in the scanner, around x, then y, then z: the slices are then oblique.
    """

    manufacturer: str
    model: str
    institution: str
    kernel: str
    noise_hu: float
    blur_px: float
    sharpen: float
    slope: float
    intercept: float
    bits_stored: int
    signed: bool
    transfer_syntax: str
    field_mm: float
    spacing_mm: float
    thickness_mm: float
    kvp: int
    position: str = "HFS"
    orientation: tuple[float, float, float, float, float, float] = (1, 0, 0, 0, 1, 0)
    first_slice_at_head: bool = False
    # Not in the text of a scanner, of which the UIDs are made: those of a straight series are as they always were.
    tilt_deg: tuple[float, float, float] = field(default=(0.0, 0.0, 0.0), repr=False)

    def __post_init__(self) -> None:
        if self.transfer_syntax not in (EXPLICIT_LITTLE_ENDIAN, RLE_LOSSLESS):
            raise UsageError(f"a phantom cannot be written in the transfer syntax {self.transfer_syntax}")
        row, column = np.asarray(self.orientation[:3]), np.asarray(self.orientation[3:])
        if abs(row[0]) != 1 or abs(column[1]) != 1 or np.abs(row).sum() != 1 or np.abs(column).sum() != 1:
            raise UsageError(
                f"the image orientation {self.orientation} is not axial",
                fix="Let a row run along plus or minus x, and a column along plus or minus y.",
            )

    @property
    def prone(self) -> bool:
        """Whether the patient lies on the front."""
        return self.position.endswith("P")

    def grid(self, slices: int, size: int, centre: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Grid:
        """Return the grid of a square acquisition around `centre` (x, y, z in mm)."""
        pixel = round(self.field_mm / size, 6)  # what fits in the header is what was scanned
        spacing = (self.spacing_mm, pixel, pixel)
        shape = (slices, size, size)
        origin = [round(c - (n - 1) / 2 * s, 3) for c, n, s in zip(centre, shape[::-1], spacing[::-1], strict=True)]
        return Grid(shape, spacing, (origin[0], origin[1], origin[2]))

    def acquire(self, hu: Array, rng: np.random.Generator) -> Array:
        """Return `hu` (S, H, W) as this scanner reconstructs it: blurred or sharpened, with correlated noise."""
        blur = [0, self.blur_px, self.blur_px]
        white = ndimage.gaussian_filter(rng.standard_normal(hu.shape, dtype=np.float32), [0, 0.55, 0.55], truncate=3)
        # Filtered back projection takes the lowest frequencies out of the noise.
        white -= ndimage.uniform_filter(white, [1, 7, 7])
        image = ndimage.gaussian_filter(hu, blur, truncate=3)
        if self.sharpen:
            image += self.sharpen * (image - ndimage.gaussian_filter(image, [0, 1.2, 1.2], truncate=3))
        # Fewer photons come through the body than past it.
        share = np.where(hu < -950, np.float32(0.5), np.float32(1.0))
        return image + white * share * np.float32(self.noise_hu / max(float(white.std()), 1e-6))

    def store(self, hu: Array) -> Array:
        """Return the stored integers of `hu`, clipped to the range that the bits hold."""
        low = -(2 ** (self.bits_stored - 1)) if self.signed else 0
        high = low + 2**self.bits_stored - 1
        stored = np.clip(np.rint((hu - self.intercept) / self.slope), low, high)
        return stored.astype("<i2" if self.signed else "<u2")

    def arrange(self, volume: Array) -> Array:
        """Return `volume` (S, H, W; rows along +y, columns along +x) with pixels in this scanner's orientation."""
        return volume[:, :: int(self.orientation[4]), :: int(self.orientation[0])]

    def image_position(self, grid: Grid, index: int) -> tuple[float, float, float]:
        """Return Image Position (Patient) of slice `index`: where its first pixel lies (PS3.3 C.7.6.2.1.1)."""
        row = 0 if self.orientation[4] > 0 else grid.shape[1] - 1
        column = 0 if self.orientation[0] > 0 else grid.shape[2] - 1
        x, y, z = self.in_patient(grid.point((index, row, column)))
        return round(x, 6), round(y, 6), round(z, 6)

    @property
    def directions(self) -> tuple[float, ...]:
        """Image Orientation (Patient) as it is written: `orientation`, turned by the tilt."""
        return (*self.in_patient(self.orientation[:3]), *self.in_patient(self.orientation[3:]))

    def in_patient(self, point: ArrayLike) -> tuple[float, float, float]:
        """Return in the patient's coordinates (mm, LPS) a point (x, y, z) of the grid; they differ where there is a tilt."""
        x, y, z = (float(value) for value in np.asarray(point, dtype=np.float64))
        if any(self.tilt_deg):
            x, y, z = (
                float(value) for value in Rotation.from_euler("xyz", self.tilt_deg, degrees=True).apply((x, y, z))
            )
        return x, y, z


CENTRE_A = Scanner(
    manufacturer="Aldermoor Imaging",
    model="Helix 64",
    institution="Phantom Hospital A",
    kernel="STANDARD",
    noise_hu=14.0,
    blur_px=0.55,
    sharpen=0.0,
    slope=1.0,
    intercept=-1024.0,
    bits_stored=12,
    signed=False,
    transfer_syntax=EXPLICIT_LITTLE_ENDIAN,
    field_mm=320.0,
    spacing_mm=3.0,
    thickness_mm=3.0,
    kvp=120,
)

# Stored values around 16,000 for soft tissue: read as HU, everything is brighter than bone.
CENTRE_B = Scanner(
    manufacturer="Brightwater Medical",
    model="Spiral Force",
    institution="Phantom Hospital B",
    kernel="B60f",
    noise_hu=22.0,
    blur_px=0.4,
    sharpen=0.5,
    slope=0.5,
    intercept=-8192.0,
    bits_stored=16,
    signed=False,
    transfer_syntax=RLE_LOSSLESS,
    field_mm=350.0,
    spacing_mm=3.2,
    thickness_mm=4.0,
    kvp=100,
    position="HFP",
    orientation=(-1, 0, 0, 0, -1, 0),
    first_slice_at_head=True,
)
