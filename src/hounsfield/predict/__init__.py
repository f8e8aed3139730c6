"""Bundle + Cohort → Predictions."""

from hounsfield.predict.judge import by_graph, by_torch, is_proved, load_network
from hounsfield.predict.predict import bundle_at, files_of, predict, preparation_of, tabulate

__all__ = [
    "bundle_at", "by_graph", "by_torch", "files_of", "is_proved", "load_network", "predict", "preparation_of", "tabulate",
]  # fmt: skip
