"""Statistics on plain arrays: how well a classifier ranks, decides and knows what it does not know.

Everything takes NumPy arrays and knows nothing of files or models. Intervals are over patients.
"""

from hounsfield.measure.bootstrap import (
    Estimate,
    decimals,
    difference,
    exact,
    patient_weights,
    percentiles,
    span,
    wilson,
)
from hounsfield.measure.calibrating import fit_isotonic, fit_platt, fit_temperature
from hounsfield.measure.clustered import AreaParts, ClusteredArea, area_parts, clustered_area, clustered_auc
from hounsfield.measure.conformal import expected_coverage, floors, rejection, sets
from hounsfield.measure.curves import Curve, Reliability, precision_recall_curve, reliability_curve, roc_curve
from hounsfield.measure.intervals import average, share
from hounsfield.measure.measures import BAND_RATES, BOUNDED, NAMES, Measures, measures
from hounsfield.measure.multiple import holm, p_value
from hounsfield.measure.paired import McNemar, mcnemar, paired_areas, paired_measures, unpaired
from hounsfield.measure.probability import Knots, probabilities
from hounsfield.measure.ranking import auc, auc_error, average_precision
from hounsfield.measure.recalibration import NEAREST, recalibration
from hounsfield.measure.several import SeveralMeasures, mean, several_measures
from hounsfield.measure.threshold import parse_rule, threshold

__all__ = [
    "BAND_RATES",
    "BOUNDED",
    "NAMES",
    "NEAREST",
    "AreaParts",
    "ClusteredArea",
    "Curve",
    "Estimate",
    "Knots",
    "McNemar",
    "Measures",
    "Reliability",
    "SeveralMeasures",
    "area_parts",
    "auc",
    "auc_error",
    "average",
    "average_precision",
    "clustered_area",
    "clustered_auc",
    "decimals",
    "difference",
    "exact",
    "expected_coverage",
    "fit_isotonic",
    "fit_platt",
    "fit_temperature",
    "floors",
    "holm",
    "mcnemar",
    "mean",
    "measures",
    "p_value",
    "paired_areas",
    "paired_measures",
    "parse_rule",
    "patient_weights",
    "percentiles",
    "precision_recall_curve",
    "probabilities",
    "recalibration",
    "rejection",
    "reliability_curve",
    "roc_curve",
    "sets",
    "several_measures",
    "share",
    "span",
    "threshold",
    "unpaired",
    "wilson",
]
