"""Many tests at once: what is left of them when chance is given as many chances."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Return adjusted p values (n,): one below 0.05 is wrong in at most 5 of 100 families (Holm 1979). nan stay, uncounted."""
    values = np.asarray(p, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    found = np.full(values.shape, np.nan)
    found[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * np.arange(len(order), 0, -1)))
    return found


def p_value(p: float) -> str:
    """ "p = 0.02"; "p < 0.001", below which the number says more of the formula than of the patients."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
