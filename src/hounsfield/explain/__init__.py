"""What a prediction rests on: maps by several methods, raw, with their scale, on the original geometry."""

from hounsfield.explain.attribution import Attribution
from hounsfield.explain.checks import Check, check_maps
from hounsfield.explain.choices import Choice, choices_of, most_confident, panel_facts
from hounsfield.explain.explain import GRADCAM, Explanation, explain, write_panels
from hounsfield.explain.methods import METHODS, Method, attribute
from hounsfield.explain.place import peak_in_patient, peak_of
from hounsfield.explain.subject import Subject, subject_of

__all__ = [
    "GRADCAM", "METHODS", "Attribution", "Check", "Choice", "Explanation", "Method", "Subject", "attribute", "check_maps",
    "choices_of", "explain", "most_confident", "panel_facts", "peak_in_patient", "peak_of",
    "subject_of", "write_panels",
]  # fmt: skip
