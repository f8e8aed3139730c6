"""Predictions → Evaluation: measures with intervals, subgroups, the change at another centre, and one model against another."""

from hounsfield.evaluate.drop import Change, Drop, centre, compare, signed
from hounsfield.evaluate.evaluation import TITLES, Evaluation
from hounsfield.evaluate.foreign import load_predictions
from hounsfield.evaluate.judge import evaluate
from hounsfield.evaluate.models import ModelComparison, compare_models
from hounsfield.evaluate.patients import by_patient
from hounsfield.evaluate.shift import Shift, shift

__all__ = [
    "TITLES",
    "Change",
    "Drop",
    "Evaluation",
    "ModelComparison",
    "Shift",
    "by_patient",
    "centre",
    "compare",
    "compare_models",
    "evaluate",
    "load_predictions",
    "shift",
    "signed",
]
