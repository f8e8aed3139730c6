"""The trained part of a network: the stages that are not frozen, the head, and what joins the slices of a case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from hounsfield.models.device import laid_out
from hounsfield.models.head import StageHead, summary
from hounsfield.models.masking import valid_depth
from hounsfield.models.pooling import SlicePooling

# Slices that are in the network at once; a 600-slice CT passes in pieces. For the gradient, up to `WHOLE` go together: a
# batch has no more, and pieces cost a second forward pass.
PIECE, WHOLE = 64, 128


class Tail(nn.Module):
    """What is trained: the stages that are not frozen, the head, and what joins the slices of a case.

    Attributes
    ----------
    model:
        The timm (or 3D) model with its frozen modules taken out.
    groups:
        Names of the modules that are left, stage by stage, input first; None where the backbone can only be run whole
        (then `whole` says whether its features belong to the tail).
    chained:
        The modules are called one after the other; else through `forward_features`.
    sees_stages:
        The features of a slice are those of all stages here and of the front's last, and not of the last map alone.
    head:
        Takes the classifier's place where it sees stages; or None.
    pooling:
        Joins the features of a case's slices; None where a case's logit is the mean over its slices, or for volumes.
    volume:
        Activations are volumes: one per case, not one per slice.
    channels_last:
        The backbone's maps have their channels last, as those of Swin.
    depths:
        For volumes: at position k, how many cells along depth the front makes of k slices.
    """

    model: Any
    depths: Any  # a tensor, or None

    def __init__(
        self,
        model: nn.Module,
        groups: list[list[str]] | None,
        *,
        chained: bool,
        whole: bool,
        depths: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.groups = groups
        self.chain = [name for group in groups for name in group] if groups is not None and chained else None
        self.whole = whole
        self.sees_stages = False
        self.head: StageHead | None = None
        self.pooling: SlicePooling | None = None
        self.volume = depths is not None
        self.channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"
        self.register_buffer("depths", depths, persistent=False)
        # The last feature map, as a module of its own, so that Grad-CAM has a place to stand whatever is frozen.
        self.last_map = nn.Identity()

    def forward(self, activations: torch.Tensor, counts: torch.Tensor | None = None) -> torch.Tensor:
        """Return logits.

        Parameters
        ----------
        activations:
            What `Network.activate` gave: (cases, slices, …), or (cases, channels, depth, height, width) of volumes.
        counts:
            (cases,) how many slices of each case are real, the rest being padding; None where all are.

        Returns
        -------
        (cases, outputs)
        """
        return self.judge(activations, counts)[0]

    def judge(
        self, activations: torch.Tensor, counts: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return logits, and how much each slice counted in its case's: (cases, slices), sums 1, padding 0.

        A volume is seen as a whole, and its slices have no weights.
        """
        if self.volume:
            with valid_depth(self.model, None if counts is None else self.depths[counts]):
                return self.frames(activations), None
        present = present_slices(counts, activations.shape[1])
        return self.join(self._of_slices(activations, present), present)

    def features(self, activations: torch.Tensor, counts: torch.Tensor | None = None) -> torch.Tensor:
        """(cases, slices, …) → (cases, slices, values): what `join` makes logits of; 0 in padding. Not of volumes."""
        return self._of_slices(activations, present_slices(counts, activations.shape[1]))

    def join(self, features: torch.Tensor, present: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits and the weights of the slices, as `judge`, from the `features` of slices; `present` is true where they are real."""
        if self.pooling is not None:
            return self.pooling.pooled(features, present)
        shares = features.new_ones(features.shape[:2]) if present is None else present.to(features.dtype)
        shares = shares / shares.sum(dim=1, keepdim=True)
        return (features * shares[..., None]).sum(dim=1), shares

    def frames(self, activations: torch.Tensor) -> torch.Tensor:
        """(frames, …) activations → (frames, outputs) logits of single slices, or their features where slices are pooled."""
        if self.sees_stages:
            features = self.stage_features(activations)
            return features if self.head is None else self.head(features)
        return self.finish(self.maps(activations))

    def maps(self, activations: torch.Tensor) -> torch.Tensor:
        """(frames, …) activations → the last feature map, (frames, channels, …) in whatever order the backbone has it."""
        if self.chain is not None:
            for name in self.chain:
                activations = self.model.get_submodule(name)(activations)
        elif self.whole:
            activations = self.model.forward_features(activations)
        # In a memory order of its own again: MONAI's Grad-CAM++ takes views of it.
        return self.last_map(activations.permute(0, 3, 1, 2).contiguous() if self.channels_last else activations)

    def finish(self, maps: torch.Tensor) -> torch.Tensor:
        """What `maps` gave → (frames, outputs), through the backbone's own head; or features, where that has no classifier."""
        return self.model.forward_head(maps.permute(0, 2, 3, 1) if self.channels_last else maps)

    def stage_features(self, activations: torch.Tensor) -> torch.Tensor:
        """(frames, …) → (frames, features): a summary of every stage's maps, and what the classifier would have seen."""
        found = [summary(activations)]
        stages = [names for names in self.groups or [] if names]
        for place, names in enumerate(stages):
            for name in names:
                activations = self.model.get_submodule(name)(activations)
            if place < len(stages) - 1:
                found.append(summary(activations))
        return torch.cat([*found, self.finish(self.last_map(activations))], dim=1)

    def _of_slices(self, activations: torch.Tensor, present: torch.Tensor | None) -> torch.Tensor:
        """(cases, slices, …) → (cases, slices, features). Padding is not computed, and is 0."""
        flat = activations.flatten(0, 1)
        if present is None:
            return self._gradually(flat).unflatten(0, activations.shape[:2])
        real = present.flatten()
        some = self._gradually(flat[real])
        features = some.new_zeros(len(real), some.shape[1])
        features[real] = some
        return features.unflatten(0, activations.shape[:2])

    def _gradually(self, flat: torch.Tensor) -> torch.Tensor:
        """A CT of hundreds of slices goes through in pieces, whose inner activations are computed again for the gradient."""
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            if len(flat) <= WHOLE:
                return self.frames(laid_out(flat))
            pieces = [checkpoint(self.frames, piece, use_reentrant=False) for piece in in_pieces(flat)]
            return torch.cat([piece for piece in pieces if isinstance(piece, torch.Tensor)])
        return torch.cat([self.frames(piece) for piece in in_pieces(flat)])


def in_pieces(frames: torch.Tensor) -> Sequence[torch.Tensor]:
    """Split frames so that memory does not grow with their number; an exported graph leaves that to its runtime."""
    if torch.compiler.is_compiling():
        return [frames]
    return [laid_out(piece) for piece in frames.split(PIECE)]


def present_slices(counts: torch.Tensor | None, slices: int) -> torch.Tensor | None:
    """(cases,) counts → (cases, slices), true where a slice is real; padding stands at the end."""
    if counts is None:
        return None
    return torch.arange(slices, device=counts.device)[None, :] < counts[:, None]
