"""Which labels there are, in which order, and which of two is the disease."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from hounsfield.cohort.labels import MOST_CLASSES
from hounsfield.errors import LabelError

_DISEASE = re.compile(
    r"(yes|true|1(\.0)?|pos(itive)?|present|abnormal|disease[ds]?|sick|patholog\w*|malign\w*|cancer\w*|carcinoma\w*|tumou?r\w*|"
    r"pneumonia|covid\S*|tubercul\w*|tb|h(a)?emorrhag\w*|bleed\w*|stroke|fractur\w*|nodul\w*|lesion\w*|mass|effusion|"
    r"hyperplasia|aneurysm|metasta\w*|edema|oedema|case)",
    re.IGNORECASE,
)
_HEALTHY = re.compile(
    r"(no|not?[ _-].*|false|0(\.0)?|neg(ative)?|absent|normal.*|healthy|benign.*|control|none|without.*)", re.IGNORECASE
)


@dataclass(frozen=True)
class KnownArchive:
    """What a MedMNIST .npz leaves out: the names of its two classes, the modality and the body part."""

    names: tuple[str, str]
    modality: str
    body_part: str


# MedMNIST v2 (Yang et al., Scientific Data 2023), table of data sets; the binary ones.
MEDMNIST = {
    "breastmnist": KnownArchive(("malignant", "normal or benign"), "US", "BREAST"),
    "pneumoniamnist": KnownArchive(("normal", "pneumonia"), "CR", "CHEST"),
    "nodulemnist3d": KnownArchive(("benign", "malignant"), "CT", "CHEST"),
    "adrenalmnist3d": KnownArchive(("normal", "hyperplasia"), "CT", "ABDOMEN"),
    "vesselmnist3d": KnownArchive(("vessel", "aneurysm"), "MR", "BRAIN"),
    "synapsemnist3d": KnownArchive(("inhibitory synapse", "excitatory synapse"), "EM", "BRAIN"),
}


def known_archive(stem: str) -> KnownArchive | None:
    """Return what is known of a MedMNIST file such as breastmnist or adrenalmnist3d_64."""
    return MEDMNIST.get(re.sub(r"_\d+$", "", stem.lower()))


def order_labels(found: Iterable[str | None], positive: str | None) -> tuple[list[str], str | None, str]:
    """Return (labels in order, positive label or None, sentence on how it was chosen).

    A binary task has the positive label second; more classes stand in natural order and have no positive one.

    Raises
    ------
    LabelError
        If there are fewer than two classes, or more than 50, or `positive` is none of two.
    """
    counts = Counter(label for label in found if label is not None)
    names = sorted(counts, key=_natural)
    if len(names) < 2:
        only = f"only {names[0]!r}" if names else "no label at all"
        raise LabelError(
            f"one class only: the usable cases have {only}", fix="A classifier needs at least two classes."
        )
    if len(names) > MOST_CLASSES:
        raise LabelError(
            f"the label column has {len(names)} different values",
            fix="Name the label column with --label; a measurement is no class.",
        )
    if len(names) > 2:
        if positive is not None:
            raise LabelError(
                f"there are {len(names)} classes, so none is *the* positive one", fix="Leave --positive out."
            )
        return names, None, f"{len(names)} classes, judged one against the rest"
    if positive is not None and positive not in names:
        raise LabelError(f"the positive label {positive!r} is none of {', '.join(names)}", fix="Correct --positive.")
    chosen, reason = (positive, "asked for") if positive is not None else _guess(names, counts)
    return [name for name in names if name != chosen] + [chosen], chosen, f"positive is {chosen!r}: {reason}"


def _guess(names: list[str], counts: Counter[str]) -> tuple[str, str]:
    diseased = [name for name in names if _DISEASE.fullmatch(name) and not _HEALTHY.fullmatch(name)]
    if len(diseased) == 1:
        return diseased[0], "its name means the finding is there; change it with --positive"
    healthy = [name for name in names if _HEALTHY.fullmatch(name)]
    if len(healthy) == 1:
        return next(
            name for name in names if name not in healthy
        ), f"{healthy[0]!r} means its absence; change it with --positive"
    rarer = min(names, key=lambda name: (counts[name], name))
    return rarer, "neither name tells, so the rarer class was taken; check it, and set --positive"


def _natural(name: str) -> tuple[object, ...]:
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part)
