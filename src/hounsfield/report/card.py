"""The model card (Mitchell et al., FAT* 2019): what a run knows of its model, and what only a person can say, left visibly open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hounsfield.evaluate import TITLES
from hounsfield.report import notes
from hounsfield.report.gather import Found
from hounsfield.report.results import Results
from hounsfield.report.tables import cohort_table, hidden_groups
from hounsfield.report.words import COVARIATES, decision_title, decision_value, operating_point, part_title, scrub

OPEN = "**OPEN**"
_SHOWN = (
    "auc",
    "average_precision",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "calibration_slope",
    "calibration_intercept",
)
_TOLD = ("backbone", "frozen", "dimension", "size", "loss", "augmentation", "epochs", "members")


def card(results: Results) -> str:
    """Return the model card as Markdown. It names no patient, path or date."""
    found, best = results.found, results.best
    cohort = cohort_table(found.cohort)
    parts = [
        ["# Model card", notes.verdict(found, best, cohort["modalities"])],
        _details(found),
        [
            "## Intended use",
            f"{OPEN}: the question it answers, for whom, where in the clinical pathway, and who acts on the answer.",
            f"{OPEN}: uses that are out of scope.",
        ],
        _data(found, cohort),
        _quality(results),
        _elsewhere(results),
        [
            "## Ethical considerations",
            f"{OPEN}: harm that a missed case and a false alarm do, and to whom.",
            f"{OPEN}: approval, consent and the terms under which the images were used.",
            "## Caveats",
            *[f"- {_line(text)}" for text in notes.cautions(results)],
            "- For research. It must not be used to diagnose or to treat: nobody has shown that it is safe to.",
        ],
    ]
    return "\n\n".join("\n".join(_spaced(part)) for part in parts) + "\n"


def _details(found: Found) -> list[str]:
    made = notes.provenance(found)
    rows = [
        f"| {decision_title(name)} | {_line(decision_value(found.plan, name))} |"
        for name in _TOLD
        if name in found.plan.decisions
    ]
    return [
        "## Model details",
        "\n".join(["| | |", "|---|---|", *rows]),
        f"- Cohort {made['cohort'][:12]}, plan {made['plan'][:12]}, bundle {(made['bundle'] or 'none')[:12]}; seed {made['seed']}.",
        f"- Made with Hounsfield {made['packages'].get('hounsfield', '')}, torch {made['packages'].get('torch', '')}.",
        f"- {OPEN}: who is responsible, licence, contact.",
    ]


def _data(found: Found, cohort: Mapping[str, object]) -> list[str]:
    total = cohort["total"]
    assert isinstance(total, dict)
    counts = ", ".join(
        f"{count} {_line(label)}" for label, count in zip(found.cohort.about.labels, total["counts"], strict=False)
    )
    return [
        "## Training and evaluation data",
        f"- {total['cases']} usable cases of {total['patients']} patients: {counts}.",
        f"- {_line(found.cohort.about.split_sentence)}",
        *[f"- {_line(note)}" for note in found.cohort.about.notes],
        f"- {found.cohort.quarantine.height} items in quarantine, each with its reason in quarantine.csv.",
        f"- {OPEN}: where and when the images were made, how patients were chosen, who set the labels by which reference standard.",
    ]


def _quality(results: Results) -> list[str]:
    lines = ["## How good it is"]
    if not results.judged:
        return [*lines, "Not judged yet."]
    for name, one in results.judged.items():
        table = [
            f"| {TITLES[key]} | {one.estimates[key]} | {one.estimates[key].method} |"
            for key in _SHOWN
            if key in one.estimates
        ]
        lines += [
            f"### {part_title(name)}: {one.cases} cases of {one.patients} patients",
            "\n".join(["| Measure | Value (95% interval) | Method |", "|---|---|---|", *table]),
        ]
        if one.points:
            rows = [
                f"| {operating_point(point.rule)} | {'by fold' if point.threshold is None else f'{point.threshold:.3f}'} "
                f"| {point.estimates['sensitivity']} | {point.estimates['specificity']} |"
                for point in one.points
            ]
            lines.append(
                "\n".join(["| Operating point | Threshold | Sensitivity | Specificity |", "|---|---|---|---|", *rows])
            )
        if one.subgroups:
            rows = [
                f"| {COVARIATES.get(item.covariate, _line(item.covariate))} {_line(item.value)} | {item.patients} "
                f"| {item.estimates['auc']} |"
                for item in one.subgroups
            ]
            lines.append("\n".join(["| Group | Patients | AUC |", "|---|---|---|", *rows]))
        if one.hidden_groups:
            lines.append(hidden_groups(one))
    return lines


def _elsewhere(results: Results) -> list[str]:
    shifts = results.shifts
    lines = ["## At other centres"]
    if not results.drops:
        return [*lines, "Not tried at another centre: how it does elsewhere is not known."]
    for drop in results.drops:
        lines.append(f"- {_line(drop.sentence)}")
        lines += [f"  - {_line(text)}" for text in (shifts[drop.away].causes if drop.away in shifts else [])]
    return lines


def _spaced(lines: Sequence[str]) -> list[str]:
    """Blank lines between blocks, none between the items of a list."""
    found: list[str] = []
    for line in lines:
        item = line.lstrip().startswith("- ")
        if found and not (item and found[-1].lstrip().startswith("- ")):
            found.append("")
        found.append(line)
    return found


def _line(text: str) -> str:
    """Free text on one line, which cannot end a table's cell or begin markup."""
    plain = " ".join(scrub(text).split())
    return plain.replace("|", "\\|").replace("<", "&lt;")
