"""Hounsfield: from a folder of medical images and a table of labels to a classifier that a clinic can trust.

    import hounsfield as hf
    cohort = hf.scan("images", "labels.csv")
    plan = hf.plan(cohort)
    bundle = hf.train(cohort, plan, "runs/first")
    predictions = hf.predict(bundle, cohort)
    print(hf.evaluate(predictions))

Names are imported when they are first used: importing hounsfield loads no torch.
"""

import sys
from typing import TYPE_CHECKING

from hounsfield.lazy import lazily, with_verbs

if TYPE_CHECKING:
    from hounsfield.core import Bundle, Cohort, Image, Plan, Predictions, Recipe
    from hounsfield.errors import HounsfieldError
    from hounsfield.pipeline.verbs import (
        audit,
        demo,
        doctor,
        evaluate,
        explain,
        export,
        pack,
        plan,
        predict,
        read,
        read_series,
        report,
        run,
        scan,
        show,
        train,
    )

__version__ = "0.1.0"

_TYPES = ("Bundle", "Cohort", "Image", "Plan", "Predictions", "Recipe")
_VERBS = (
    "audit", "demo", "doctor", "evaluate", "explain", "export", "pack", "plan", "predict", "read", "read_series", "report", "run",
    "scan", "show", "train",
)  # fmt: skip

__all__ = [
    "Bundle", "Cohort", "HounsfieldError", "Image", "Plan", "Predictions", "Recipe", "__version__", "audit", "demo",
    "doctor", "evaluate", "explain", "export", "pack", "plan", "predict", "read", "read_series", "report", "run", "scan", "show", "train",
]  # fmt: skip

sys.modules[__name__].__class__ = with_verbs(_VERBS, "hounsfield.pipeline.verbs")
__getattr__ = lazily(__name__, {**dict.fromkeys(_TYPES, "hounsfield.core"), "HounsfieldError": "hounsfield.errors"})
