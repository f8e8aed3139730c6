"""Asking a server that serves a bundle, and the proof that it answers as the Python path does."""

from hounsfield.serve.parity import check_server, prove_server
from hounsfield.serve.triton import TritonClient

__all__ = ["TritonClient", "check_server", "prove_server"]
