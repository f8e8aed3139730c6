"""The first page: what a clinician asks of a classifier, each answered in a sentence or two."""

from __future__ import annotations

from collections.abc import Sequence

from hounsfield.evaluate import Evaluation
from hounsfield.evaluate.caution import CERTAIN
from hounsfield.measure import Estimate
from hounsfield.report.notes import attention_alarms, listing
from hounsfield.report.reporting import Guideline
from hounsfield.report.results import Results
from hounsfield.report.words import COVARIATES, counted, scrub

MOST_NOTES = 2


def executive(results: Results, filled: Sequence[Guideline]) -> list[tuple[str, str]]:
    """Return (question, answer); a question that does not apply to the task is not there."""
    best = results.best
    found = [("Does it hold elsewhere?", _elsewhere(results))]
    if best is not None:
        found = [
            ("What does that mean for 1,000 patients?", _thousand(best)),
            *found,
            ("Is it as good for everybody?", _groups(best)),
            ("Can its probabilities be taken at their word?", _calibrated(best)),
            ("Does it say when it does not know?", _doubt(best)),
        ]
    found.append(("What does it look at?", _looks(results)))
    open_items = [f"{one.count('open')} of {len(one.items)} items of {one.name}" for one in filled]
    found.append(("What only a person can say", f"{listing(open_items)} are open."))
    return [(question, answer) for question, answer in found if answer]


def _looks(results: Results) -> str:
    told = attention_alarms(results.found)
    if told:
        return " ".join(told)
    audited = results.found.attention or {}
    notes = [scrub(str(item["sentence"])) for item in audited.get("items", []) if item["level"] != "alarm"]
    looks = len(results.found.panels or [])
    maps = f"Maps of {counted(looks, 'case')} are below; a map is no proof." if looks else ""
    return " ".join([*notes[:MOST_NOTES], maps]).strip()


def _thousand(one: Evaluation) -> str:
    if not one.points or not one.points[0].at:
        return ""
    at = one.points[0].at[0]
    counts = [at.found, at.missed, at.alarms, at.cleared]
    if any(count != count for count in counts):
        return ""
    found, missed, alarms, cleared = (round(count) for count in counts)
    return (
        f"Of 1,000 patients of whom {found + missed} are {one.positive}, as here, {found} are found and {missed} missed; of the others "
        f"{alarms} are called by mistake and {cleared} rightly left alone."
    )


def _elsewhere(results: Results) -> str:
    if not results.drops:
        return "Not known: it has not been tried at another centre."
    return " ".join(drop.sentence for drop in results.drops)


def _groups(one: Evaluation) -> str:
    hidden = sum(one.hidden_groups.values())
    small = f" {counted(hidden, 'group')} had fewer than ten patients." if hidden else ""
    if not one.subgroups:
        return f"Not known: no group of patients could be compared.{small}"
    kinds = listing(sorted({COVARIATES.get(item.covariate, item.covariate).lower() for item in one.subgroups}))
    differing = [item for item in one.subgroups if item.adjusted is not None and item.adjusted < CERTAIN]
    if differing:
        named = listing([f"{COVARIATES.get(item.covariate, item.covariate)} {item.value}" for item in differing])
        return f"No: the AUC of {named} differs from that of the others by more than chance.{small}"
    tested = [item for item in one.subgroups if item.adjusted is not None]
    if not tested:
        return f"Groups by {kinds} are below; whether they differ was not tested.{small}"
    return f"No difference beyond chance among {counted(len(tested), 'group')} by {kinds}; a small one may be hidden.{small}"


def _calibrated(one: Evaluation) -> str:
    slope, level = (one.estimates.get(f"calibration_{name}") for name in ("slope", "intercept"))
    if slope is None or level is None:
        return ""
    told = f"Calibration slope {slope} (1 is right), intercept {level} (0 is right)"
    if not (_known(slope) and _known(level)):
        return f"{told}."
    if _holds(slope, 1.0) and _holds(level, 0.0):
        return f"As far as these cases can tell. {told}."
    wrong = []
    if not _holds(slope, 1.0):
        wrong.append("too extreme" if (slope.value or 0.0) < 1 else "too timid")
    if not _holds(level, 0.0):
        wrong.append("too high on the whole" if (level.value or 0.0) < 0 else "too low on the whole")
    return f"No, they are {listing(wrong)}. {told}."


def _doubt(one: Evaluation) -> str:
    refused = (
        f"It found {counted(one.abstentions, 'case')} of {one.cases} unlike its training images."
        if one.abstentions
        else ""
    )
    if one.doubt is None or one.doubt.target is None:
        return refused
    whose = "known states of the labels" if one.multi_label else "cases"
    each = [_share(sum(one.doubt.sizes.get(size, 0.0) for size in sizes)) for sizes in (("1",), _several(one), ("0",))]
    text = f"In {each[0]} of the {whose} one answer is left that cannot be ruled out; in {each[1]} it cannot tell"
    text += f", and in {each[2]} it knows none." if "0" in one.doubt.sizes else "."
    return f"{text} The true one was among those left in {one.doubt.coverage['']}. {refused}".strip()


def _several(one: Evaluation) -> list[str]:
    sizes = one.doubt.sizes if one.doubt is not None else {}
    return [size for size in sizes if size not in ("0", "1")]


def _share(value: float) -> str:
    """ "38%", and a digit more where a whole number would say all or none."""
    return f"{value:.0%}" if value in (0.0, 1.0) or 0.01 <= value <= 0.99 else f"{value:.1%}"


def _known(estimate: Estimate) -> bool:
    return estimate.low is not None and estimate.high is not None


def _holds(estimate: Estimate, value: float) -> bool:
    return estimate.low is not None and estimate.high is not None and estimate.low <= value <= estimate.high
