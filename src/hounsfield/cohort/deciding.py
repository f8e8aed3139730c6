"""Which labels there are in the end, once it is known what an uncertain one counts as."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hounsfield.cohort.classes import order_labels
from hounsfield.cohort.findings import Uncertain, is_uncertain, settled
from hounsfield.cohort.grouping import Draft, Grouping
from hounsfield.core.cohort import ABSENT, PRESENT, UNCERTAIN
from hounsfield.errors import LabelError

UNSURE = "its label is uncertain"


@dataclass(frozen=True)
class Decided:
    """Labels in order, whether a case may have several, the positive one of two, and how that came about."""

    labels: list[str]
    multi_label: bool
    positive: str | None
    notes: list[str]


def decide_labels(grouping: Grouping, positive: str | None, uncertain: Uncertain) -> tuple[Decided, Grouping]:
    """Settle what uncertain labels count as, and return the labels with the cases that still have one.

    Parameters
    ----------
    uncertain:
        "unknown": nobody knows (a case of one label is put aside; of several, that one is not used). "present" or "absent":
        counts as that, the U-Ones and U-Zeroes of CheXpert (Irvin et al., AAAI 2019). "class": a class of its own.

    Raises
    ------
    LabelError
        If there are fewer than two classes, or more than 50; a label of several is present, or absent, nowhere; or the
        policy does not fit the labels.
    """
    if grouping.findings:
        return _several(grouping, positive, uncertain)
    names = {draft.label for draft in grouping.drafts if draft.label is not None}
    unsure = {name for name in names if is_uncertain(name, names)} if uncertain != "class" else set()
    labels, chosen, sentence = order_labels(
        (draft.label for draft in grouping.drafts if draft.label not in unsure), positive
    )
    notes = [sentence]
    count = sum(draft.label in unsure for draft in grouping.drafts)
    drafts, without = list(grouping.drafts), list(grouping.unlabelled)
    if count and uncertain == "unknown":
        without += [(replace(draft, label=None), UNSURE) for draft in drafts if draft.label in unsure]
        drafts = [draft for draft in drafts if draft.label not in unsure]
        notes.append(f"{count} cases with an uncertain label are put aside; --uncertain lets them count")
    elif count:
        if chosen is None:
            raise LabelError(
                f"an uncertain label cannot count as {uncertain} of {len(labels)} classes",
                fix="Use --uncertain unknown, or class.",
            )
        meant = chosen if uncertain == "present" else labels[0]
        drafts = [replace(draft, label=meant) if draft.label in unsure else draft for draft in drafts]
        notes.append(f"{count} cases with an uncertain label count as {meant!r}, as asked for")
    return Decided(labels, False, chosen, notes), replace(grouping, drafts=drafts, unlabelled=without)


def _several(grouping: Grouping, positive: str | None, uncertain: Uncertain) -> tuple[Decided, Grouping]:
    if uncertain == "class":
        raise LabelError("uncertain can be a class only where a case has one label", fix="Use --uncertain unknown.")
    if positive is not None:
        raise LabelError("with several labels per case none is *the* positive one", fix="Leave --positive out.")
    drafts: list[Draft] = []
    without = list(grouping.unlabelled)
    unsure = 0
    for draft in grouping.drafts:
        assert draft.states is not None
        states = settled(draft.states, uncertain)
        unsure += sum(state == UNCERTAIN for state in draft.states)
        if any(state in (PRESENT, ABSENT) for state in states):
            drafts.append(replace(draft, states=states))
        else:
            without.append((replace(draft, states=None), "all its labels are uncertain or not known"))
    check_findings(grouping.findings, drafts)
    meant = "are not used" if uncertain == "unknown" else f"count as {uncertain}, as asked for"
    notes = [f"{unsure} uncertain labels {meant}"] if unsure else []
    return Decided(list(grouping.findings), True, None, notes), replace(grouping, drafts=drafts, unlabelled=without)


def check_findings(names: Sequence[str], drafts: Sequence[Draft]) -> None:
    """Check that every label is present somewhere, and absent somewhere.

    Raises
    ------
    LabelError
        If one is not; it names the first.
    """
    for place, name in enumerate(names):
        counts = Counter(draft.states[place] for draft in drafts if draft.states is not None)
        for state, word in ((PRESENT, "present"), (ABSENT, "absent")):
            if not counts[state]:
                fix = " Where empty cells mean absent: --blank absent." if state == ABSENT else ""
                raise LabelError(
                    f"the label {name!r} is {word} in none of {len(drafts)} usable cases",
                    fix=f"Leave it out: name the other label columns with --label.{fix}",
                )
