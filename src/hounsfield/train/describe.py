"""What training cases are like, for the check of new ones: nothing that prediction would have to read the cases for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from hounsfield.models import Network
from hounsfield.prepare import Store
from hounsfield.prepare.suited import Suited, fit_suited, thumbnail
from hounsfield.train.batches import Source

MOST_CASES = 400
TOGETHER = 32


def describe(network: Network, store: Store, cases: Sequence[str], source: Source, slices: int) -> Suited | None:
    """Learn what cases are like, of at most 400 of them, evenly taken; None of fewer than 30.

    Parameters
    ----------
    source:
        Gives what the frozen front sees of `cases`; cached activations cost nothing.
    slices:
        The most that a case has.
    """
    chosen = np.unique(np.linspace(0, len(cases) - 1, min(len(cases), MOST_CASES)).astype(int)).tolist()
    rows = store.rows([cases[place] for place in chosen])
    pictures = np.stack([thumbnail(store.read(int(row))) for row in rows])
    embeddings: list[np.ndarray] = []
    step = max(1, TOGETHER // slices)
    with torch.inference_mode():
        for start in range(0, len(chosen), step):
            seen = network.embedded(*source.read(chosen[start : start + step], None))
            if seen is None:
                return fit_suited(pictures, None)
            embeddings.append(seen.double().cpu().numpy())
    return fit_suited(pictures, np.concatenate(embeddings))
