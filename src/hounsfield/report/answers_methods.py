"""What a run knows of how its model was made, in sentences for reporting guidelines; "" where it does not know."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hounsfield.evaluate import centre
from hounsfield.report import notes
from hounsfield.report.notes import listing
from hounsfield.report.results import Results
from hounsfield.report.tables import cohort_table
from hounsfield.report.words import counted, decision_title, decision_value, part_title

_PREPARED = ("unit", "clean", "conditioning", "windows", "spacing", "region", "size", "channels", "normalisation")
_SHOWN = ("dimension", "slices", "adjacent", "region", "clean")
_BUILT = ("task", "backbone", "frozen", "head", "pooling", "dropout", "channels", "size")
_TAUGHT = (
    "augmentation", "loss", "sampler", "batch", "accumulate", "epochs", "patience", "learning_rate", "backbone_rate", "schedule",
    "weight_decay", "batch_norm", "precision", "seed",
)  # fmt: skip


def _kind(results: Results) -> str:
    return notes.verdict(results.found, results.best, cohort_table(results.found.cohort)["modalities"])


def _goal(results: Results) -> str:
    tested = [_inside_a_sentence(part_title(name)) for name in results.judged]
    return f"A model is developed{f' and judged on {listing(tested)}' if tested else ''}."


def _inside_a_sentence(title: str) -> str:
    return title[:1].lower() + title[1:]


def _sources(results: Results) -> str:
    usable = results.found.cohort.usable
    told = [
        counted(usable[name].drop_nulls().n_unique(), title)
        for name, title in (("site", "site"), ("scanner", "scanner model"))
        if usable[name].drop_nulls().len()
    ]
    away = [centre(name) for name in results.judged if name.startswith("external-")]
    text = f"The cohort has images of {listing(told)}." if told else "Sites and scanners are not named in the data."
    return f"{text} Other centres: {listing(away)}." if away else text


def _aside(results: Results) -> str:
    count = results.found.cohort.quarantine.height
    if not count:
        return "Of what was given nothing had to be put aside."
    return f"Of what was given {counted(count, 'item')} could not be used and were put aside, each with its reason (put_aside.csv)."


def _preparation(results: Results) -> str:
    return _decided(results, _PREPARED) + " The same steps, in the same order, for every image of every group."


def _selection(results: Results) -> str:
    return _decided(results, _SHOWN)


def _privacy(results: Results) -> str:
    return (
        "Names, numbers and UIDs of patients and files became keyed hashes and dates day offsets when the images were read; "
        "the model and this report hold none of them."
    )


def _lacking(results: Results) -> str:
    unknown = sum(one.without_truth for one in results.judged.values())
    text = "Nothing was imputed. Images that cannot be read are put aside; cases without a label are not used to train."
    return (
        f"{text} {counted(unknown, 'case')} without a known truth were predicted and not judged." if unknown else text
    )


def _acquisition(results: Results) -> str:
    usable = results.found.cohort.usable
    told = [
        f"{title}: {', '.join(sorted(map(str, usable[name].drop_nulls().unique())))}"
        for name, title in (("modality", "modality"), ("body_part", "body part"), ("scanner", "scanner"))
        if usable[name].drop_nulls().len()
    ]
    if usable["rows"].drop_nulls().len():
        sides = [f"{int(usable[name].min())} to {int(usable[name].max())} {name}" for name in ("rows", "columns")]  # type: ignore[arg-type]
        told.append(" and ".join(sides))
    return f"From the headers: {'; '.join(told)}." if told else ""


def _labels(results: Results) -> str:
    about = results.found.cohort.about
    where = f"the column {about.label_column}" if about.key_column else about.label_column or "the data themselves"
    many = "any number of" if about.multi_label else "one of"
    return f"Each {about.unit} has {many} the labels {listing(about.labels, 'or')}, taken from {where}."


def _split(results: Results) -> str:
    return f"{results.found.cohort.about.split_sentence} Seed {results.found.cohort.about.seed}."


def _disjoint(results: Results) -> str:
    about = results.found.cohort.about
    text = f"Patients are known from {about.patients_from}; all cases of one are in one part, with what nearly equals them."
    return f"{text} But {counted(about.leaks_allowed, 'leak')} were allowed." if about.leaks_allowed else text


def _size(results: Results) -> str:
    total = cohort_table(results.found.cohort)["total"]
    text = f"{counted(total['cases'], 'case')} of {counted(total['patients'], 'patient')} could be used."
    return (
        f"{text} The AUC of the {_inside_a_sentence(part_title(results.main))} is {results.best.estimates['auc']}."
        if results.best and results.main
        else text
    )


def _model(results: Results) -> str:
    return f"{_decided(results, _BUILT)} Outputs: {listing(results.found.plan.outputs)}."


def _software(results: Results) -> str:
    made = notes.provenance(results.found)
    return (
        f"Python {made['python']}, "
        + ", ".join(f"{name} {version}" for name, version in made["packages"].items())
        + "."
    )


def _start(results: Results) -> str:
    return f"{_decided(results, ('weights',))} The head begins at random, by the seed and the member's number."


def _training(results: Results) -> str:
    return _decided(results, _TAUGHT)


def _choice(results: Results) -> str:
    return (
        "Of each member the last epoch is kept whose validation AUC lies within one standard error of the best. "
        "Test cases were predicted once, after the model was sealed; nothing was chosen by them."
    )


def _ensemble(results: Results) -> str:
    members, flips = results.found.plan.members.value, results.found.plan.flip_at_test.value
    text = "One member." if members == 1 else f"The mean of the logits of {members} members."
    return f"{text} Each case is judged with its mirror image." if flips else text


def _predictors(results: Results) -> str:
    return "The pixels alone: nothing of the header, the patient or the report enters the network."


def _nobody(results: Results) -> str:
    return "No predictor needs a reader's judgement."


def _imbalance(results: Results) -> str:
    plan = results.found.plan
    taken = decision_value(plan, "loss")
    return (
        f"{taken[:1].upper()}{taken[1:]} ({plan.loss.reason}). The calibration takes the weights off again, so that "
        "probabilities follow the cohort."
    )


def _dates(results: Results) -> str:
    days = results.found.cohort.usable["day"].drop_nulls().to_list()
    span = counted(max(days) - min(days) + 1, "day") if days else ""
    return f"Dates are kept as day offsets; the studies span {span}." if days else ""


def _building(results: Results) -> str:
    return f"{_model(results)} {_training(results)} {_choice(results)}"


def _decided(results: Results, names: Sequence[str]) -> str:
    plan = results.found.plan
    return (
        "; ".join(f"{decision_title(name)}: {decision_value(plan, name)}" for name in names if name in plan.decisions)
        + "."
    )


METHODS: dict[str, Callable[[Results], str]] = {
    "kind": _kind,
    "goal": _goal,
    "sources": _sources,
    "aside": _aside,
    "preparation": _preparation,
    "selection": _selection,
    "privacy": _privacy,
    "lacking": _lacking,
    "acquisition": _acquisition,
    "labels": _labels,
    "split": _split,
    "disjoint": _disjoint,
    "size": _size,
    "model": _model,
    "software": _software,
    "start": _start,
    "training": _training,
    "choice": _choice,
    "ensemble": _ensemble,
    "predictors": _predictors,
    "nobody": _nobody,
    "imbalance": _imbalance,
    "dates": _dates,
    "building": _building,
}
