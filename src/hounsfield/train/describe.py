"""What training cases are like, for the check of new ones: nothing that prediction would have to read the cases for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from hounsfield.models import Network
from hounsfield.prepare import Store
from hounsfield.prepare.reach import reach_of, values_of
from hounsfield.prepare.suited import FEWEST, Suited, fit_suited, thumbnail
from hounsfield.train.batches import Source

MOST_CASES = 400
TOGETHER = 32


def describe(
    network: Network, store: Store, cases: Sequence[str], source: Source, slices: int, *, colour: bool
) -> dict[str, Any]:
    """Learn what cases are like, of at most 400 of them, evenly taken: "suited" and "reach", plain; None of fewer than 30.

    Parameters
    ----------
    source:
        Gives what the frozen front sees of `cases`; cached activations cost nothing.
    slices:
        The most that a case has.
    colour:
        Whether channels are red, green and blue.
    """
    chosen = np.unique(np.linspace(0, len(cases) - 1, min(len(cases), MOST_CASES)).astype(int)).tolist()
    rows = store.rows([cases[place] for place in chosen])
    looks: list[np.ndarray] = []
    values: list[dict[str, float]] = []
    for row in rows:
        case = store.read(int(row))
        looks.append(thumbnail(case))
        values.append(values_of(case, colour=colour))
    reach = reach_of(values) if len(values) >= FEWEST else None
    return {"suited": _suited(network, np.stack(looks), chosen, source, slices), "reach": reach}


def _suited(
    network: Network, pictures: np.ndarray, chosen: Sequence[int], source: Source, slices: int
) -> dict[str, Any] | None:
    embeddings: list[np.ndarray] = []
    step = max(1, TOGETHER // slices)
    with torch.inference_mode():
        for start in range(0, len(chosen), step):
            seen = network.embedded(*source.read(chosen[start : start + step], None))
            if seen is None:
                return _plain(fit_suited(pictures, None))
            embeddings.append(seen.double().cpu().numpy())
    return _plain(fit_suited(pictures, np.concatenate(embeddings)))


def _plain(suited: Suited | None) -> dict[str, Any] | None:
    return None if suited is None else suited.model_dump(mode="json")
