"""Where a frame that a network was given lies: in the picture of its file, and in the patient."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

# Of a pixel: what the sums of a resampling may be off at the edge of a picture.
_ROUNDED = 1e-6


@dataclass(frozen=True)
class Axis:
    """How the rows (or columns) of a frame lie on those of a picture.

    Attributes
    ----------
    start, step:
        The centre of row i of the frame lies at row `start` + `step`·i of the picture; a mirrored frame has a negative step.
    first, stop:
        The rows of the picture that the frame shows; what the frame has beyond them was filled in.
    """

    start: float
    step: float
    first: int
    stop: int

    @staticmethod
    def part(first: int, stop: int, *, mirrored: bool = False) -> Axis:
        """Return the axis of a frame that was cut out of a picture."""
        return Axis(stop - 1, -1.0, first, stop) if mirrored else Axis(first, 1.0, first, stop)

    def at(self, place: float) -> float:
        """Return where a place of the frame lies on the picture."""
        return self.start + self.step * place

    def then(self, inner: Axis) -> Axis:
        """Return the axis, on the same picture, of a frame made from this one, which must be a part (nothing resampled)."""
        ends = sorted((self.at(inner.first), self.at(inner.stop - 1)))
        return Axis(self.at(inner.start), self.step * inner.step, round(ends[0]), round(ends[1]) + 1)

    def back(self, length: int, count: int) -> np.ndarray:
        """Return the (length, count) float32 matrix that lays `count` values of the frame on a picture of `length`.

        It is the triangle filter of `resize_operator` on another grid: exact where nothing was resampled. Rows that the
        frame does not show are 0.
        """
        numbers = np.arange(length)
        places = (numbers - self.start) / self.step
        reach = max(1.0, 1.0 / abs(self.step))
        weights = np.maximum(0.0, 1.0 - np.abs(places[:, None] - np.arange(count)) / reach)
        inside = (places >= -0.5 - _ROUNDED) & (places <= count - 0.5 + _ROUNDED)
        weights[~(inside & (numbers >= self.first) & (numbers < self.stop))] = 0.0
        sums = weights.sum(axis=1, keepdims=True)
        return np.asarray(np.divide(weights, sums, out=weights, where=sums > 0), dtype=np.float32)


@dataclass(frozen=True)
class Cut:
    """What is left of a picture after a crop, mirrored left to right or not."""

    rows: Axis
    columns: Axis

    @staticmethod
    def box(rows: tuple[int, int], columns: tuple[int, int], *, mirrored: bool = False) -> Cut:
        """Return the cut of rows and columns, each (first, stop)."""
        return Cut(Axis.part(*rows), Axis.part(*columns, mirrored=mirrored))

    def of(self, frame: np.ndarray) -> np.ndarray:
        """Return the part of (rows, columns, ...); a view where it is not mirrored."""
        part = frame[self.rows.first : self.rows.stop, self.columns.first : self.columns.stop]
        return np.ascontiguousarray(part[:, ::-1]) if self.columns.step < 0 else part

    def then(self, inner: Cut) -> Cut:
        """Return, on the same picture, what a further cut leaves."""
        return Cut(self.rows.then(inner.rows), self.columns.then(inner.columns))


@dataclass(frozen=True, eq=False)
class Place:
    """Where one frame lies.

    A picture is one frame of a file as it is read: upright, as `read` turns it, with all its rows and columns.

    Attributes
    ----------
    frame, picture:
        Rows and columns of the frame as the recipe gets it, and of the picture.
    rows, columns:
        How the one lies on the other.
    number:
        Which picture of the case, counted from 0; between two of them where slices were resampled.
    plane:
        (3, 3), from (column, row, 1) of the picture to patient coordinates in mm (LPS, DICOM PS3.3 C.7.6.2.1.1), at
        `number`; None where the files do not say.
    """

    frame: tuple[int, int]
    picture: tuple[int, int]
    rows: Axis
    columns: Axis
    number: float = 0
    plane: np.ndarray | None = None

    @staticmethod
    def whole(size: tuple[int, int]) -> Place:
        """Return the place of a frame that is its picture."""
        return Place(size, size, Axis.part(0, size[0]), Axis.part(0, size[1]))

    def within(self, rows: Axis, columns: Axis, frame: tuple[int, int]) -> Place:
        """Return the place of a frame that was made from this one."""
        return replace(self, frame=frame, rows=self.rows.then(rows), columns=self.columns.then(columns))

    def on_picture(self, values: np.ndarray) -> np.ndarray:
        """Lay values of the frame, (rows, columns), on the picture; 0 where the frame does not show it."""
        rows = self.rows.back(self.picture[0], self.frame[0])
        return rows @ values @ self.columns.back(self.picture[1], self.frame[1]).T

    def in_patient(self, row: float, column: float) -> tuple[float, float, float] | None:
        """Return x, y and z in mm of a place of the picture; None where the files do not say where it lies."""
        if self.plane is None:
            return None
        x, y, z = (float(value) for value in self.plane @ np.array([column, row, 1.0]))
        return x, y, z


def plane_at(affine: np.ndarray | None, number: float) -> np.ndarray | None:
    """Return (3, 3), from (column, row, 1) to mm, of one plane of a volume whose (4, 4) affine takes (column, row, plane)."""
    if affine is None:
        return None
    return np.stack([affine[:3, 0], affine[:3, 1], affine[:3, 3] + number * affine[:3, 2]], axis=1)
