"""What a prediction rests on: maps by several methods, raw, with their scale, on the original geometry."""

from hounsfield.explain.agreement import Agreement, agreement
from hounsfield.explain.attribution import Attribution
from hounsfield.explain.checks import Check, check_maps
from hounsfield.explain.choices import Choice, choices_of, most_confident, panel_facts
from hounsfield.explain.explain import CASE_METHODS, GRADCAM, Explanation, explain, explain_each, write_panels
from hounsfield.explain.gradcam import OTHERWISE, NoFeatureMapsError
from hounsfield.explain.methods import METHODS, Method, attribute
from hounsfield.explain.place import peak_in_patient, peak_of
from hounsfield.explain.record import write_records
from hounsfield.explain.similar import Library, Neighbour, Similar, library_of, similar
from hounsfield.explain.subject import Subject, subject_of

__all__ = [
    "CASE_METHODS",
    "GRADCAM",
    "METHODS",
    "OTHERWISE",
    "Agreement",
    "Attribution",
    "Check",
    "Choice",
    "Explanation",
    "Library",
    "Method",
    "Neighbour",
    "NoFeatureMapsError",
    "Similar",
    "Subject",
    "agreement",
    "attribute",
    "check_maps",
    "choices_of",
    "explain",
    "explain_each",
    "library_of",
    "most_confident",
    "panel_facts",
    "peak_in_patient",
    "peak_of",
    "similar",
    "subject_of",
    "write_panels",
    "write_records",
]  # fmt: skip
