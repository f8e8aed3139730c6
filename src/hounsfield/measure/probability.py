"""From logits to probabilities, and the one number, a temperature, that makes them honest."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit, log_softmax, softmax

LOWEST, HIGHEST = 0.05, 20.0
FEWEST_CASES = 10


def probabilities(
    logits: ArrayLike, *, multi_label: bool, temperature: ArrayLike = 1.0, offsets: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Return link(logits / temperature + offsets).

    Parameters
    ----------
    logits:
        (n, outputs).
    multi_label:
        Whether outputs are labels of which a case may have any number: a sigmoid each, even where there are two. Else one
        output is a binary task (sigmoid), and more are exclusive classes (softmax). Nobody can see it from the numbers,
        so it has no default.
    temperature:
        Greater than 0; above 1 it makes probabilities less extreme. It never changes the order within an output of a
        sigmoid. One number, or (outputs,) where outputs are independent.
    offsets:
        (outputs,), added after the division; they undo the class weights of the loss.

    Returns
    -------
    (n, outputs), float64, finite for every finite logit.
    """
    exclusive = np.ndim(logits) == 2 and np.shape(logits)[1] > 1 and not multi_label
    if exclusive and np.ndim(temperature):
        raise ValueError("exclusive classes have one temperature in common")
    scaled = _scaled(logits, temperature, offsets)
    return softmax(scaled, axis=1) if exclusive else expit(scaled)


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
    if len(index) < FEWEST_CASES or len(np.unique(index)) < 2:
        return 1.0

    def loss(log_temperature: float) -> float:
        return _negative_log_likelihood(_scaled(values, float(np.exp(log_temperature)), offsets), index)

    # The loss is convex in 1/T, hence it has one valley in log T and a bounded scalar search cannot miss it.
    found = minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded", options={"xatol": 1e-6})
    best = min((float(found.x), np.log(LOWEST), np.log(HIGHEST)), key=loss)
    return float(np.exp(best))


def _scaled(logits: ArrayLike, temperature: ArrayLike, offsets: ArrayLike | None) -> NDArray[np.float64]:
    values = np.asarray(logits, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"logits have the shape (n, outputs), not {values.shape}")
    divisors = np.asarray(temperature, dtype=np.float64)
    if not (divisors > 0).all():
        raise ValueError("a temperature is greater than 0")
    scaled: NDArray[np.float64] = values / divisors
    return scaled if offsets is None else scaled + np.asarray(offsets, dtype=np.float64)


def _negative_log_likelihood(scaled: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    if scaled.shape[1] == 1:
        signed = np.where(truth == 1, scaled[:, 0], -scaled[:, 0])
        return float(-log_expit(signed).mean())
    return float(-log_softmax(scaled, axis=1)[np.arange(len(truth)), truth].mean())
