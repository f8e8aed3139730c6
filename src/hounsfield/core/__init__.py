"""The six things that flow: Image, Cohort, Plan, Recipe, Bundle, Predictions; and the digests that name them."""

from typing import TYPE_CHECKING

from hounsfield.lazy import lazily

if TYPE_CHECKING:
    from hounsfield.core.bundle import Bundle
    from hounsfield.core.calibration import Calibration
    from hounsfield.core.cohort import Cohort
    from hounsfield.core.image import Facts, Image, Region, VOITable, VOIWindow
    from hounsfield.core.plan import Plan
    from hounsfield.core.predictions import Predictions
    from hounsfield.core.recipe import Recipe

__all__ = [
    "Bundle", "Calibration", "Cohort", "Facts", "Image", "Plan", "Predictions", "Recipe", "Region", "VOITable", "VOIWindow",
]  # fmt: skip

# Worker processes that only decode need the Image and not the tables; they start in a tenth of the time.
__getattr__ = lazily(
    __name__,
    {
        "Bundle": "hounsfield.core.bundle",
        "Calibration": "hounsfield.core.calibration",
        "Cohort": "hounsfield.core.cohort",
        "Facts": "hounsfield.core.image",
        "Image": "hounsfield.core.image",
        "Plan": "hounsfield.core.plan",
        "Predictions": "hounsfield.core.predictions",
        "Recipe": "hounsfield.core.recipe",
        "Region": "hounsfield.core.image",
        "VOITable": "hounsfield.core.image",
        "VOIWindow": "hounsfield.core.image",
    },
)
