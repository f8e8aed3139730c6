"""Backbones and their weights, what is frozen, and the network that a bundle holds."""

from hounsfield.models.answers import Answers
from hounsfield.models.cut import cut
from hounsfield.models.device import counts_of, stacked
from hounsfield.models.network import Network, build, renew
from hounsfield.models.tail import Tail, present_slices
from hounsfield.models.weights import at_hand, packaged_file

__all__ = [
    "Answers",
    "Network",
    "Tail",
    "at_hand",
    "build",
    "counts_of",
    "cut",
    "packaged_file",
    "present_slices",
    "renew",
    "stacked",
]
