"""From logits to probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, log_softmax, softmax

# Knots of a piecewise linear curve: where they are, rising, and what it gives there.
Knots = tuple[Sequence[float], Sequence[float]]


def probabilities(
    logits: ArrayLike,
    *,
    multi_label: bool,
    temperature: ArrayLike = 1.0,
    offsets: ArrayLike | None = None,
    curves: Sequence[Knots] | None = None,
) -> NDArray[np.float64]:
    """Return link(curve(logits / temperature + offsets)).

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
    curves:
        One per output, from log odds to log odds; of exclusive classes from log probability to log probability, and the softmax
        makes their sum 1 again. Constant beyond the outermost knots. None: as they are.

    Returns
    -------
    (n, outputs), float64, finite for every finite logit.
    """
    exclusive = np.ndim(logits) == 2 and np.shape(logits)[1] > 1 and not multi_label
    if exclusive and np.ndim(temperature):
        raise ValueError("exclusive classes have one temperature in common")
    values = scaled(logits, temperature, offsets)
    if curves is not None:
        values = np.column_stack(
            [
                np.interp(column, *knots)
                for column, knots in zip(before_curves(values, exclusive).T, curves, strict=True)
            ]
        )
    return softmax(values, axis=1) if exclusive else expit(values)


def before_curves(values: NDArray[np.float64], exclusive: bool) -> NDArray[np.float64]:
    """Return what curves begin from: log odds as they are, or log probabilities of exclusive classes."""
    return np.asarray(log_softmax(values, axis=1), dtype=np.float64) if exclusive else values


def scaled(logits: ArrayLike, temperature: ArrayLike, offsets: ArrayLike | None) -> NDArray[np.float64]:
    """Return logits / temperature + offsets, (n, outputs)."""
    values = np.asarray(logits, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"logits have the shape (n, outputs), not {values.shape}")
    divisors = np.asarray(temperature, dtype=np.float64)
    if not (divisors > 0).all():
        raise ValueError("a temperature is greater than 0")
    found: NDArray[np.float64] = values / divisors
    return found if offsets is None else found + np.asarray(offsets, dtype=np.float64)
