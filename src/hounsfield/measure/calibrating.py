"""Fits of what makes probabilities honest: a temperature; Platt's line; an isotonic curve."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_expit, log_softmax, logit, softmax
from sklearn.isotonic import IsotonicRegression

from hounsfield.measure.probability import before_curves, scaled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LOWEST, HIGHEST = 0.05, 20.0
FEWEST_CASES = 10
# Steps of a curve that are nearer than this (in log odds) become one: a steeper one would turn rounding into a change that shows.
NEAREST_KNOTS = 0.1


def fit_temperature(logits: ArrayLike, truth: ArrayLike, *, offsets: ArrayLike | None = None) -> float:
    """Return the temperature in [0.05, 20] with the least negative log-likelihood (Guo et al., ICML 2017).

    Parameters
    ----------
    logits:
        (n, outputs), of cases that were not used to fit the weights.
    truth:
        (n,), class index; 0 or 1 in a binary task.
    offsets:
        As in `probabilities`.

    With fewer than 10 cases, or with one class only, there is nothing to fit and the answer is 1.0. Where the
    classes are perfectly separated the likelihood has no maximum and the answer is the lower limit, 0.05: the caller
    may want to say so.
    """
    values, index = np.asarray(logits, dtype=np.float64), np.asarray(truth, dtype=np.int64)
    if _too_few(index):
        return 1.0

    def loss(log_temperature: float) -> float:
        return _negative_log_likelihood(scaled(values, float(np.exp(log_temperature)), offsets), index)

    # The loss is convex in 1/T, hence it has one valley in log T and a bounded scalar search cannot miss it.
    found = minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded", options={"xatol": 1e-6})
    best = min((float(found.x), np.log(LOWEST), np.log(HIGHEST)), key=loss)
    return float(np.exp(best))


def fit_platt(logits: ArrayLike, truth: ArrayLike, *, offsets: ArrayLike | None = None) -> tuple[float, list[float]]:
    """Return a temperature in [0.05, 20] and an offset per output, fitted together by maximum likelihood.

    Of one output it is Platt's sigmoid (Platt 1999), of exclusive classes the temperature with a bias per class of Alexandari,
    Kundaje and Shrikumar (ICML 2020). Targets are those of Platt, (n + 1) / (n + classes) instead of 1, so that separable
    classes have a finite fit. Parameters as in `fit_temperature`, whose answer for too few cases is that of here, with the
    offsets given.
    """
    values, index = np.asarray(logits, dtype=np.float64), np.asarray(truth, dtype=np.int64)
    outputs = values.shape[1]
    start = np.zeros(outputs) if offsets is None else np.asarray(offsets, dtype=np.float64)
    if _too_few(index):
        return 1.0, start.tolist()
    wanted = _soft_targets(index, max(2, outputs))
    wanted = wanted[:, 1:] if outputs == 1 else wanted

    def loss(parameters: Floats) -> tuple[float, Floats]:
        moved = values * parameters[0] + parameters[1:]
        if outputs == 1:
            spent = -(wanted * log_expit(moved) + (1 - wanted) * log_expit(-moved)).sum(axis=1)
            wrong = expit(moved) - wanted
        else:
            spent = -(wanted * log_softmax(moved, axis=1)).sum(axis=1)
            wrong = softmax(moved, axis=1) - wanted
        slope = float((wrong * values).sum(axis=1).mean())
        return float(spent.mean()), np.concatenate([[slope], wrong.mean(axis=0)])

    first = np.concatenate([[1 / fit_temperature(values, index, offsets=start)], start])
    bounds = [(1 / HIGHEST, 1 / LOWEST), *[(None, None)] * outputs]
    found = minimize(loss, first, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-12, "gtol": 1e-8})
    return float(1 / found.x[0]), [float(value) for value in found.x[1:]]


def fit_isotonic(
    logits: ArrayLike, truth: ArrayLike, *, temperature: float = 1.0, offsets: ArrayLike | None = None
) -> list[tuple[list[float], list[float]]]:
    """Return a rising curve per output for `probabilities`: (knots, values), of exclusive classes each against the rest.

    Isotonic regression (Zadrozny and Elkan, KDD 2002), with a knot in the middle of each of its blocks and straight lines
    between them (centred: Oron and Flournoy 2017), so that cases keep their order but beyond the outermost blocks. Nothing becomes
    0 or 1: the outermost blocks of n cases bound it by 1 / (n + 2). Parameters as in `probabilities` and `fit_temperature`.
    """
    index = np.asarray(truth, dtype=np.int64)
    values = scaled(logits, temperature, offsets)
    outputs = values.shape[1]
    values = before_curves(values, exclusive=outputs > 1)
    happened = [index == 1] if outputs == 1 else [index == place for place in range(outputs)]
    found = [_curve(column, mine.astype(np.float64)) for column, mine in zip(values.T, happened, strict=True)]
    if outputs == 1:
        return [(at, logit(to).tolist()) for at, to in found]
    return [(at, np.log(to).tolist()) for at, to in found]


def _curve(values: Floats, happened: Floats) -> tuple[list[float], Floats]:
    fitted = np.asarray(IsotonicRegression().fit_transform(values, happened))
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.diff(fitted[order], prepend=-1.0))
    blocks = [
        (len(rows), float(values[rows].mean()), float(happened[rows].mean())) for rows in np.split(order, starts[1:])
    ]
    joined = blocks[:1]
    for size, middle, share in blocks[1:]:
        before, at, level = joined[-1]
        if middle - at >= NEAREST_KNOTS:
            joined.append((size, middle, share))
            continue
        both = before + size
        joined[-1] = (both, (before * at + size * middle) / both, (before * level + size * share) / both)
    lowest, highest = 1 / (joined[0][0] + 2), 1 - 1 / (joined[-1][0] + 2)
    return [at for _, at, _ in joined], np.clip([to for _, _, to in joined], lowest, highest)


def _soft_targets(index: Ints, classes: int) -> Floats:
    counts = np.bincount(index, minlength=classes).astype(np.float64)
    rest = np.repeat((1 / (counts + classes))[:, None], classes, axis=1)
    np.fill_diagonal(rest, (counts + 1) / (counts + classes))
    targets: Floats = rest[index]
    return targets


def _too_few(index: Ints) -> bool:
    return len(index) < FEWEST_CASES or len(np.unique(index)) < 2


def _negative_log_likelihood(values: Floats, truth: Ints) -> float:
    if values.shape[1] == 1:
        signed = np.where(truth == 1, values[:, 0], -values[:, 0])
        return float(-log_expit(signed).mean())
    return float(-log_softmax(values, axis=1)[np.arange(len(truth)), truth].mean())
