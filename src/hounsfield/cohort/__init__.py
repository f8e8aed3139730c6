"""From a folder and a label table to a Cohort: headers, labels, duplicates, splits, pseudonyms."""

from hounsfield.cohort.scan import Labelling, Stated, scan, scan_for_prediction

__all__ = ["Labelling", "Stated", "scan", "scan_for_prediction"]
