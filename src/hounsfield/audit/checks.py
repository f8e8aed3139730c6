"""What an audit says of labels, duplicates, leaks, patients and images, each check a small function that gives items."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable

import polars as pl

from hounsfield.audit.record import Item, Level, Pair, Topic
from hounsfield.core.cohort import PRESENT, Cohort

MOST_NAMED = 50
_CONFLICT = "two labels for one case"
_UNDER_TWO = "the same image stands here under two labels"


def label_items(cohort: Cohort) -> list[Item]:
    """Labels that contradict each other, images without a label, labels without an image."""
    aside = cohort.quarantine
    conflicts = aside.filter((pl.col("kind") == "case") & pl.col("reason").str.starts_with(_CONFLICT))["item"].to_list()
    reasons = Counter(
        re.sub(r" row \d+$", "", reason) for reason in aside.filter(pl.col("kind") == "label")["reason"].to_list()
    )
    unlabelled = cohort.table.filter(pl.col("quarantine") == "no label")["case"].to_list()
    unsure = cohort.table.filter(pl.col("quarantine").str.contains("uncertain"))["case"].to_list()
    lost = reasons["no image has this key"] + reasons["its image is in quarantine"]
    keyless, repeated = reasons["the row has no key"], reasons["repeats"]
    items = [
        _item(
            "warning",
            "labels",
            conflicts,
            f"{_cases(len(conflicts))} with two labels that contradict each other: put aside",
        ),
        _item("warning", "labels", range(lost), f"{lost} row(s) of the label table have no usable image"),
        _item("warning", "labels", range(keyless), f"{keyless} row(s) of the label table name no image"),
        _item("warning", "labels", unlabelled, f"{_cases(len(unlabelled))} without a label: put aside"),
        _item("note", "labels", unsure, f"{_cases(len(unsure))} whose label is uncertain: put aside"),
        _item("note", "labels", range(repeated), f"{repeated} row(s) of the label table repeat another one"),
    ]
    return [item for item in items if item is not None]


def duplicate_items(pairs: list[Pair], looked: bool, *, named: bool = True) -> list[Item]:
    """How many pictures stand there twice, and which of them under two labels or two patients.

    Where patients are not `named`, two pictures are two patients by default, and that says nothing.
    """
    if not looked:
        sentence = "Pixels were not looked at: only equal files are found, no near duplicates."
        return [Item(level="warning", topic="duplicates", sentence=sentence)]
    exact = [pair for pair in pairs if pair.kind == "exact"]
    near = [pair for pair in pairs if pair.kind == "near"]
    hows = ", ".join(f"{count} {how}" for how, count in Counter(pair.how for pair in near).most_common())
    involved = len({case for pair in near for case in (pair.first, pair.second)})
    other_label = [pair for pair in pairs if not pair.same_label]
    other_patient = [pair for pair in pairs if named and not pair.same_patient]
    nearly = f"{_pairs(len(near))} of nearly the same picture, among {involved} cases: {hows}"
    merged = f"{_pairs(len(other_patient))} of one picture under two patients: a split that we make never parts them"
    items = [
        _item(
            "warning", "duplicates", _both(other_label), f"{_pairs(len(other_label))} of one picture under two labels"
        ),
        _item("warning", "patients", _both(other_patient), merged),
        _item("note", "duplicates", _both(exact), f"{_pairs(len(exact))} of exactly the same picture"),
        _item("note", "duplicates", _both(near), nearly),
    ]
    return [item for item in items if item is not None] or [
        Item(level="note", topic="duplicates", sentence="No picture stands there twice, neither exactly nor nearly.")
    ]


def leak_items(cohort: Cohort) -> list[Item]:
    """Patients and pictures that stood in two given parts, allowed or put aside."""
    about = cohort.about
    dropped = cohort.table.filter(pl.col("quarantine").str.contains("(a leak)", literal=True))["case"].to_list()
    allowed = about.leaks_allowed
    kept = (
        f"{_cases(allowed)} leak from one given part into another (the same patient or picture), and were allowed to: "
        "every number of this split may be too good"
    )
    put_aside = (
        f"{_cases(len(dropped))} stood in a part and had a twin in another (the same patient, the same picture or nearly): "
        "put aside, so that training does not see what judges the model"
    )
    items = [_item("alarm", "leaks", range(allowed), kept), _item("warning", "leaks", dropped, put_aside)]
    return [item for item in items if item is not None]


def patient_items(cohort: Cohort) -> list[Item]:
    """Who the patients are, which of them stand under several labels, and studies that two of them share."""
    items = []
    if not patients_named(cohort):
        sentence = (
            "No patient is named for some or all images, so each of them counts as a patient: if one patient has several, "
            "they may stand in two parts. A patient column in the label table, or --patient-pattern, tells who they are."
        )
        items.append(Item(level="warning", topic="patients", sentence=sentence))
    several = _patients_with_several_labels(cohort)
    if several:
        word = "both labels" if len(cohort.about.labels) == 2 else "more than one label"
        sentence = (
            f"{len(several)} patient(s) have cases under {word}: right where a label belongs to an image or a side, "
            "a mistake where it belongs to the patient."
        )
        items.append(Item(level="warning", topic="patients", sentence=sentence, cases=several[:MOST_NAMED]))
    for kind in ("study", "series"):
        owners = (
            cohort.table.drop_nulls(kind)
            .group_by(kind)
            .agg(pl.col("patient").n_unique().alias("count"), pl.col("patient"))
        )
        shared = owners.filter(pl.col("count") > 1).sort(kind)
        if shared.height:
            people = sorted({patient for row in shared["patient"].to_list() for patient in row})
            what = "studies" if kind == "study" else "series"
            sentence = f"{shared.height} {what} have one UID under two patients, who may be one person under two IDs."
            items.append(Item(level="warning", topic="patients", sentence=sentence, cases=people[:MOST_NAMED]))
            break  # a shared study shares its series too
    return items


def patients_named(cohort: Cohort) -> bool:
    """Say whether the patient of every image is known."""
    return "no patient is named" not in cohort.about.patients_from


def image_items(cohort: Cohort) -> list[Item]:
    """Cases that could not be decoded, several modalities or body parts in one cohort, and what is burned in."""
    items = []
    for kind, word in (("modality", "modalities"), ("body_part", "body parts")):
        counts = cohort.usable.drop_nulls(kind).group_by(kind).len().sort("len", kind, descending=[True, False])
        if counts.height > 1:
            told = ", ".join(f"{name} {count}" for name, count in counts.head(5).iter_rows())
            items.append(
                Item(level="warning", topic="images", sentence=f"The cases are of {counts.height} {word}: {told}.")
            )
    seen = cohort.usable["artefacts"].drop_nulls()
    counts_of = Counter(kind for found in seen.to_list() for kind in {one["kind"] for one in found})
    if counts_of:
        told = ", ".join(
            f"{kind} in {counts_of[kind]}" for kind in ("text", "marker", "line", "border") if counts_of[kind]
        )
        sentence = (
            f"Burned in, among {_cases(seen.len())}: {told}. A network can learn them; a name in a picture stays in it."
        )
        items.append(Item(level="note", topic="images", sentence=sentence))
    return items


def pairs_of(cohort: Cohort) -> list[Pair]:
    """Return the pairs of the cohort with what is known of their cases; those that contradict each other stand first."""
    rows = {
        row["case"]: row
        for row in cohort.table.select("case", "patient", "label", "states", "given").iter_rows(named=True)
    }
    names = cohort.about.labels
    made = []
    for first, second, kind, how, likeness, fate in cohort.pairs.iter_rows():
        one, other = rows[first], rows[second]
        labels = (_told(one, names), _told(other, names))
        made.append(
            Pair(
                first=first,
                second=second,
                kind=kind,
                how=how,
                likeness=likeness,
                labels=labels,
                same_label=labels[0] == labels[1],
                same_patient=one["patient"] == other["patient"],
                parts=(one["given"], other["given"]),
                fate=fate,
            )
        )
    return sorted(made, key=lambda pair: (pair.same_label, pair.same_patient, pair.kind == "exact"))


def _told(row: dict[str, object], names: list[str]) -> str:
    states = row["states"]
    if isinstance(states, list):
        return ", ".join(name for name, state in zip(names, states, strict=True) if state == PRESENT) or "none of them"
    return str(row["label"] or "no label")


def _patients_with_several_labels(cohort: Cohort) -> list[str]:
    if cohort.about.multi_label:
        return []
    found: dict[str, set[str]] = defaultdict(set)
    # Pictures that were put aside because they stand under two labels tell of it too.
    told = cohort.table.filter(pl.col("quarantine").is_null() | pl.col("quarantine").str.starts_with(_UNDER_TWO))
    for patient, label in told.select("patient", "label").iter_rows():
        found[patient].add(label)
    return [patient for patient, labels in found.items() if len(labels) > 1]


def _item(level: Level, topic: Topic, found: Iterable[object], sentence: str) -> Item | None:
    """Return an item where anything was found; pseudonyms that were found are named."""
    listed = list(found)
    named = [str(one) for one in listed[:MOST_NAMED] if isinstance(one, str)]
    return Item(level=level, topic=topic, sentence=f"{sentence}.", cases=named) if listed else None


def _both(pairs: Iterable[Pair]) -> list[str]:
    return list(dict.fromkeys(case for pair in pairs for case in (pair.first, pair.second)))


def _cases(count: int) -> str:
    return f"{count:,} case{'' if count == 1 else 's'}"


def _pairs(count: int) -> str:
    return f"{count:,} pair{'' if count == 1 else 's'}"
