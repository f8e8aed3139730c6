"""A model repository for Triton Inference Server: the recipe, the network, and an ensemble from pixel values to probabilities."""

from hounsfield.export.triton.repository import write_repository
from hounsfield.export.triton.serving import NETWORK, RECIPE, Serving

__all__ = ["NETWORK", "RECIPE", "Serving", "write_repository"]
