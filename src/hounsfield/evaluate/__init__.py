"""Predictions → Evaluation: measures with intervals, subgroups, and the change at another centre."""

from hounsfield.evaluate.drop import Change, Drop, centre, compare, signed
from hounsfield.evaluate.evaluation import TITLES, Evaluation
from hounsfield.evaluate.judge import evaluate

__all__ = ["TITLES", "Change", "Drop", "Evaluation", "centre", "compare", "evaluate", "signed"]
