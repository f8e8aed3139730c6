"""Is this image one for this model? Each image is compared with those of the training part.

Two things are looked at. A *picture* of 16 × 16 brightnesses and as many vertical edges asks whether the image is upside down or
inverted: directly, by linear rules between proper and changed training pictures, because a turned head lies close to an upright
one. An *embedding*, the statistics of what the network's frozen layers see, asks whether it is like a training image at all: the
Mahalanobis distance with a shrunk covariance (Lee et al., NeurIPS 2018; Ledoit and Wolf 2004). A network without frozen layers has
no embedding; the picture serves then.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

Floats = NDArray[np.float64]
Shape = tuple[Floats, Floats, Floats, Floats, float]

SIDE = 16
FEWEST = 30
# The share of proper images that each rule may refuse; together they stay below 5 of 100.
REFUSED = {"distance": 0.012, "turned": 0.025, "inverted": 0.005}
EDGE_SCALE = 4.0
MOST_AXES, AXES_OF_PICTURES = 48, 24
UNLIKE = "it looks unlike the images that the model was trained on"
FOLDS = 5
# Values that hardly vary in training (corners, padding) are not trusted to vary never; a share of the usual spread.
LEAST_SPREAD = 0.2
LEAST_STANDARD = 0.03
STRENGTH = 0.03  # of the inverse of the penalty of the two directed rules
DIGITS = 5


class Rule(BaseModel):
    """A linear rule: a picture is refused where weights · values + bias exceeds the limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    weights: list[float]
    bias: float
    limit: float

    def score(self, pictures: Floats) -> Floats:
        """(n, values) → (n,)."""
        found: Floats = pictures @ self._array + self.bias
        return found

    @cached_property
    def _array(self) -> Floats:
        return np.array(self.weights)


class Distance(BaseModel):
    """How far a vector lies from those of training images.

    Attributes
    ----------
    mean, spread:
        Of each value.
    axes, variances, rest:
        The greatest axes of the shrunk covariance of standardised vectors, their variances, and that of all other directions.
    limit:
        The distance from which an image is unlike them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    mean: list[float]
    spread: list[float]
    axes: list[list[float]]
    variances: list[float]
    rest: float
    limit: float

    def __call__(self, vectors: Floats) -> Floats:
        """(n, values) → (n,)."""
        return _distance(vectors, self._arrays)

    @cached_property
    def _arrays(self) -> Shape:
        """The lists as arrays: made for every image anew, they took as long as reading one."""
        axes = np.array(self.axes)
        return np.array(self.mean), np.array(self.spread), axes, np.array(self.variances), self.rest


class Suited(BaseModel):
    """What training images are like.

    Attributes
    ----------
    picture, embedding:
        Distances of both; the second, where there is one, decides what is unlike.
    turned, inverted:
        The rules for upside-down and inverted pictures; None where training pictures do not show which they are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    picture: Distance
    embedding: Distance | None
    turned: Rule | None
    inverted: Rule | None

    def look(self, picture: Floats, embedding: Floats | None) -> tuple[str | None, float]:
        """Say why an image does not suit, and how far it lies from training images, as a share of the limit.

        Parameters
        ----------
        picture, embedding:
            What `thumbnail` gave, and (values,), where the model knows embeddings.

        Returns
        -------
        The reason, None where it suits; and the distance: above 1 it is unlike them.

        Raises
        ------
        ValueError
            If one of them is missing, or has another number of values.
        """
        vector, distance = (picture, self.picture) if self.embedding is None else (embedding, self.embedding)
        if vector is None or len(vector) != len(distance.mean) or len(picture) != len(self.picture.mean):
            raise ValueError("the image is described by other values than the model knows")
        share = float(distance(vector[None])[0] / distance.limit)
        one = picture[None]
        asked = (
            (self.turned, _turned, "it looks upside down"),
            (self.inverted, _inverted, "its grey values look inverted"),
        )
        # Each rule has only ever seen proper images beside its own kind of change, so the surer one names it; and only where the
        # picture would be a proper one if the change were undone.
        beyond = [(rule.score(one)[0] - rule.limit, undo, reason) for rule, undo, reason in asked if rule is not None]
        fired = sorted((each for each in beyond if each[0] > 0), key=lambda each: -each[0])
        for _, undo, reason in fired:
            if self.picture(undo(one))[0] <= self.picture.limit:
                return reason, share
        return UNLIKE if fired or share > 1 else None, share


def thumbnail(case: NDArray[np.floating]) -> Floats:
    """Return the picture of a case, (slices, channels, H, W) in [0, 1] → (2 · channels · 256,), the mean of its slices.

    The first half are mean brightnesses of 16 × 16 areas, the second half how much brightness changes downwards in them, four
    times (so that both vary alike).
    """
    whole = np.asarray(case, dtype=np.float64)
    changes = np.abs(np.diff(whole, axis=2)).mean(axis=0)
    changes = np.concatenate([changes, changes[:, -1:]], axis=1)
    return np.concatenate([_areas(whole.mean(axis=0)).ravel(), EDGE_SCALE * _areas(changes).ravel()])


def _areas(image: Floats) -> Floats:
    """Means of 16 × 16 areas of (channels, H, W); areas may end within a pixel, so that any size gives the same picture."""
    for axis in (1, 2):
        edges = np.linspace(0, image.shape[axis], SIDE + 1)
        sums = np.concatenate([np.zeros_like(np.take(image, [0], axis)), np.cumsum(image, axis)], axis=axis)
        low = np.floor(edges).astype(int)
        upper = np.minimum(low + 1, image.shape[axis])
        share = (edges - low).reshape([-1 if place == axis else 1 for place in range(3)])
        at = np.take(sums, low, axis) * (1 - share) + np.take(sums, upper, axis) * share
        image = np.diff(at, axis=axis) / (edges[1] - edges[0])
    return image


