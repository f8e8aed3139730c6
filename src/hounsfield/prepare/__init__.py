"""From an Image to the network's input: conditioning rules, the Recipe's steps, and the store of what was prepared."""

from hounsfield.prepare.case import CaseFiles, Preparation, case_array, case_files, conditioned_frames, network_input
from hounsfield.prepare.conditioning import RULES, condition, describe
from hounsfield.prepare.recipe import recipe_of, stored_channels
from hounsfield.prepare.steps import apply, apply_steps, apply_stored, fitted_size, resize_operator
from hounsfield.prepare.store import Store, fill

__all__ = [
    "RULES", "CaseFiles", "Preparation", "Store", "apply", "apply_steps", "apply_stored", "case_array", "case_files",
    "condition", "conditioned_frames", "describe", "fill", "fitted_size", "network_input", "recipe_of",
    "resize_operator", "stored_channels",
]  # fmt: skip
