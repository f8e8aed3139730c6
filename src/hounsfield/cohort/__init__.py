"""From a folder and a label table to a Cohort: headers, labels, duplicates, splits, pseudonyms."""

import sys
from typing import TYPE_CHECKING

from hounsfield.lazy import lazily, with_verbs

if TYPE_CHECKING:
    from hounsfield.cohort.choosing import Looking, Stated
    from hounsfield.cohort.place import Splitting
    from hounsfield.cohort.scan import Labelling, scan, scan_for_prediction

__all__ = ["Labelling", "Looking", "Splitting", "Stated", "scan", "scan_for_prediction"]

# Worker processes import `hounsfield.cohort.reading`, and need neither tables nor splits.
_SCAN = "hounsfield.cohort.scan"
sys.modules[__name__].__class__ = with_verbs(("scan",), _SCAN)  # the function, though its module has the same name
__getattr__ = lazily(
    __name__, dict.fromkeys(("Labelling", "Looking", "Splitting", "Stated", "scan_for_prediction"), _SCAN)
)
