"""Whether maps of one image point to the same places: their strongest tenths laid on one another, with figures and a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from hounsfield.explain.checks import rank_correlation

# Of the image's area, in each map.
SHARE = 0.1
# Within a superpixel resizing leaves differences of rounding; so small a share of the greatest value is none.
TIE = 1e-4
# Intersection over union. A third: half of one tenth lies in the other. A seventh: a quarter does. Two tenths thrown at random
# give 0.05.
SAME, PARTLY = 1 / 3, 1 / 7
# Of a place that is among the strongest of one map, of two, of three or more: yellow, orange, red, each stronger than the one before.
MARKS = (((255, 224, 102), 0.4), ((255, 140, 26), 0.55), ((224, 24, 66), 0.7))


@dataclass(frozen=True)
class Pair:
    """Two maps by title: rank correlation of what speaks for the target (None where one has none), and intersection over union."""

    first: str
    second: str
    rank_correlation: float | None
    overlap: float


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far maps of one image agree.

    Attributes
    ----------
    counts:
        (height, width), in how many maps a place is among the strongest tenth.
    pairs:
        Each two of the maps.
    areas:
        Which share of the image counts one, two, … are: `areas[0]` is that of 1.
    sentence:
        The same in plain words.
    """

    counts: np.ndarray
    pairs: list[Pair]
    areas: list[float]
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, without the picture."""
        return {"pairs": [asdict(pair) for pair in self.pairs], "areas": self.areas, "sentence": self.sentence}


def agreement(maps: Mapping[str, np.ndarray], target: str) -> Agreement:
    """Compare maps (title → (height, width), all of one slice and one size); what is said of them is `short` of their titles."""
    names = short(list(maps))
    maps = {names[title]: values for title, values in maps.items()}
    marked = {title: strongest(values) for title, values in maps.items()}
    pairs = [
        Pair(first, second, rank_correlation(maps[first].clip(0), maps[second].clip(0)), overlap(marked[first], marked[second]))
        for first, second in combinations(maps, 2)
    ]  # fmt: skip
    counts = np.stack(list(marked.values())).sum(axis=0, dtype=np.uint8)
    areas = [float((counts == number).mean()) for number in range(1, len(maps) + 1)]
    empty = [title for title, mask in marked.items() if not mask.any()]
    return Agreement(counts, pairs, areas, _sentence(pairs, list(maps), empty, target))


def strongest(values: np.ndarray, share: float = SHARE) -> np.ndarray:
    """Return where a map is among its strongest `share` of the image and above 0: (height, width) bool.

    Places of one value stand or fall together, as those of a superpixel. A map without any contrast has no strongest place.
    """
    if np.ptp(values) == 0:
        return np.zeros(values.shape, dtype=bool)
    limit = float(np.quantile(values, 1 - share)) - TIE * float(np.abs(values).max())
    return np.asarray((values >= limit) & (values > 0))


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two masks; 0 where both are empty."""
    union = np.count_nonzero(first | second)
    return float(np.count_nonzero(first & second) / union) if union else 0.0


def marked_picture(picture: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Lay the counts of an agreement over (height, width, 3) bytes, in the colours of `MARKS`."""
    mixed = picture.astype(np.float64)
    for number, (colour, weight) in enumerate(MARKS, start=1):
        places = counts >= number if number == len(MARKS) else counts == number
        mixed[places] = picture[places] * (1 - weight) + np.array(colour) * weight
    return np.rint(mixed).astype(np.uint8)


def _sentence(pairs: Sequence[Pair], titles: Sequence[str], empty: Sequence[str], target: str) -> str:
    said = f"{_listed(empty)} found nothing here that speaks for {target}." if empty else ""
    seen = [title for title in titles if title not in empty]
    between = {
        frozenset((pair.first, pair.second)): pair.overlap for pair in pairs if not {pair.first, pair.second} & set(empty)
    }  # fmt: skip
    if len(seen) < 2:
        return said
    told = _told(seen, between)
    return f"{told} {said}".strip()


def _told(seen: Sequence[str], between: Mapping[frozenset[str], float]) -> str:
    def least(group: Sequence[str]) -> float:
        return min(between[frozenset(pair)] for pair in combinations(group, 2))

    groups = [group for size in range(len(seen), 1, -1) for group in combinations(seen, size)]
    agreed = next((group for group in groups if least(group) >= SAME), None)
    if agreed is None:
        partly = max(between.values()) >= PARTLY
        who = _listed(seen)
        return f"{who} overlap in part only." if partly else f"{who} point to different places."
    said = f"{_listed(agreed)} point to the same place"
    if len(agreed) == len(seen):
        return f"{said}."
    for title in seen:
        if title not in agreed:
            nearest = max(between[frozenset((title, other))] for other in agreed)
            said += f"; {title} {'overlaps with it in part' if nearest >= PARTLY else 'points elsewhere'}"
    return f"{said}."


def short(titles: Sequence[str]) -> dict[str, str]:
    """Return each title without what stands in brackets, unless two would be the same then."""
    bare = {title: title.partition(" (")[0] for title in titles}
    return {title: name if list(bare.values()).count(name) == 1 else title for title, name in bare.items()}


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
