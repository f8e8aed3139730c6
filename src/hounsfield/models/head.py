"""A head that sees every trained stage: fine texture from the early ones, the whole picture from the last."""

from __future__ import annotations

import torch
from torch import nn


class StageHead(nn.Module):
    """Normalise features of unlike scales, drop some, weigh the rest: (n, features) → (n, outputs).

    Few labels cannot teach the last stage to carry texture that an earlier one has already; so the head is given both
    (compare hypercolumns, Hariharan et al., CVPR 2015).
    """

    def __init__(self, features: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(features)
        self.drop = nn.Dropout(dropout)
        self.classifier = nn.Linear(features, outputs)
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Give the head new weights, with logits near 0 ("undecided"), and statistics that have seen nothing."""
        self.norm.reset_parameters()
        self.classifier.weight.normal_(0.0, 0.01)
        self.classifier.bias.zero_()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.drop(self.norm(features)))


def summary(values: torch.Tensor) -> torch.Tensor:
    """(n, channels, h, w) → (n, 2 · channels): the mean and the greatest value of each map."""
    return torch.cat([values.mean(dim=(2, 3)), values.amax(dim=(2, 3))], dim=1)
