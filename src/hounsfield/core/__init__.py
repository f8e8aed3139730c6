"""The six things that flow: Image, Cohort, Plan, Recipe, Bundle, Predictions; and the digests that name them."""

from hounsfield.core.bundle import Bundle, Calibration
from hounsfield.core.cohort import Cohort
from hounsfield.core.image import Facts, Image, VOIWindow
from hounsfield.core.plan import Plan
from hounsfield.core.predictions import Predictions
from hounsfield.core.recipe import Recipe

__all__ = ["Bundle", "Calibration", "Cohort", "Facts", "Image", "Plan", "Predictions", "Recipe", "VOIWindow"]
