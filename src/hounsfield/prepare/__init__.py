"""From an Image to the network's input: conditioning rules, the Recipe's steps, and the store of what was prepared."""

from hounsfield.prepare.case import (
    CaseFiles,
    Preparation,
    Seen,
    case_array,
    case_files,
    case_of_job,
    conditioned_frames,
    frames_of_values,
    graph_values,
    lowest_shown,
    network_input,
    seen,
)
from hounsfield.prepare.conditioning import RULES, condition, describe
from hounsfield.prepare.place import Axis, Place
from hounsfield.prepare.recipe import preparation_from, recipe_of, stored_channels
from hounsfield.prepare.region import region_box
from hounsfield.prepare.steps import apply, apply_steps, apply_stored, fitted_size, resize_operator
from hounsfield.prepare.store import Store, fill
from hounsfield.prepare.volume import Grid, grid_of, on_grid, resampled

__all__ = [
    "RULES", "Axis", "CaseFiles", "Grid", "Place", "Preparation", "Seen", "Store", "apply", "apply_steps", "apply_stored", "case_array",
    "case_files", "case_of_job", "condition", "conditioned_frames", "describe", "fill", "fitted_size", "frames_of_values",
    "graph_values", "grid_of",
    "lowest_shown", "network_input",
    "on_grid", "preparation_from", "recipe_of", "region_box", "resampled", "resize_operator", "seen", "stored_channels",
]  # fmt: skip
