"""What differs between two centres beside the model's success: the likely causes of a fall, and what could be done about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import chi2_contingency, ks_2samp

from hounsfield.core import Predictions
from hounsfield.errors import PredictionsError
from hounsfield.evaluate.judge import owners_of
from hounsfield.evaluate.raw import mean_loss
from hounsfield.evaluate.subgroups import COVARIATES
from hounsfield.measure import NEAREST, Estimate, holm, p_value, recalibration, share

IMAGES = {
    "image:distance": "distance from the training images (1 is the limit)",
    "image:brightness": "mean brightness",
    "image:contrast": "contrast (standard deviation)",
    "image:spacing": "pixel spacing in mm",
}
CERTAIN = 0.05
FOLDS = 5
FEWEST = 20


@dataclass(frozen=True)
class Shifted:
    """One property of the cases at home and there.

    Attributes
    ----------
    name:
        What it is, in words.
    home, away:
        Medians; of a covariate the most frequent value with its share, in words.
    effect:
        Of numbers: how often a value there is greater than one at home (0.5: the same); of covariates the total variation
        distance of the shares (0: the same, 1: none in common).
    p:
        Of no difference (Kolmogorov and Smirnov; χ²), corrected for all properties (Holm). Patients with several cases make it too
        small.
    """

    name: str
    home: str
    away: str
    effect: float
    p: float | None


@dataclass(frozen=True)
class Recalibrated:
    """What probabilities would be worth there after a correction that was made on half of the cases and judged on the others.

    Attributes
    ----------
    brier, log_loss:
        As they are, and after each correction: "as they are", "prevalence" (shifted by the change of the prevalence), "intercept"
        and "intercept and slope" (fitted on other folds there).
    """

    brier: dict[str, Estimate]
    log_loss: dict[str, Estimate]


@dataclass(frozen=True)
class Shift:
    """What differs there.

    Attributes
    ----------
    prevalence:
        Label → its share at home and there, as Estimates.
    shifted:
        Properties of images and patients, those that differ most first.
    unfit:
        Share of cases that abstained, at home and there.
    recalibrated:
        Binary tasks with at least twenty cases of each label there; else None.
    causes:
        Likely causes of a fall, in words; empty where nothing that is known differs by more than chance.
    """

    prevalence: dict[str, tuple[Estimate, Estimate]]
    shifted: list[Shifted]
    unfit: tuple[Estimate, Estimate]
    recalibrated: Recalibrated | None
    causes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values only, ready for JSON."""
        return asdict(self)


def shift(home: Predictions, away: Predictions) -> Shift:
    """Compare two sets of cases of one model: who they are, what their images are like, and how its probabilities fit there.

    Cases without a known truth are left out. Nothing is changed: corrections are shown, and never applied.

    Raises
    ------
    PredictionsError
        If the labels differ, or a side has no known truth.
    """
    if (home.task.labels, home.task.multi_label) != (away.task.labels, away.task.multi_label):
        raise PredictionsError(
            "the two sets of predictions have different labels", fix="Predict both with the same bundle."
        )
    sides = [Predictions(one.table.filter(pl.Series(one.known)), one.task) for one in (home, away)]
    if not all(one.table.height for one in sides):
        raise PredictionsError("a side has no case with a known truth", fix="Give a table of labels.")
    prevalence = {} if home.task.multi_label else {
        label: (_share_of(sides[0], label), _share_of(sides[1], label)) for label in home.task.labels
    }  # fmt: skip
    shifted = _properties(*sides)
    unfit = (_abstained(sides[0]), _abstained(sides[1]))
    recalibrated = _recalibrated(*sides) if home.task.positive is not None else None
    return Shift(
        prevalence, shifted, unfit, recalibrated, _causes(home.task.positive, prevalence, shifted, unfit, sides[1])
    )


def _share_of(one: Predictions, label: str) -> Estimate:
    mine = (one.table["truth"] == label).to_numpy()
    return share(mine, np.ones(len(mine), dtype=bool), owners_of(one)[0])


def _abstained(one: Predictions) -> Estimate:
    mine = one.table["abstention"].is_not_null().to_numpy()
    return share(mine, np.ones(len(mine), dtype=bool), owners_of(one)[0])


def _properties(home: Predictions, away: Predictions) -> list[Shifted]:
    found = []
    for column, title in IMAGES.items():
        if column in home.table.columns and column in away.table.columns:
            before, after = (one.table[column].drop_nulls().to_numpy() for one in (home, away))
            if len(before) and len(after):
                found.append(_number(title, before, after))
    for column in COVARIATES:
        here, there = (one.table[column].drop_nulls() for one in (home, away))
        if column != "site" and len(here) and len(there):
            found.append(_category(column.replace("_", " "), here, there))
    p = holm([np.nan if item.p is None else item.p for item in found])
    corrected = [
        Shifted(item.name, item.home, item.away, item.effect, float(value) if np.isfinite(value) else None)
        for item, value in zip(found, p, strict=True)
    ]
    return sorted(corrected, key=lambda item: 1.0 if item.p is None else item.p)


