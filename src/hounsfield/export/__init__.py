"""Bundle → ONNX with the Recipe inside, and the proof that it gives the same numbers."""

from hounsfield.export.bench import Bench, bench
from hounsfield.export.export import Exported, export
from hounsfield.export.parity import Parity
from hounsfield.export.quantise import SmallNetwork

__all__ = ["Bench", "Exported", "Parity", "SmallNetwork", "bench", "export"]
