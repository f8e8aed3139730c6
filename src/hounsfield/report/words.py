"""Turning values into words that a reader can take in, and free text into words that a reader may see."""

from __future__ import annotations

import re
from pathlib import PureWindowsPath  # understands both kinds of slashes
from typing import Any

from hounsfield.core.plan import Augmentation, Cost, Loss, Plan, Weights
from hounsfield.evaluate import centre

# Each measure in one plain line; {positive} is the name of the disease.
MEANING = {
    "auc": "how often a random {positive} case ranks above a random other case; 0.5 is guessing",
    "average_precision": "precision averaged over recall; guessing gives {share}",
    "sensitivity": "of the cases that are {positive}, the share called so",
    "specificity": "of the other cases, the share not called {positive}",
    "ppv": "of the cases called {positive}, the share that is (depends on prevalence)",
    "npv": "of the cases not called {positive}, the share that is not (depends on prevalence)",
    "f1": "harmonic mean of sensitivity and PPV",
    "balanced_accuracy": "mean of the recalls of all classes",
    "mcc": "correlation of decision and truth: 1 perfect, 0 no better than chance",
    "lr_positive": "how much a call of {positive} multiplies the odds of it",
    "lr_negative": "what the odds of {positive} are multiplied by when it is not called",
    "brier": "mean squared error of the probabilities; lower is better",
    "log_loss": "minus the log of the probability given to the truth; lower is better",
    "calibration_slope": "1 is right; below 1 probabilities are too extreme, above 1 too timid",
    "calibration_intercept": "0 is right; below 0 probabilities are too high on the whole, above 0 too low",
    "ece": "mean gap between probability and observed share; lower is better, but never 0 with few cases",
    "ece_by_chance": "what a perfectly calibrated model would show on as many cases: mean, and 95 in 100 samples",
    "accuracy": "share of right decisions; flattering when a class is rare",
}
MACRO = {
    "auc": "one class against the rest, mean of all classes; 0.5 is guessing",
    "average_precision": "precision averaged over recall, mean of all classes",
    "sensitivity": "share of a class that is found, mean of all classes",
    "specificity": "share of the rest that is not called so, mean of all classes",
    "ppv": "share of those called so that are, mean of all classes",
    "npv": "share of those not called so that are not, mean of all classes",
    "f1": "harmonic mean of sensitivity and PPV, mean of all classes",
}
# With several labels per case: each measure as of a binary task, and then the mean.
MEAN_OF_LABELS = {
    "auc": "how often a random case with the label ranks above one without it; 0.5 is guessing",
    "average_precision": "precision averaged over recall; guessing gives the prevalence",
    "sensitivity": "of the cases with the label, the share called so",
    "specificity": "of the cases without it, the share not called so",
    "ppv": "of the cases called so, the share that is (depends on prevalence)",
    "npv": "of the cases not called so, the share that is not (depends on prevalence)",
    "balanced_accuracy": "mean of sensitivity and specificity",
}
DECISIONS = {
    "unit": "Pixel unit",
    "size": "Input size",
    "cached_views": "Cached views",
    "operating_point": "Operating point",
    "learning_rate": "Learning rate",
    "weight_decay": "Weight decay",
    "cost": "Expected cost",
    "frozen": "Frozen layers",
}
COVARIATES = {"site": "Site", "scanner": "Scanner", "sex": "Sex", "age_band": "Age"}

_PATH = re.compile(r"(?<![\w.])(?:[A-Za-z]:)?[/\\]{1,2}(?:[^\s/\\:;,'\"()]+[/\\])+[^\s/\\:;,'\"()]*")
_DATE = re.compile(r"\b(?:19|20)\d{2}([-./]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])\b")
_KEY = re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b")
_UID = re.compile(r"\b\d+(?:\.\d+){5,}\b")


def scrub(text: str) -> str:
    """Take paths, dates and UIDs out of free text. A guard, not the reason why they are absent in the first place."""
    return _DATE.sub("(date)", _UID.sub("(UID)", _PATH.sub("(path)", text)))


