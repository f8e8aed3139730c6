"""Backbones and their weights, what is frozen, and the network that a bundle holds."""

from hounsfield.models.network import Network, Tail, build, cut, fresh_head
from hounsfield.models.weights import at_hand, packaged_file

__all__ = ["Network", "Tail", "at_hand", "build", "cut", "fresh_head", "packaged_file"]
