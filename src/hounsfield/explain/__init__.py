"""What a prediction rests on: Grad-CAM with its raw scale, on the original geometry."""

from hounsfield.explain.choices import Choice, choices_of, most_confident, panel_facts
from hounsfield.explain.explain import Explanation, explain, write_panels
from hounsfield.explain.gradcam import Attribution, grad_cam

__all__ = [
    "Attribution",
    "Choice",
    "Explanation",
    "choices_of",
    "explain",
    "grad_cam",
    "most_confident",
    "panel_facts",
    "write_panels",
]