def scrubbed(value: Any) -> Any:
    """A plain value, as JSON holds it, with every text in it scrubbed."""
    if isinstance(value, dict):
        return {key: scrubbed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [scrubbed(item) for item in value]
    return scrub(value) if isinstance(value, str) else value


def anonymous(text: str) -> str:
    """As `scrub`, and keyed hashes too, so that reasons which differ only in the case they name become one reason."""
    return _KEY.sub("…", scrub(text))


def part_title(name: str) -> str:
    """What a part is called where people read it."""
    known = {"test": "Held-out test part", "folds": "Cross-validation, out of fold"}
    return known.get(name, f"Centre {centre(name)}")


def slug(name: str) -> str:
    """A name fit for a file and an anchor."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "part"


def meaning(name: str, positive: str | None, share: float | None, multi_label: bool = False) -> str:
    """One plain line about a measure."""
    if multi_label:
        return MEAN_OF_LABELS.get(name, MEANING[name]) + "; mean of all labels"
    if positive is None:
        return MACRO.get(name, MEANING[name])
    return MEANING[name].format(positive=positive, share="the prevalence" if share is None else f"{share:.2f}")


def operating_point(rule: str) -> str:
    """The rule of an operating point as a phrase."""
    text = rule.strip()
    if text.lower() == "youden":
        return "the greatest sum of sensitivity and specificity (Youden)"
    found = re.fullmatch(r"(sensitivity|specificity)\s*(?:>=|≥)\s*([\d.]+)", text)
    if found:
        return f"a {found[1]} of at least {found[2]}"
    cost = re.fullmatch(r"cost\s*=\s*([\d.]+)", text)
    return f"a missed case that costs as much as {cost[1]} false alarms" if cost else text


def duration(seconds: float) -> str:
    """ "42 s", "3.5 min", "2.1 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def counted(number: int, one: str, many: str | None = None) -> str:
    """ "1 case", "2 cases", "1,204 cases"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def decision_title(name: str) -> str:
    return DECISIONS.get(name, name.replace("_", " ").capitalize())


def decision_value(plan: Plan, name: str) -> str:
    """A decision's value in words."""
    value = plan.decisions[name].value
    if name == "windows":
        return "; ".join(f"centre {middle:g}, width {width:g}" for middle, width in value).replace("-", "−") or "none"
    if name == "size":
        return f"{value[0]} × {value[1]} pixels"
    if name == "operating_point":
        return operating_point(value)
    return _value(value)


def _value(value: Any) -> str:
    if isinstance(value, Augmentation):
        return _augmentation(value)
    if isinstance(value, Cost):
        return f"about {duration(value.minutes * 60)}, {value.memory:.1f} GiB of memory, {value.disk:.1f} GiB of disk"
    if isinstance(value, Loss):
        weights = ", ".join(f"{label} {weight:.2f}" for label, weight in value.class_weights.items())
        gamma = f" (gamma {value.gamma:g})" if value.name == "focal" else ""
        return f"{value.name}{gamma}" + (f", classes weighted {weights}" if weights else ", classes not weighted")
    if isinstance(value, Weights):
        return f"{value.source}: {PureWindowsPath(value.path).name}" if value.path else value.source
    if isinstance(value, dict):
        return "; ".join(f"{key} {_value(item)}" for key, item in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(_value(item) for item in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "none" if value is None or value == "" else scrub(str(value))


def _augmentation(value: Augmentation) -> str:
    flips = [name for name, on in (("left–right", value.flip_horizontal), ("up–down", value.flip_vertical)) if on]
    parts = [
        (value.rotate, f"turned by up to {value.rotate:g}°"),
        (value.scale, f"scaled by up to {value.scale:.0%}"),
        (value.shift, f"shifted by up to {value.shift:.0%}"),
        (flips, f"flipped {' and '.join(flips)}"),
        (value.contrast != (1, 1), f"contrast (gamma) {value.contrast[0]:g} to {value.contrast[1]:g}"),
        (value.noise, f"noise {value.noise:g}"),
        (value.elastic, f"elastic {value.elastic:g}"),
    ]
    return ", ".join(text for on, text in parts if on) or "none"
