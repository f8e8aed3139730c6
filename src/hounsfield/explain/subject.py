"""One case as a function of what is shown of it: what methods change, and the logit that they watch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from hounsfield.core.recipe import Normalise, Recipe, Repeat
from hounsfield.errors import UsageError
from hounsfield.models import Network
from hounsfield.prepare import network_input

# Standard deviation of the blur that hides what a method takes away, as a share of the shorter side: what is left has the
# brightness of the place, and no edge that the network has never seen.
BLUR = 0.1
# Images that go through the network together while a method tries its changes.
TOGETHER = 16


@dataclass(frozen=True)
class Subject:
    """A case, the label that is asked for, and the network.

    Attributes
    ----------
    stored:
        (slices, channels, H, W) float32 in [0, 1], as the recipe's stored steps give them.
    output, sign:
        Which logit stands for the target; −1 where the target is its absence.
    chosen:
        The slice that methods change, the others staying as they are; None for a volume, which is changed as a whole.
    weight:
        How much the chosen slice counted in the case's logit, of 1; None for single images and volumes.
    """

    network: Network
    stored: np.ndarray
    recipe: Recipe
    target: str
    output: int
    sign: float
    device: torch.device
    chosen: int | None
    weight: float | None

    @cached_property
    def shown(self) -> torch.Tensor:
        """What methods change: (channels, H, W) of the chosen slice, or (channels, slices, H, W) of a volume."""
        values = self.stored.swapaxes(0, 1) if self.chosen is None else self.stored[self.chosen]
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)

    @cached_property
    def hidden(self) -> torch.Tensor:
        """What takes the place of what is taken away: the same, blurred within each slice."""
        shown = self.shown.cpu().numpy()
        sigma = BLUR * min(shown.shape[-2:])
        blurred = gaussian_filter(shown, [*[0.0] * (shown.ndim - 2), sigma, sigma], mode="nearest")
        return torch.from_numpy(blurred).to(self.device)

    def score(self, shown: torch.Tensor) -> torch.Tensor:
        """(n, …) of what `shown` is → (n,), the logit of the target, as prediction gives it; differentiable."""
        return torch.cat([self._score(piece) for piece in shown.split(TOGETHER)])

    def _score(self, shown: torch.Tensor) -> torch.Tensor:
        sides = (False, True) if self.network.flip else (False,)
        found = torch.stack([self._of(shown.flip(-1) if mirrored else shown, mirrored) for mirrored in sides])
        return found.mean(dim=0)[:, self.output] * self.sign

    def _of(self, shown: torch.Tensor, mirrored: bool) -> torch.Tensor:
        inputs = self._normalised(shown)
        activations = self.network.activate(inputs.transpose(1, 2) if self.chosen is None else inputs[:, None])
        if self.chosen is not None and len(self.stored) > 1:
            # The other slices are seen once, and not again for each change.
            others = self._unchanged[mirrored].expand(len(shown), *self._unchanged[mirrored].shape[1:])
            activations = torch.cat([others[:, : self.chosen], activations, others[:, self.chosen + 1 :]], dim=1)
        return torch.stack([tail(activations) for tail in self.network.tails]).mean(dim=0)

    @cached_property
    def _unchanged(self) -> dict[bool, torch.Tensor]:
        """What the front makes of all slices as they are, and of their mirror images: (1, slices, …)."""
        inputs = torch.from_numpy(network_input(self.stored, self.recipe)).to(self.device)[None]
        with torch.no_grad():
            return {
                mirrored: self.network.activate(inputs.flip(-1) if mirrored else inputs) for mirrored in (False, True)
            }

    def _normalised(self, shown: torch.Tensor) -> torch.Tensor:
        """The recipe's late steps, so that gradients pass through them."""
        for step in self.recipe.late:
            if isinstance(step, Repeat) and shown.shape[1] == 1:
                shown = shown.expand(-1, step.channels, *shown.shape[2:])
            elif isinstance(step, Normalise):
                shape = (1, -1, *[1] * (shown.ndim - 2))
                mean, std = (shown.new_tensor(values).reshape(shape) for values in (step.mean, step.std))
                shown = (shown - mean) / std
        return shown


def subject_of(
    network: Network, stored: np.ndarray, recipe: Recipe, labels: list[str], target: str, device: torch.device
) -> Subject:
    """Return a case as a subject; of several slices the one that speaks most for the target is changed.

    Parameters
    ----------
    labels, target:
        The bundle's labels in order, and the one to explain. In a binary task the first label is the absence of the
        second, and is explained by the negative of the one logit.

    Raises
    ------
    UsageError
        If there is no such label.
    """
    if target not in labels:
        raise UsageError(f"there is no label {target!r}", fix=f"Choose from: {', '.join(labels)}.")
    inputs = torch.from_numpy(network_input(stored, recipe)).to(device)[None]
    with torch.no_grad():
        logits, weights = network.judge(inputs)
        single = logits.shape[2] == 1
        output = 0 if single else labels.index(target)
        sign = -1.0 if single and len(labels) == 2 and target == labels[0] else 1.0
        chosen = None if network.volume else 0
        if chosen is not None and len(stored) > 1:
            activations = network.activate(inputs).transpose(0, 1)
            alone = torch.stack([tail(activations) for tail in network.tails]).mean(dim=0)
            chosen = int((alone[:, output] * sign).argmax())
    weight = None if weights is None or chosen is None or len(stored) == 1 else float(weights[0, chosen])
    return Subject(network, stored, recipe, target, output, sign, device, chosen, weight)
