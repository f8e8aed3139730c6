"""Calibration: from logits to probabilities, and from probabilities to a decision; what of it a bundle keeps."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hounsfield.core.plan import CalibrationMethod


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