def _number(title: str, here: NDArray[np.float64], there: NDArray[np.float64]) -> Shifted:
    greater = float(
        np.mean(np.searchsorted(np.sort(here), there, "left") + np.searchsorted(np.sort(here), there, "right"))
    )
    first, second = (f"{float(np.median(values)):.3g}" for values in (here, there))
    p = float(ks_2samp(here, there).pvalue) if min(len(here), len(there)) > 1 else None
    return Shifted(title, first, second, greater / (2 * len(here)), p)


def _category(title: str, here: pl.Series, there: pl.Series) -> Shifted:
    names = sorted(set(here.to_list()) | set(there.to_list()))
    counts = np.array([[int((side == name).sum()) for name in names] for side in (here, there)])
    shares = counts / counts.sum(axis=1, keepdims=True)
    first, second = (f"{names[int(row.argmax())]} ({row.max():.0%})" for row in shares)
    p = float(chi2_contingency(counts).pvalue) if len(names) > 1 else None
    return Shifted(title, first, second, float(np.abs(shares[0] - shares[1]).sum() / 2), p)


def _recalibrated(home: Predictions, away: Predictions) -> Recalibrated | None:
    truth = (away.truth == 1).astype(np.int64)
    if min(truth.sum(), len(truth) - truth.sum()) < FEWEST:
        return None
    owner = owners_of(away)[0]
    before = np.clip(away.probabilities[:, 0], NEAREST, 1 - NEAREST)
    odds = logit(before)
    change = logit(truth.mean()) - logit(np.clip((home.truth == 1).mean(), NEAREST, 1 - NEAREST))
    bent = {
        "as they are": before,
        "prevalence": expit(odds + change),
        "intercept": _crossed(truth, before, owner, slope=False),
        "intercept and slope": _crossed(truth, before, owner, slope=True),
    }
    briers, losses = {}, {}
    for name, values in bent.items():
        briers[name] = mean_loss((values - truth) ** 2, owner)
        losses[name] = mean_loss(-np.log(np.where(truth == 1, values, 1 - values)), owner)
    return Recalibrated(briers, losses)


def _crossed(
    truth: NDArray[np.int64], values: NDArray[np.float64], owner: NDArray[np.str_], *, slope: bool
) -> NDArray[np.float64]:
    """Probabilities corrected by what the other folds of patients say; where those cannot say it, as they are."""
    names, number = np.unique(owner, return_inverse=True)
    fold = (np.random.default_rng(0).permutation(len(names)) % FOLDS)[number]
    found = values.copy()
    for place in range(FOLDS):
        inside = fold == place
        fitted = recalibration(truth[~inside], values[~inside], owner[~inside])
        tilt = fitted["calibration_slope"].value if slope else 1.0
        if tilt is None:
            continue
        scaled = expit(tilt * logit(values))
        level = recalibration(truth[~inside], scaled[~inside], owner[~inside])["calibration_intercept"].value
        if level is not None:
            found[inside] = np.clip(
                expit(logit(np.clip(scaled[inside], NEAREST, 1 - NEAREST)) + level), NEAREST, 1 - NEAREST
            )
    return found


def _causes(
    positive: str | None,
    prevalence: dict[str, tuple[Estimate, Estimate]],
    shifted: list[Shifted],
    unfit: tuple[Estimate, Estimate],
    away: Predictions,
) -> list[str]:
    found = []
    if positive is not None:
        here, there = prevalence[positive]
        if _apart(here, there):
            found.append(
                f"{positive} is {'more' if _value(there) > _value(here) else 'less'} frequent there: {there}, at home {here}."
            )
    if _apart(*unfit) and _value(unfit[1]) > _value(unfit[0]):
        reasons = away.table["abstention"].drop_nulls().value_counts(sort=True)
        most = f", most often because {reasons['abstention'][0]}" if reasons.height else ""
        found.append(f"More cases there are unfit for this model: {unfit[1]}, at home {unfit[0]}{most}.")
    for item in shifted:
        if item.p is not None and item.p < CERTAIN:
            found.append(
                f"The {item.name} differs: {item.away} there, {item.home} at home ({p_value(item.p)}, corrected)."
            )
    return found


def _apart(here: Estimate, there: Estimate) -> bool:
    """The two intervals have nothing in common."""
    if here.low is None or here.high is None or there.low is None or there.high is None:
        return False
    return there.low > here.high or there.high < here.low


def _value(estimate: Estimate) -> float:
    return float("nan") if estimate.value is None else estimate.value
