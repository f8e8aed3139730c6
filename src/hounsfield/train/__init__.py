"""Cohort + Plan → Bundle: augmentation, the cache of frozen layers, losses, the fit, calibration, sealing."""

from hounsfield.train.fit import EpochNews
from hounsfield.train.train import Listeners, Trained, train

__all__ = ["EpochNews", "Listeners", "Trained", "train"]
