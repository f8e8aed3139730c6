"""What a reader must know before believing a number, in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping

from hounsfield.evaluate.evaluation import Evaluation
from hounsfield.measure import Estimate, decimals, p_value

FEW_PATIENTS = 30
WIDE = 0.2
POOR_CALIBRATION = 0.1
CERTAIN = 0.05
# Sets of labels may miss what they promise by so much, by chance of the cases that they were fixed on.
CHANCE_OF_SETS = 0.05


def cautions(evaluation: Evaluation, *, orphans: int, undecided: int) -> list[str]:
    """Return warnings, the gravest first; an empty list when there is nothing to warn of."""
    counts = _about_labels(evaluation) if evaluation.multi_label else _about_patients(evaluation)
    found = [*counts, *_about_numbers(evaluation), *_about_sets(evaluation), *_about_groups(evaluation)]
    if evaluation.without_truth:
        found.append(f"{_cases(evaluation.without_truth)} without a known truth left out.")
    if evaluation.abstentions:
        found.append(
            f"The model abstained in {_cases(evaluation.abstentions)}; they are judged by the decision it would have taken."
        )
    if orphans:
        found.append(f"{_cases(orphans)} without a patient: each counts as a patient of its own.")
    if undecided:
        found.append(f"{_cases(undecided)} without a decision: taken from the probability.")
    return found


def _about_patients(evaluation: Evaluation) -> list[str]:
    found = []
    for label, row in evaluation.prevalence.items():
        count = int(row["patients"])
        if count == 0:
            found.append(f"No case is {label}, so much cannot be computed.")
        elif count < FEW_PATIENTS:
            have = "patient has" if count == 1 else "patients have"
            found.append(f"Only {count} {have} the label {label}: one more error would move every number.")
    return found


def _about_labels(evaluation: Evaluation) -> list[str]:
    """With several labels per case: one sentence on each trouble, not one on each label."""
    found = [f"{label} is not judged: {reason}." for label, reason in evaluation.not_judged.items()]
    rows = {label: row for label, row in evaluation.prevalence.items() if label in evaluation.per_class}
    fewest = {label: int(min(row["patients"], row["absent_patients"])) for label, row in rows.items()}
    few = [f"{label} ({count})" for label, count in fewest.items() if count < FEW_PATIENTS]
    if few:
        found.append(
            f"Fewer than {FEW_PATIENTS} patients have, or are known not to have, {', '.join(few)}: one more error would "
            "move every number."
        )
    open_in = {label: evaluation.cases - int(row["known"]) for label, row in rows.items()}
    gaps = [f"{label} ({count})" for label, count in open_in.items() if count]
    if gaps:
        found.append(
            f"Some of the {_cases(evaluation.cases)} leave a label open and do not count for it: {', '.join(gaps)}. Those "
            "in which it is known may not be like the others."
        )
    areas = {label: row["auc"] for label, row in evaluation.per_class.items()}
    guessed = [label for label, area in areas.items() if area.low is not None and area.low <= 0.5]
    if guessed:
        found.append(f"The interval of the AUC includes 0.5, which is guessing, for {', '.join(guessed)}.")
    off = [label for label, row in evaluation.per_class.items() if _poorly_calibrated(row)]
    if off:
        found.append(f"Probabilities of {', '.join(off)} are off: read them as a ranking, not as a risk.")
    return found


def _about_numbers(evaluation: Evaluation) -> list[str]:
    found = []
    area, error = evaluation.estimates["auc"], evaluation.estimates["ece"].value
    if area.low is not None and area.high is not None:
        if area.high - area.low > WIDE:
            found.append(
                f"The interval of the AUC is {area.high - area.low:.2f} wide: too few patients to be sure of it."
            )
        if area.low <= 0.5 and evaluation.positive is not None:
            found.append("The interval of the AUC includes 0.5, which is guessing.")
    if error is not None and _poorly_calibrated(evaluation.estimates):
        found.append(f"Probabilities are off by {error:.2f} on average: read them as a ranking, not as a risk.")
    return found


def _about_sets(evaluation: Evaluation) -> list[str]:
    found = evaluation.doubt
    if found is None or found.target is None:
        return []
    missed = [
        f"{name}: {held}"
        for name, held in found.coverage.items()
        if name and held.high is not None and held.high < found.target - CHANCE_OF_SETS
    ]
    if not missed:
        return []
    return [
        f"Sets of labels were meant to hold the true one in {found.target:.0%} of the cases, and hold it less often ("
        f"{'; '.join(missed)}): "
        "these cases are not like those that the model was calibrated on."
    ]


def _about_groups(evaluation: Evaluation) -> list[str]:
    """Groups whose AUC is further from that of the others than chance would put it, with so many looked at."""
    return [
        f"{item.covariate.replace('_', ' ').capitalize()} {item.value}: the AUC is {item.estimates['auc']}, and {decimals(item.rest)} in "
        f"the others ({p_value(item.adjusted)}, corrected for all {len(evaluation.subgroups)} groups): more than chance."
        for item in evaluation.subgroups
        if item.adjusted is not None and item.adjusted < CERTAIN and item.rest is not None
    ]


def _poorly_calibrated(estimates: Mapping[str, Estimate]) -> bool:
    """Off by more than a calibrated model might be by chance, and by enough to matter."""
    error, chance = estimates.get("ece"), estimates.get("ece_by_chance")
    if error is None or chance is None or error.value is None or chance.high is None:
        return False
    return error.value > max(POOR_CALIBRATION, chance.high)


def _cases(count: int) -> str:
    return "1 case" if count == 1 else f"{count} cases"
