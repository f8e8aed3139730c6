"""All that a network can tell of a case in one pass: logits, and beside them what shows where, how like, and which slice."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from hounsfield.models.network import Network
from hounsfield.models.tail import Tail

LOGITS, CLASS_MAP, EMBEDDING, SLICE_WEIGHTS = "logits", "class_map", "embedding", "slice_weights"
# Logits, as a share of the greatest, by which the sum of a class map may differ from them: float32 sums no closer.
_EXACT = 1e-4


class Answers(nn.Module):
    """A network whose answer is a tuple of what `tells` names, in this order.

    - `logits`, (cases, outputs): the mean of members and of the mirrored image, as `Network.forward`.
    - `class_map`, (cases, outputs, h, w), (cases, slices, outputs, h, w) of several slices, (cases, outputs, d, h, w) of
      volumes: how much each cell of the last feature map adds to each logit, so that the mean of its cells plus the head's
      bias is the logit (class activation maps, Zhou et al., CVPR 2016). It is the mean gradient times the feature map times the
      number of cells, Grad-CAM before its ReLU (Selvaraju et al., ICCV 2017, section 3.1). Only where that is exact: the
      head is a mean over the map and a linear layer, and the logits of slices are averaged.
    - `embedding`, (cases, values): `Network.embedded`, for the input check. Only of a frozen front, not of volumes.
    - `slice_weights`, (cases, slices), of several slices: how much each counted.

    Parameters
    ----------
    example:
        (cases, slices, channels, H, W), on which it is tried what the network can tell.
    several:
        A case may have several slices.
    """

    def __init__(self, network: Network, example: torch.Tensor, *, several: bool) -> None:
        super().__init__()
        self.network = network
        self.several = several and not network.volume
        self.mapped = False
        with torch.inference_mode():
            embeds = network.judge_and_embed(example)[2] is not None
            self.mapped = self._is_linear(example)
        told = (
            (LOGITS, True), (CLASS_MAP, self.mapped), (EMBEDDING, embeds), (SLICE_WEIGHTS, self.several),
        )  # fmt: skip
        self.tells = tuple(name for name, is_told in told if is_told)

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        logits, maps, weights = [], [], []
        embedding: torch.Tensor | None = None
        for number, shown in enumerate((inputs, inputs.flip(-1)) if self.network.flip else (inputs,)):
            activations = self.network.activate(shown)
            if number == 0 and EMBEDDING in self.tells:
                embedding = self.network.embedded(activations)
            for tail in self.network.tails:
                if self.mapped:
                    found, share, each = self._mapped(tail, activations)
                    maps.append(each.flip(-1) if number else each)
                else:
                    found, share = tail.judge(activations)
                logits.append(found)
                weights.append(share)
        answers = {LOGITS: torch.stack(logits).mean(dim=0)}
        if maps:
            answers[CLASS_MAP] = torch.stack(maps).mean(dim=0)
        if embedding is not None:
            answers[EMBEDDING] = embedding
        if self.several:
            answers[SLICE_WEIGHTS] = torch.stack([cast(torch.Tensor, share) for share in weights]).mean(dim=0)
        return tuple(answers[name] for name in self.tells)

    def _mapped(self, tail: Tail, activations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
        """Return logits and weights as `Tail.judge`, and the class map, from one pass through the tail."""
        cells = tail.maps(activations if tail.volume else activations.flatten(0, 1))
        logits = tail.finish(cells)
        each = torch.einsum("nc...,oc->no...", cells, tail.model.get_classifier().weight)
        if tail.volume:
            return logits, None, each
        joined, weights = tail.join(logits.unflatten(0, activations.shape[:2]))
        return joined, weights, each.unflatten(0, activations.shape[:2]) if self.several else each

    def _is_linear(self, example: torch.Tensor) -> bool:
        """Try it: do the cells of the map add up to the logits?"""
        activations = self.network.activate(example)
        for tail in self.network.tails:
            classifier = tail.model.get_classifier()
            if tail.pooling is not None or tail.sees_stages or not isinstance(classifier, nn.Linear):
                return False
            cells = tail.maps(activations if tail.volume else activations.flatten(0, 1))
            if cells.ndim != (5 if tail.volume else 4) or cells.shape[1] != classifier.in_features:
                return False
            wanted = tail.finish(cells)
            found = cells.flatten(2).mean(dim=2) @ classifier.weight.T
            found = found if classifier.bias is None else found + classifier.bias
            if not torch.allclose(found, wanted, atol=_EXACT * float(wanted.abs().max().clamp(min=1e-3))):
                return False
        return True
