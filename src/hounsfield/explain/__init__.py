"""What a prediction rests on: Grad-CAM with its raw scale, on the original geometry."""

from hounsfield.explain.explain import Explanation, explain, most_confident, panel_facts, write_panels
from hounsfield.explain.gradcam import Attribution, grad_cam

__all__ = ["Attribution", "Explanation", "explain", "grad_cam", "most_confident", "panel_facts", "write_panels"]
