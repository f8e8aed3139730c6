"""One case as a function of what is shown of it: what methods change, and the logit that they watch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from hounsfield.core.recipe import Normalise, Recipe, Repeat
from hounsfield.errors import UsageError
from hounsfield.models import Network, present_slices, stacked
from hounsfield.models.runtime import Run
from hounsfield.prepare import network_input

# Standard deviation of the blur that hides what a method takes away, as a share of the shorter side: what is left has the
# brightness of the place, and no edge that the network has never seen.
BLUR = 0.1
# Images that go through the network together while a method tries its changes: at most so many, and of larger ones, and of
# volumes, as many as have the pixels of 16 images of 224 × 224, because it is pixels that take the memory.
TOGETHER = 16
PIXELS = TOGETHER * 224 * 224


def _nobody(questions: int) -> None:
    """Nobody counts the questions."""


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
    activation:
        What the frozen front makes of the chosen slice, (…), or of the volume, as they are.
    heard:
        Is told how many questions were asked, whenever the network has answered some.
    features:
        What each tail makes of all slices, (1, slices, values), by whether they were mirrored: filled when first needed, so
        that the other slices are seen once, and not again for each change.
    quick:
        Does what the front does, faster, where no gradient is asked for; None where torch does it.
    answered:
        Takes the place of `score`, where the answers to all questions are known.
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
    activation: torch.Tensor
    heard: Callable[[int], None] = _nobody
    features: dict[bool, list[torch.Tensor]] = field(default_factory=dict)
    quick: Run | None = None
    answered: Callable[[torch.Tensor], torch.Tensor] | None = None

    @property
    def together(self) -> int:
        """How many of `shown` may go through the network at once."""
        return max(1, min(TOGETHER, PIXELS // self.shown[0].numel()))

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
        return scores([self], shown)[0] if self.answered is None else self.answered(shown)

    def features_of(self, mirrored: bool) -> list[torch.Tensor]:
        """Return (1, slices, values) for each tail, of all slices as they are or of their mirror images."""
        if mirrored not in self.features:
            inputs = torch.from_numpy(network_input(self.stored, self.recipe)).to(self.device)[None]
            with torch.no_grad():
                activations = self.network.activate(inputs.flip(-1) if mirrored else inputs)
                self.features[mirrored] = [tail.features(activations) for tail in self.network.tails]
        return self.features[mirrored]

    def _seen(self, shown: torch.Tensor) -> torch.Tensor:
        """What the front makes of `shown`."""
        inputs = self._normalised(shown)
        if self.chosen is None:
            return self.network.activate(inputs.transpose(1, 2))
        if self.quick is not None and not torch.is_grad_enabled():
            return self.quick(inputs)[:, None]
        return self.network.activate(inputs[:, None])

    def _logits(self, activations: torch.Tensor, mirrored: bool) -> torch.Tensor:
        """The logits of the case as what the front made of it says, the chosen slice among the others as they were."""
        if self.chosen is None:
            return torch.stack([tail(activations) for tail in self.network.tails]).mean(dim=0)
        found = []
        for place, tail in enumerate(self.network.tails):
            features = tail.features(activations)
            if len(self.stored) > 1:
                others = self.features_of(mirrored)[place].expand(len(features), -1, -1)
                features = torch.cat([others[:, : self.chosen], features, others[:, self.chosen + 1 :]], dim=1)
            found.append(tail.join(features)[0])
        return torch.stack(found).mean(dim=0)

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


def scores(subjects: Sequence[Subject], shown: torch.Tensor) -> torch.Tensor:
    """Return `Subject.score` of one case before several networks that share their front: (networks, n); the front looks once."""
    first = subjects[0]
    sides = (False, True) if first.network.flip else (False,)
    found = []
    for piece in shown.split(first.together):
        each = []
        for mirrored in sides:
            activations = first._seen(piece.flip(-1) if mirrored else piece)
            each.append(torch.stack([one._logits(activations, mirrored)[:, one.output] * one.sign for one in subjects]))
        found.append(torch.stack(each).mean(dim=0))
        first.heard(len(piece) * len(subjects))
    return torch.cat(found, dim=1)


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
    _check_label(target, labels)
    inputs = torch.from_numpy(network_input(stored, recipe)).to(device)[None]
    with torch.no_grad():
        outputs = network.judge(inputs)[0].shape[2]
    return subjects_of(network, [stored], recipe, labels, [target], device, outputs=outputs)[0]


def subjects_of(
    network: Network,
    cases: Sequence[np.ndarray],
    recipe: Recipe,
    labels: list[str],
    targets: Sequence[str],
    device: torch.device,
    *,
    outputs: int,
    heard: Callable[[int], None] = _nobody,
) -> list[Subject]:
    """Return cases of (slices, channels, H, W), each with its target, as `subject_of` does; they pass the network in one batch.

    Parameters
    ----------
    outputs:
        How many logits the network gives.
    heard:
        As in `Subject`.
    """
    asked = []
    for target in targets:
        _check_label(target, labels)
        output = 0 if outputs == 1 else labels.index(target)
        asked.append((target, output, -1.0 if outputs == 1 and len(labels) == 2 and target == labels[0] else 1.0))
    if network.volume:
        whole = [torch.from_numpy(network_input(case, recipe)).to(device)[None] for case in cases]
        with torch.no_grad():
            # One at a time: a volume takes as much memory as a batch of images.
            seen = [_Seen(None, None, network.activate(inputs)[0], {}) for inputs in whole]
    else:
        seen = _look(network, [network_input(case, recipe) for case in cases], asked, device)
    return [
        Subject(
            network, case, recipe, *one, device, look.chosen, look.weight, look.activation, heard, look.features,
        )
        for case, one, look in zip(cases, asked, seen, strict=True)
    ]  # fmt: skip


@dataclass(frozen=True)
class _Seen:
    """What one look at a case tells, as in `Subject`."""

    chosen: int | None
    weight: float | None
    activation: torch.Tensor
    features: dict[bool, list[torch.Tensor]]


def _look(
    network: Network, cases: Sequence[np.ndarray], asked: Sequence[tuple[str, int, float]], device: torch.device
) -> list[_Seen]:
    """Look at cases of slices; where one has several, the tails say which speaks most for the target, and how much it counts."""
    inputs, counts = stacked(cases)
    inputs, counts = inputs.to(device), None if counts is None else counts.to(device)
    with torch.no_grad():
        activations = network.activate(inputs)
        if inputs.shape[1] == 1:
            return [_Seen(0, None, activation[0], {}) for activation in activations]
        present = present_slices(counts, inputs.shape[1])
        features = {False: [tail.features(activations, counts) for tail in network.tails]}
        if network.flip:
            mirrored = network.activate(inputs.flip(-1))
            features[True] = [tail.features(mirrored, counts) for tail in network.tails]
        weights = torch.stack([
            tail.join(values, present)[1]
            for each in features.values()
            for tail, values in zip(network.tails, each, strict=True)
        ]).mean(dim=0)  # fmt: skip
        alone = torch.stack([
            tail.join(values.flatten(0, 1)[:, None])[0].unflatten(0, values.shape[:2])
            for tail, values in zip(network.tails, features[False], strict=True)
        ]).mean(dim=0)  # fmt: skip
    seen = []
    for row, (case, (_, output, sign)) in enumerate(zip(cases, asked, strict=True)):
        count = len(case)
        chosen = int((alone[row, :count, output] * sign).argmax())
        own = {side: [values[row : row + 1, :count] for values in each] for side, each in features.items()}
        # A copy, so that the other slices do not stay in memory.
        activation = activations[row, chosen].clone()
        seen.append(_Seen(chosen, float(weights[row, chosen]) if count > 1 else None, activation, own))
    return seen


def _check_label(target: str, labels: Sequence[str]) -> None:
    if target not in labels:
        raise UsageError(f"there is no label {target!r}", fix=f"Choose from: {', '.join(labels)}.")