def fit_suited(pictures: Floats, embeddings: Floats | None) -> Suited | None:
    """Learn what training images are like; None of fewer than 30, which show too little.

    Limits are those that a small share of training images (`REFUSED`) exceed when rules are made without them (five folds).

    Parameters
    ----------
    pictures:
        (n, 2 · channels · 256), of training images.
    embeddings:
        (n, values), or None where there are none.
    """
    if len(pictures) < FEWEST:
        return None
    fold = np.random.default_rng(0).permutation(len(pictures)) % FOLDS
    return Suited(
        picture=_fit_distance(pictures, fold, AXES_OF_PICTURES),
        embedding=None if embeddings is None else _fit_distance(embeddings, fold, MOST_AXES),
        turned=_directed(pictures, _turned(pictures), fold, REFUSED["turned"]),
        inverted=_directed(pictures, _inverted(pictures), fold, REFUSED["inverted"]),
    )


def _turned(pictures: Floats) -> Floats:
    return pictures.reshape(len(pictures), -1, SIDE, SIDE)[:, :, ::-1].reshape(len(pictures), -1)


def _inverted(pictures: Floats) -> Floats:
    half = pictures.shape[1] // 2
    return np.concatenate([1 - pictures[:, :half], pictures[:, half:]], axis=1)


def _fit_distance(vectors: Floats, fold: NDArray[np.int64], most: int) -> Distance:
    held_out = np.zeros(len(vectors))
    for number in range(FOLDS):
        held_out[fold == number] = _distance(vectors[fold == number], _covariance(vectors[fold != number], most))
    mean, spread, axes, variances, rest = _covariance(vectors, most)
    return Distance(
        mean=_short(mean), spread=_short(spread), axes=[_short(axis) for axis in axes],
        variances=[float(f"{value:.6g}") for value in variances], rest=float(f"{rest:.6g}"), limit=_limit(held_out, REFUSED["distance"]),
    )  # fmt: skip


def _covariance(vectors: Floats, most: int) -> Shape:
    """Mean, spread, and the shrunk covariance of standardised vectors by its greatest axes."""
    from sklearn.covariance import ledoit_wolf_shrinkage

    mean, spread = vectors.mean(axis=0), vectors.std(axis=0)
    spread = spread + LEAST_SPREAD * max(1e-6, float(np.median(spread)))
    standard = (vectors - mean) / spread
    shrinkage = float(ledoit_wolf_shrinkage(standard, assume_centered=True))
    _, singular, axes = np.linalg.svd(standard, full_matrices=False)
    own, width = singular**2 / len(vectors), standard.shape[1]
    common = own.sum() / width
    count = min(most, len(own), width - 1)
    variances = (1 - shrinkage) * own[:count] + shrinkage * common
    rest = (1 - shrinkage) * own[count:].sum() / max(1, width - count) + shrinkage * common
    return mean, spread, axes[:count], np.maximum(variances, 1e-9), float(max(rest, 1e-9))


def _distance(vectors: Floats, shape: Shape) -> Floats:
    mean, spread, axes, variances, rest = shape
    standard = (vectors - mean) / spread
    along = standard @ axes.T
    left = (standard**2).sum(axis=1) - (along**2).sum(axis=1)
    found: Floats = (along**2 / variances).sum(axis=1) + left / rest
    return found


def _directed(proper: Floats, changed: Floats, fold: NDArray[np.int64], refused: float) -> Rule | None:
    """A logistic regression between proper and changed pictures; None where it cannot tell them apart."""
    held_out, caught = np.zeros(len(proper)), np.zeros(len(proper))
    for number in range(FOLDS):
        inside = fold == number
        weights, bias = _fitted(proper[~inside], changed[~inside])
        held_out[inside], caught[inside] = proper[inside] @ weights + bias, changed[inside] @ weights + bias
    limit = _limit(held_out, refused)
    if (caught > limit).mean() < 0.5:
        return None
    weights, bias = _fitted(proper, changed)
    return Rule(weights=_short(weights), bias=round(bias, DIGITS), limit=limit)


def _fitted(proper: Floats, changed: Floats) -> tuple[Floats, float]:
    from sklearn.linear_model import LogisticRegression

    both = np.concatenate([proper, changed])
    mean, spread = both.mean(axis=0), both.std(axis=0) + LEAST_STANDARD
    model = LogisticRegression(C=STRENGTH, max_iter=1000)
    model.fit((both - mean) / spread, np.repeat([0, 1], [len(proper), len(changed)]))
    weights = model.coef_[0] / spread
    return weights, float(model.intercept_[0] - weights @ mean)


def _limit(held_out: Floats, refused: float) -> float:
    """What so large a share exceeds; with few images a little above the greatest, since the next may be greater."""
    ordered = np.sort(held_out)
    place = int(np.ceil((1 - refused) * (len(ordered) + 1))) - 1
    if place < len(ordered):
        return float(f"{ordered[place]:.6g}")
    return float(f"{ordered[-1] + 0.1 * (ordered[-1] - np.median(ordered)):.6g}")


def _short(values: Sequence[float] | Floats) -> list[float]:
    return [round(float(value), DIGITS) for value in values]
