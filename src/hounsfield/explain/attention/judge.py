"""What a part's looks amount to: rates with intervals, and in words what a model looks at that it should not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from hounsfield.explain.attention.attend import CaseLook, LesionLook, Looks
from hounsfield.explain.attention.names import ZONE_TITLES, ZONES
from hounsfield.explain.methods import METHODS
from hounsfield.measure import Estimate, patient_weights, percentiles, share

# Fewer cases with a thing prove nothing of it.
FEWEST = 5
# Painting a thing over must move the log-odds by so much, surely by half of it, and three times as much as painting over its mirror
# image; or turn so many decisions.
MOVES, SURELY, BEYOND_ELSEWHERE, TURNS = 1.0, 0.5, 3.0, 0.2
# Peaks must point at a thing in so many cases, surely, and twice as often as chance would.
POINTS, BEYOND_CHANCE = 0.3, 2.0
# Of places without an owner (outside, edge) most peaks must lie there.
MOST = 0.5
RESAMPLES = 2000
PLACES = ("outside", "edge")

Level = Literal["alarm", "warning", "note"]


@dataclass(frozen=True)
class ZoneFigure:
    """A zone over all cases with one decided label that have it.

    Attributes
    ----------
    place:
        The zone as a title.
    cases, of:
        Cases that have the zone, and all with this label.
    area, share:
        Means: of the frame, and of what speaks for the label; beside them how much denser the map is there than elsewhere.
    peak, chance:
        How often the strongest place points at the zone, and how often a random place would.
    change, elsewhere:
        Fall of the log-odds of the label when the zone is painted over, and when its mirror image is; None where it is not.
    turned:
        How often painting it over turns the decision.
    """

    label: str
    zone: str
    place: str
    cases: int
    of: int
    area: float
    share: float
    peak: Estimate
    chance: float
    change: Estimate | None
    elsewhere: float | None
    turned: Estimate | None


@dataclass(frozen=True)
class Pointing:
    """How one method, and its title, fares in the pointing game: lesions hit by its peak, by the centre of the image, by a random point.

    `better` is the peak's rate minus the centre's, of the same cases. `share` is the mean share of what speaks for the label that
    lies on the lesion, whose mean share of the image is `random`.
    """

    method: str
    title: str
    cases: int
    peak: Estimate
    centre: Estimate
    random: Estimate
    better: Estimate
    share: Estimate


@dataclass(frozen=True)
class Item:
    """Something found, in one sentence."""

    level: Level
    sentence: str


@dataclass(frozen=True)
class Attention:
    """The audit of attention over a part; `to_dict` is what attention.json holds."""

    method: str
    cases: int
    total: int
    zones: list[ZoneFigure]
    pointing: list[Pointing]
    items: list[Item]
    left_out: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values only."""
        return asdict(self) | {"title": METHODS[self.method].title}


def judge_looks(looks: Looks, *, seed: int = 0) -> Attention:
    """Put the looks of a part into figures and sentences; intervals allow for several cases of a patient."""
    known = [one for one in looks.cases if one.zones is not None]
    labels = sorted({one.label for one in known})
    figures = []
    for label in labels:
        mine = [one for one in known if one.label == label]
        for zone in ZONES:
            having = [one for one in mine if one.zones is not None and zone in one.zones]
            if having:
                figures.append(_figure(label, zone, having, len(mine), seed))
    methods = list(dict.fromkeys(one.method for one in looks.lesions))
    pointing = [_pointing(method, [one for one in looks.lesions if one.method == method], seed) for method in methods]
    items = [item for one in figures if (item := _item(one, looks.method)) is not None]
    items += [_of_pointing(one) for one in pointing]
    if known and not any(item.level != "note" for item in items):
        items.append(Item("note", _clean(figures)))
    order: list[Level] = ["alarm", "warning", "note"]
    items.sort(key=lambda item: order.index(item.level))
    return Attention(looks.method, len(known), looks.total, figures, pointing, items, dict(looks.left_out))


def _figure(label: str, zone: str, having: Sequence[CaseLook], of: int, seed: int) -> ZoneFigure:
    patients = np.array([one.patient for one in having])
    seen = [one.zones[zone] for one in having if one.zones is not None]
    everyone = np.ones(len(seen), dtype=bool)
    hidden = [(one.hidden[zone], one.patient) for one in having if zone in one.hidden]
    elsewhere = [each.elsewhere for each, _ in hidden if each.elsewhere is not None]
    who = np.array([patient for _, patient in hidden])
    return ZoneFigure(
        label=label,
        zone=zone,
        place=ZONE_TITLES[zone],
        cases=len(having),
        of=of,
        area=float(np.mean([one.area for one in seen])),
        share=float(np.mean([one.share for one in seen])),
        peak=share(np.array([one.peak for one in seen]), everyone, patients),
        chance=float(np.mean([one.near for one in seen])),
        change=_mean(np.array([each.change for each, _ in hidden]), who, seed) if hidden else None,
        elsewhere=float(np.mean(elsewhere)) if elsewhere else None,
        turned=share(np.array([each.turned for each, _ in hidden]), np.ones(len(hidden), dtype=bool), who) if hidden else None,
    )  # fmt: skip


