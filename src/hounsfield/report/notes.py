"""The sentences around the numbers: what this is, what to mind, what is missing, how it was made."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from hounsfield.evaluate import Evaluation, centre
from hounsfield.report.gather import Found
from hounsfield.report.results import Results
from hounsfield.report.words import counted, operating_point, scrub

_PACKAGES = (
    "hounsfield",
    "numpy",
    "scipy",
    "scikit-learn",
    "polars",
    "torch",
    "timm",
    "monai",
    "lightning",
    "onnx",
    "onnxruntime",
)
_STAGES = {
    "audit": "hounsfield audit RUN",
    "train": "hounsfield train RUN",
    "predict": "hounsfield predict RUN",
    "explain": "hounsfield explain RUN",
    "export": "hounsfield export RUN",
}


def listing(words: Sequence[str], last: str = "and") -> str:
    """ "a", "a and b", "a, b and c"."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else list(words))


def verdict(found: Found, evaluation: Evaluation | None, modalities: Sequence[str]) -> str:
    """What this is, in one sentence."""
    labels = found.plan.labels.value
    kind = f"{listing(list(modalities))} images" if modalities else "medical images"
    positive = found.plan.positive.value
    if positive:
        task = f"tells {positive} from {listing([x for x in labels if x != positive])}"
    elif found.plan.task.value == "multilabel":
        task = f"says of {listing(labels)} whether {'each' if len(labels) > 1 else 'it'} is present"
    else:
        task = f"sorts into {listing(labels)}"
    text = f"A research classifier, not a medical device. It {task} on {kind}"
    if evaluation is None:
        return text + ", and has not been judged yet."
    size = f"{counted(evaluation.cases, 'case')} of {counted(evaluation.patients, 'patient')}"
    where = "that each model had not seen (out of fold)" if evaluation.name == "folds" else "that it had not seen"
    return f"{text}, and was judged on {size} {where}."


def operating_sentence(found: Found, evaluation: Evaluation) -> str:
    """How cases are decided, and how that was chosen."""
    if evaluation.positive is None and not evaluation.multi_label:
        return "Each case is given the class with the highest probability."
    if evaluation.threshold is None and not evaluation.thresholds:
        return "The predictions carry no threshold; the decisions are those that came with them."
    chosen = found.calibration
    rule = operating_point(evaluation.operating_point or (chosen.operating_point if chosen else ""))
    text = (
        "A label is called present when its probability is at least the label's own threshold"
        if evaluation.multi_label
        else f"A case is called {evaluation.positive} when its probability is at least {evaluation.threshold:.3f}"
    )
    which = "Each" if evaluation.multi_label else "The"
    if rule:
        text += f". {which} threshold was chosen for {rule}"
    if chosen is not None:
        part = f"on {scrub(chosen.fitted_on)}, {counted(chosen.cases, 'case')}"
        text += f", {part}" if rule else f". {which} threshold was chosen {part}"
    return text + ", and then frozen."


def cautions(results: Results) -> list[str]:
    """The warnings at the top of the page, the gravest first."""
    found, judged, drops, main = results.found, results.judged, results.drops, results.main
    texts = []
    allowed = found.cohort.about.leaks_allowed
    if allowed:
        texts.append(
            f"{counted(allowed, 'case')} leak from one part of the given split into another, and were allowed to: "
            "every number here may be too good."
        )
    # The data sheet says the same of leaks.
    alarms = found.audit.of("alarm") if found.audit is not None else []
    texts += [scrub(item.sentence) for item in alarms if item.topic != "leaks"]
    texts += attention_alarms(found)
    leaks = sum("(a leak)" in reason for reason in found.cohort.quarantine["reason"].to_list())
    if leaks:
        texts.append(
            f"{counted(leaks, 'case')} stood in two parts of the given split; the training side is in quarantine."
        )
    core = (found.manifest or {}).get("core_digest")
    others = [name for name, item in judged.items() if core is not None and item.bundle != core]
    if others:
        texts.append(f"The predictions of {listing(others)} were made by another bundle than the one in this folder.")
    if main is None:
        texts.append("No part with a known truth has been predicted, so this model has not been judged.")
    elif main == "folds":
        texts.append("There is no held-out test part: the numbers are of cross-validation, out of fold.")
    texts += [drop.sentence for drop in drops if drop.conclusion in ("worse", "too few to conclude")]
    if main is not None:
        texts += judged[main].warnings
        if not drops:
            texts.append("It has not been tried at another centre: how it does elsewhere is not known.")
    if found.parity is not None and not found.parity.get("passed"):
        texts.append("The exported model does not give the same numbers as the trained one.")
    return texts


def attention_alarms(found: Found) -> list[str]:
    """What the model looks at, or depends on, that is no part of the patient."""
    items = (found.attention or {}).get("items", [])
    return [scrub(str(item["sentence"])) for item in items if item["level"] == "alarm"]


def shortcut(found: Found) -> str:
    """What may explain a fall: what the model was seen to depend on, or that labels can be told without the anatomy; or ""."""
    seen = attention_alarms(found)
    if seen:
        return f"At home its maps and answers show why: {seen[0][0].lower()}{seen[0][1:]}"
    if found.audit is None or not any(item.topic == "shortcut" for item in found.audit.of("alarm")):
        return ""
    return (
        "At home facts beside the anatomy tell the labels (see the top): the model may have learnt these, and elsewhere they mean "
        "something else."
    )


def missing(results: Results) -> dict[str, str]:
    """Part of the report → why it is not there, in words."""
    found, judged = results.found, results.judged
    absent = {
        "training": found.history is None and ("Not trained yet", "train"),
        "predictions": not found.judged and ("Not predicted yet", "predict"),
        "explain": found.panels is None and ("No maps have been made yet", "explain"),
        "export": found.parity is None and ("Not exported yet", "export"),
        "audit": found.audit is None and ("The cohort was not audited", "audit"),
        "bundle": found.manifest is None and ("There is no bundle yet", "train"),
    }
    texts = {name: f"{why[0]}. Do it with: {_STAGES[why[1]]}" for name, why in absent.items() if why}
    if not any(name.startswith("external-") for name in judged):
        texts["centres"] = "No predictions of another centre with a known truth are here."
    unjudged = [name for name in found.judged if name not in judged]
    if unjudged:
        names = listing([centre(name) for name in unjudged])
        texts["unjudged"] = f"Predicted but not judged, since no case has a known truth: {names}."
    if found.set_aside:
        texts["set_aside"] = f"Not judged, since it served to choose something: {listing(found.set_aside)}."
    return texts


def provenance(found: Found) -> dict[str, Any]:
    """Versions and digests: enough to tell whether two runs are the same."""
    return {
        "cohort": found.cohort.digest,
        "plan": found.plan.digest,
        "bundle": (found.manifest or {}).get("core_digest"),
        "members": (found.manifest or {}).get("core", {}),
        "attachments": (found.manifest or {}).get("attachments", {}),
        "predictions": {name: item.digest for name, item in found.judged.items()},
        "seed": found.plan.seed.value,
        "python": platform.python_version(),
        "packages": {name: installed for name in _PACKAGES if (installed := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
