"""What a run knows of the questions that reporting guidelines ask, in sentences; "" where it does not know."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from hounsfield.evaluate import TITLES, Evaluation, centre
from hounsfield.report import notes
from hounsfield.report.answers_methods import METHODS
from hounsfield.report.notes import listing
from hounsfield.report.results import Results
from hounsfield.report.tables import cohort_table, hidden_groups
from hounsfield.report.words import COVARIATES, counted, part_title, scrub

_KNOWN = ("sex", "age_band")


def answers(results: Results) -> dict[str, str]:
    """Return the name of an answer → its sentences."""
    return {name: " ".join(scrub(tell(results)).split()) for name, tell in (METHODS | RESULTS).items()}


def _measures(results: Results) -> str:
    names = results.best.estimates if results.best else {}
    return (
        f"{listing([TITLES[name] for name in names])}; curves of ROC, precision, calibration and net benefit."
        if names
        else ""
    )


def _uncertainty(results: Results) -> str:
    if not results.best:
        return ""
    return (
        "95% intervals over patients, several cases of a patient allowed for; the method of each stands in measures.csv. "
        "Where several groups or properties are compared p is corrected (Holm)."
    )


def _robustness(results: Results) -> str:
    told = []
    if results.best and results.best.folds:
        told.append(
            f"AUC of the folds: {', '.join('–' if v is None else f'{v:.2f}' for v in results.best.folds.values())}."
        )
    if results.best and results.best.subgroups:
        told.append(
            f"{counted(len(results.best.subgroups), 'group')} of patients were compared with the others (groups.csv)."
        )
    told += [drop.sentence for drop in results.drops]
    return " ".join(told)


def _explanation(results: Results) -> str:
    panels = results.found.panels
    return f"Grad-CAM of {counted(len(panels), 'case')}, one scale for all; a map is no proof." if panels else ""


def _inside(results: Results) -> str:
    if not results.best:
        return ""
    how = "out of fold" if results.main == "folds" else "never seen in training"
    return f"{counted(results.best.cases, 'case')} of {counted(results.best.patients, 'patient')}, {how}."


def _outside(results: Results) -> str:
    return " ".join(drop.sentence for drop in results.drops)


def _flow(results: Results) -> str:
    about, parts = results.found.cohort.about, results.found.cohort.parts
    divided = ", ".join(f"{name} {count}" for name, count in parts.items())
    labelled = cohort_table(results.found.cohort)
    counts = ", ".join(
        f"{count} {label}" for label, count in zip(labelled["labels"], labelled["total"]["counts"], strict=True)
    )
    aside = counted(results.found.cohort.quarantine.height, "item")
    return f"{aside} put aside; {labelled['total']['cases']} cases used, one per {about.unit} ({counts}): {divided}."


def _patients(results: Results) -> str:
    usable, told = results.found.cohort.usable, []
    for name in results.found.cohort.parts:
        mine = usable.filter(pl.col("split") == name)
        known = [_shares(mine[column]) for column in _KNOWN if mine[column].drop_nulls().len()]
        if known:
            told.append(f"{name}: {'; '.join(known)}")
    return f"By cases. {'. '.join(told)}." if told else ""


def _performance(results: Results) -> str:
    told = [f"{part_title(name)}: AUC {one.estimates['auc']}." for name, one in results.judged.items()]
    groups = " Groups of patients: groups.csv." if results.best and results.best.subgroups else ""
    return " ".join(told) + groups


def _accuracy(results: Results) -> str:
    best = results.best
    if best is None:
        return ""
    names = [name for name in ("sensitivity", "specificity", "ppv", "npv") if name in best.estimates]
    return (
        f"{notes.operating_sentence(results.found, best)} "
        + "; ".join(f"{TITLES[name]} {best.estimates[name]}" for name in names)
        + "."
    )


def _failures(results: Results) -> str:
    best = results.best
    if best is None or not best.confusion:
        return ""
    wrong = [
        f"{count} {truth} called {called}"
        for truth, row in zip(best.labels, best.confusion, strict=True)
        for called, count in zip(best.labels, row, strict=True)
        if truth != called
    ]
    refused = f" The model abstained in {counted(best.abstentions, 'case')}." if best.abstentions else ""
    return f"{'; '.join(wrong)}, of {best.cases} cases.{refused}"


def _limitations(results: Results) -> str:
    return " ".join(notes.cautions(results))


def _details(results: Results) -> str:
    made = notes.provenance(results.found)
    sealed = f", sealed as {made['bundle'][:12]}" if made["bundle"] else ""
    return f"The bundle holds weights, every decision with its reason (plan.yaml), recipe and calibration{sealed}."


def _availability(results: Results) -> str:
    version = notes.provenance(results.found)["packages"].get("hounsfield", "")
    return f"The code is Hounsfield {version}; a run follows from cohort, plan and seed."


def _clusters(results: Results) -> str:
    return _grouped(results.best, ("site", "scanner")) + " " + _outside(results)


def _updating(results: Results) -> str:
    chosen = results.found.calibration
    if chosen is None:
        return ""
    text = f"Probabilities were calibrated ({chosen.method}) on {chosen.fitted_on}, {counted(chosen.cases, 'case')}, before any test."
    bent = [name for name, item in results.shifts.items() if item.recalibrated is not None]
    shown = (
        f" What corrections would bring at {listing([centre(name) for name in bent])} is shown and was not applied."
        if bent
        else ""
    )
    return f"{text} Nothing is refitted at another centre.{shown}"


def _computed(results: Results) -> str:
    core = notes.provenance(results.found)["bundle"]
    return (
        f"By the sealed bundle {core[:12]}, with its own preparation, calibration and thresholds."
        if core and results.judged
        else ""
    )


def _fairness(results: Results) -> str:
    return _grouped(results.best, None)


def _output(results: Results) -> str:
    what = listing(results.found.plan.outputs)
    decided = notes.operating_sentence(results.found, results.best) if results.best else ""
    return f"A calibrated probability of {what}. {decided}"


def _differences(results: Results) -> str:
    told = []
    for name, item in results.shifts.items():
        told.append(f"{centre(name)}: {' '.join(item.causes) or 'nothing that is known differs by more than chance.'}")
    return " ".join(told)


def _events(results: Results) -> str:
    told = []
    for name, one in results.judged.items():
        counts = ", ".join(f"{int(row['cases'])} {label}" for label, row in one.prevalence.items())
        told.append(
            f"{part_title(name)}: {counted(one.cases, 'case')} of {counted(one.patients, 'patient')} ({counts})."
        )
    return " ".join(told)


def _unfit(results: Results) -> str:
    text = "A case whose header or picture is unlike the training cases is marked, with the reason; the model abstains."
    if results.best is None:
        return text
    return f"{text} Of {counted(results.best.cases, 'test case')} {results.best.abstentions} were."


def _grouped(one: Evaluation | None, covariates: Sequence[str] | None) -> str:
    if one is None:
        return ""
    mine = [item for item in one.subgroups if covariates is None or item.covariate in covariates]
    told = [
        f"{COVARIATES.get(item.covariate, item.covariate)} {item.value}: AUC {item.estimates['auc']}" for item in mine
    ]
    small = hidden_groups(one) if covariates is None else ""
    return f"{'; '.join(told)}. {small}" if told else small


def _shares(column: pl.Series) -> str:
    known = column.drop_nulls()
    counts = known.value_counts(sort=True).sort(column.name).iter_rows()
    told = ", ".join(f"{value} {count / len(known):.0%}" for value, count in counts)
    return told if len(known) == len(column) else f"{told} of the {len(known)} known"


RESULTS: dict[str, Callable[[Results], str]] = {
    "measures": _measures,
    "uncertainty": _uncertainty,
    "robustness": _robustness,
    "explanation": _explanation,
    "inside": _inside,
    "outside": _outside,
    "flow": _flow,
    "patients": _patients,
    "performance": _performance,
    "accuracy": _accuracy,
    "failures": _failures,
    "limitations": _limitations,
    "details": _details,
    "availability": _availability,
    "clusters": _clusters,
    "updating": _updating,
    "computed": _computed,
    "fairness": _fairness,
    "output": _output,
    "differences": _differences,
    "events": _events,
    "unfit": _unfit,
}
