"""`compare`: what is lost when a model meets another centre, at the threshold that was frozen at home."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hounsfield.core import Predictions
from hounsfield.errors import PredictionsError
from hounsfield.evaluate.evaluation import TITLES, Evaluation
from hounsfield.evaluate.judge import evaluate
from hounsfield.evaluate.sides import Side, Sides
from hounsfield.measure import Estimate, difference

COMPARED = (
    "auc",
    "average_precision",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "f1",
    "balanced_accuracy",
    "mcc",
    "brier",
    "log_loss",
    "calibration_slope",
    "calibration_intercept",
    "accuracy",
)
INCONCLUSIVE = 0.2
# Even where it leaves out 0: nobody can say whether such a fall is small or a ruin.
TOO_WIDE = 0.4
FEWEST_PATIENTS = 10
SQUARE_AND_ADD = "square-and-add of the two intervals"


@dataclass(frozen=True)
class Change:
    """One measure at home, elsewhere, and elsewhere minus home."""

    home: Estimate
    away: Estimate
    difference: Estimate

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name).to_dict() for name in ("home", "away", "difference")}


@dataclass(frozen=True)
class Drop:
    """What changes from one part (home) to another (away).

    Attributes
    ----------
    home, away:
        Names of the parts.
    changes:
        Measure → Change. A mean over classes or labels is taken over those that both sides can judge.
    areas:
        Label → Change of its AUC, with more than two classes, or several labels per case.
    sentence:
        The change in AUC in plain words.
    conclusion:
        By the AUC: "worse" or "better" when the interval of the difference excludes 0; "too few to conclude" when it
        includes 0 and is wider than 0.2, or when a class has fewer than ten patients on either side; else "no clear
        difference".
    """

    home: str
    away: str
    changes: dict[str, Change]
    areas: dict[str, Change]
    sentence: str
    conclusion: str
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return {
            "home": self.home,
            "away": self.away,
            "conclusion": self.conclusion,
            "sentence": self.sentence,
            "changes": {name: item.to_dict() for name, item in self.changes.items()},
            "areas": {label: item.to_dict() for label, item in self.areas.items()},
            "warnings": self.warnings,
        }

    def __str__(self) -> str:
        return self.sentence


def compare(
    internal: Evaluation | Predictions,
    external: Evaluation | Predictions,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Drop:
    """Compare the same model on two independent sets of patients.

    The interval of a difference comes from the two intervals, by square-and-add (`measure.difference`). `resamples` and
    `seed` serve for arguments that are still Predictions.

    Raises
    ------
    PredictionsError
        If the two do not have the same labels.
    """
    home = evaluate(internal, resamples=resamples, seed=seed) if isinstance(internal, Predictions) else internal
    away = evaluate(external, resamples=resamples, seed=seed) if isinstance(external, Predictions) else external
    if (home.labels, home.positive, home.multi_label) != (away.labels, away.positive, away.multi_label):
        raise PredictionsError(
            f"the two sets of predictions have different labels: {', '.join(home.labels)} and {', '.join(away.labels)}",
            fix="Predict both with the same bundle.",
        )
    sides = Sides(home, away)
    changes = {name: _change(sides.whole(name), away) for name in COMPARED if name in home.estimates}
    areas = {label: _change(sides.area(label), away) for label in sides.labels}
    conclusion = _conclusion(changes["auc"].difference, sides)
    sentence = _sentence(changes["auc"], home, away, conclusion)
    return Drop(home.name, away.name, changes, areas, sentence, conclusion, _warn(sides))


def centre(name: str) -> str:
    """ "external-utrecht" → "utrecht"."""
    return name.removeprefix("external-")


def _change(pair: tuple[Side, Side], away: Evaluation) -> Change:
    first, second = (side.estimate for side in pair)
    return Change(first, second, _gap(first, second, away))


def _gap(first: Estimate, second: Estimate, away: Evaluation) -> Estimate:
    if first.value is None or second.value is None:
        missing = "home" if first.value is None else centre(away.name)
        reason = first.note if first.value is None else second.note
        return Estimate(None, None, None, "none", second.n, note=f"{missing}: {reason}")
    value = second.value - first.value
    if None in (first.low, first.high, second.low, second.high):
        return Estimate(value, None, None, "none", second.n, note=first.note if first.low is None else second.note)
    low, high = difference(first, second)
    return Estimate(value, low, high, SQUARE_AND_ADD, second.n)


def _conclusion(gap: Estimate, sides: Sides) -> str:
    # A bootstrap of a handful of patients is too sure of itself, so it does not get to conclude anything.
    fewest = sides.fewest_patients()
    if gap.value is None or gap.low is None or gap.high is None or fewest < FEWEST_PATIENTS:
        return "too few to conclude"
    if gap.high - gap.low > TOO_WIDE:
        return "too few to conclude"
    if gap.low > 0 or gap.high < 0:
        return "worse" if gap.value < 0 else "better"
    return "too few to conclude" if gap.high - gap.low > INCONCLUSIVE else "no clear difference"


def _sentence(change: Change, home: Evaluation, away: Evaluation, conclusion: str) -> str:
    place, gap = centre(away.name), change.difference
    if change.away.value is None:
        return f"At {place} the AUC cannot be computed: {change.away.note}."
    title = "mean AUC of the labels" if away.multi_label else TITLES["auc"]
    start = f"At {place} the {title} is {change.away}"
    if gap.value is None:
        return f"{start}; at home it could not be computed: {change.home.note}."
    size = f"{abs(gap.value):.2f}"
    relation = "the same as" if size == "0.00" else f"{size} {'lower' if gap.value < 0 else 'higher'} than"
    text = f"{start}, {relation} at home, where it is {change.home}."
    if gap.low is None or gap.high is None:
        return f"{text} There is no interval for the difference: {gap.note}."
    ends = {
        "worse": "the model does worse there",
        "better": "the model does better there",
        "no clear difference": "no clear difference",
        "too few to conclude": f"too few to conclude, with {away.patients} patients there",
    }
    told = f"{text} Difference {signed(gap.value)}, {signed(gap.low)} to {signed(gap.high)}: {ends[conclusion]}"
    if conclusion == "too few to conclude" and (gap.high < 0 or gap.low > 0):
        return f"{told}, though all of the interval lies {'below' if gap.high < 0 else 'above'} 0."
    return f"{told}."


def signed(value: float) -> str:
    """Two decimals with a sign; a true minus sign, and none for zero."""
    text = f"{value:+.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else text.replace("-", "−")


def _warn(sides: Sides) -> list[str]:
    home, away = sides.home, sides.away
    found = []
    left_out = [label for label in sides.labels if label not in sides.shared]
    if left_out and sides.shared:
        found.append(
            f"The means are over the labels that both sides can judge, so without {', '.join(left_out)}: at home they may "
            "differ from those told above."
        )
    shared = len(home.patient_keys & away.patient_keys)
    if shared:
        found.append(
            f"{shared} {'patient stands' if shared == 1 else 'patients stand'} in both sets: the comparison takes them for strangers."
        )
    if home.bundle != away.bundle:
        found.append(
            "The two sets were predicted by different bundles, so this compares two models as well as two centres."
        )
    if (home.threshold, home.thresholds) != (away.threshold, away.thresholds):
        found.append("The two sets were decided at different thresholds.")
    return found