def _mean(values: np.ndarray, patients: np.ndarray, seed: int) -> Estimate:
    """A mean with the percentile interval of the patient bootstrap."""
    if len(np.unique(patients)) < 2:
        return Estimate(float(values.mean()), None, None, "none", len(values), note="one patient")
    drawn = [(weights @ values) / weights.sum(axis=1) for weights in patient_weights(patients, RESAMPLES, seed)]
    low, high = percentiles(np.concatenate(drawn))
    return Estimate(float(values.mean()), low, high, "patient bootstrap", len(values))


def _pointing(method: str, looks: Sequence[LesionLook], seed: int) -> Pointing:
    patients, everyone = np.array([one.patient for one in looks]), np.ones(len(looks), dtype=bool)
    peak, centre = (np.array([getattr(one.lesion, name) for one in looks]) for name in ("peak", "centre"))
    area, held = (np.array([getattr(one.lesion, name) for one in looks]) for name in ("area", "share"))
    return Pointing(
        method=method,
        title=METHODS[method].title,
        cases=len(looks),
        peak=share(peak, everyone, patients),
        centre=share(centre, everyone, patients),
        random=_mean(area, patients, seed),
        better=_mean(peak.astype(float) - centre.astype(float), patients, seed),
        share=_mean(held, patients, seed),
    )


def _item(one: ZoneFigure, method: str) -> Item | None:
    if one.cases < FEWEST:
        return None
    points, depends = _points(one), _depends(one)
    if not points and not depends:
        return None
    carry = f"Of {one.cases} cases called {one.label!r}"
    carry += "" if one.zone in PLACES else " that have some" if one.zone == "text" else " that have one"
    told = []
    if points:
        told.append(
            f"the strongest place of {METHODS[method].title} points at it in {_percent(one.peak)} (by chance {one.chance:.0%})"
        )
    if depends and one.change is not None and one.turned is not None:
        elsewhere = "" if one.elsewhere is None else f" ({_signed(-one.elsewhere)} on the other side)"
        told.append(
            f"painting it over changes the log-odds by {_signed(-(one.change.value or 0.0))} on average{elsewhere} and turns "
            f"{_percent(one.turned)} of the decisions"
        )
    # A map alone may lie where the answer does not come from; what the answer depends on is beyond doubt.
    level: Level = "alarm" if depends else "warning"
    verb = "depends on" if depends else "looks at"
    return Item(level, f"The model {verb} {ZONES[one.zone]}. {carry}, {', and '.join(told)}.")


def _points(one: ZoneFigure) -> bool:
    low = one.peak.low
    if low is None:
        return False
    if one.zone in PLACES:
        return low > MOST and low > one.chance
    return low > max(POINTS, BEYOND_CHANCE * one.chance)


def _depends(one: ZoneFigure) -> bool:
    if one.change is None or one.turned is None or one.change.value is None or one.change.low is None:
        return False
    # Of the outside there is no other side to hold it against, and its new edge moves the odds too: there decisions must turn.
    moved = one.change.value >= MOVES and one.change.low >= SURELY and one.zone not in PLACES
    turned = (one.turned.value or 0.0) >= TURNS and (one.turned.low or 0.0) >= TURNS / 2 and one.change.low > 0
    return (moved or turned) and one.change.value >= BEYOND_ELSEWHERE * abs(one.elsewhere or 0.0)


def _of_pointing(one: Pointing) -> Item:
    title = METHODS[one.method].title
    beats = one.better.low is not None and one.better.low > 0
    worse = one.better.high is not None and one.better.high < 0
    than = "more often than" if beats else "less often than" if worse else "about as often as"
    return Item(
        "note",
        f"{title} points at the lesion in {_percent(one.peak)} of {one.cases} cases, {than} the centre of the image "
        f"({_percent(one.centre)}); a random point would in {one.random.value:.0%}.",
    )


def _clean(figures: Sequence[ZoneFigure]) -> str:
    asked = [ZONES[zone] for zone in ZONES if any(one.zone == zone and one.cases >= FEWEST for one in figures)]
    few = [ZONES[zone] for zone in ZONES if ZONES[zone] not in asked and any(one.zone == zone for one in figures)]
    text = (
        f"No sign that the model looks at {_listed(asked)}."
        if asked
        else "Nothing was there that it should not look at."
    )
    return text + (f" Too few cases have {_listed(few)} to tell." if few else "")


def _listed(words: Sequence[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else list(words))


def _percent(one: Estimate) -> str:
    if one.value is None:
        return "–"
    return f"{one.value:.0%}" + ("" if one.low is None or one.high is None else f" ({one.low:.0%}–{one.high:.0%})")


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")
