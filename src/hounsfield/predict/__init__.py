"""Bundle + Cohort → Predictions."""

from hounsfield.predict.predict import bundle_at, files_of, load_network, predict, preparation_of, tabulate

__all__ = ["bundle_at", "files_of", "load_network", "predict", "preparation_of", "tabulate"]
