"""Bundle → ONNX with the Recipe inside, and the proof that it gives the same numbers."""

from hounsfield.export.export import export
from hounsfield.export.parity import Parity

__all__ = ["Parity", "export"]
