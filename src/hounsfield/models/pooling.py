"""The head for slices that are read one by one (2.5D): it looks along the sequence and says how much each slice counts.

A 2D backbone turns every slice of a case into a vector; this head turns the vectors of a case into its logits. It is
built so that it starts as plain mean pooling: before training every slice weighs the same and the recurrent layer adds
nothing, so that few labels can only move it away from the mean where that helps.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from hounsfield.errors import PlanError, UsageError

KINDS = ("lstm", "gru", "attention")


class SlicePooling(nn.Module):
    """Pool the slices of a case by gated attention, with or without a bidirectional recurrent layer before it.

    The features are normalised (LayerNorm). With `lstm` and `gru`, a bidirectional layer reads a narrow projection of
    them along the slices, and its states are projected back and added. The weight of slice i is the softmax over the
    slices of w·(tanh(V z) ⊙ sigmoid(U z)) (Ilse, Tomczak and Welling, ICML 2018, eq. 9); the logits are linear in the
    weighted mean of z.

    Parameters
    ----------
    kind:
        `lstm`, `gru` or `attention` (no recurrent layer).
    features, outputs:
        Length of a slice's vector; number of logits.
    dropout:
        Share of values that are dropped before the recurrent layer and before the classifier, in [0, 1).

    Raises
    ------
    PlanError
        If the kind is unknown.
    """

    def __init__(self, kind: str, features: int, outputs: int, dropout: float) -> None:
        super().__init__()
        if kind not in KINDS:
            raise PlanError(f"pooling: slices cannot be pooled by {kind!r}", fix=f"Choose from: {', '.join(KINDS)}.")
        # Few cases train this head, so that its width follows the backbone's only within narrow bounds.
        hidden = min(128, max(64, features // 8))
        self.kind = kind
        self.norm = nn.LayerNorm(features)
        self.dropout = nn.Dropout(dropout)
        self.recurrent: nn.LSTM | nn.GRU | None = None
        if kind != "attention":
            self.narrow = nn.Linear(features, hidden)
            layer = nn.LSTM if kind == "lstm" else nn.GRU
            self.recurrent = layer(hidden, hidden, batch_first=True, bidirectional=True)
            self.widen = nn.Linear(2 * hidden, features)
        self.look = nn.Linear(features, hidden)
        self.gate = nn.Linear(features, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)  # a bias would cancel in the softmax
        self.classifier = nn.Linear(features, outputs)
        self.reset()

    @torch.no_grad()
    def reset(self, generator: torch.Generator | None = None) -> None:
        """Give the head new weights: those of mean pooling, and logits near 0 ("undecided")."""
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2 and "weight_hh" in name:
                nn.init.orthogonal_(parameter, generator=generator)
            elif parameter.ndim == 2:
                nn.init.xavier_uniform_(parameter, generator=generator)
            else:
                nn.init.constant_(parameter, 1.0 if name == "norm.weight" else 0.0)
        self.score.weight.zero_()
        self.classifier.weight.normal_(0.0, 0.01, generator=generator)
        if self.recurrent is not None:
            self.widen.weight.zero_()
        if isinstance(self.recurrent, nn.LSTM):
            # The forget gate starts open, or what is seen in one slice fades before the next (Jozefowicz 2015).
            for name, parameter in self.recurrent.named_parameters():
                if name.startswith("bias_ih"):
                    parameter[self.recurrent.hidden_size : 2 * self.recurrent.hidden_size] = 1.0

    def forward(self, features: torch.Tensor, present: torch.Tensor | None = None) -> torch.Tensor:
        """Return the logits.

        Parameters
        ----------
        features:
            (cases, slices, features). What stands in padding has no influence, whatever it is.
        present:
            (cases, slices), True for slices and False for padding, which comes last; None where nothing is padded.

        Returns
        -------
        torch.Tensor
            (cases, outputs).

        Raises
        ------
        UsageError
            If a case has no slice, or padding stands before a slice.
        """
        return self.pooled(features, present)[0]

    def weights(self, features: torch.Tensor, present: torch.Tensor | None = None) -> torch.Tensor:
        """Return how much each slice counts: (cases, slices), summing to 1 over the slices and exactly 0 in padding."""
        return self.pooled(features, present)[1]

    def pooled(self, features: torch.Tensor, present: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits (cases, outputs) and the weights of the slices (cases, slices), computed once."""
        features = features.to(self.norm.weight.dtype)  # activations may come from a cache in half precision
        if present is not None:
            _check(present)
            features = features.masked_fill(~present[..., None], 0.0)
        along = self._along_slices(self.norm(features), present)
        scores = self.score(torch.tanh(self.look(along)) * torch.sigmoid(self.gate(along)))[..., 0]
        if present is not None:
            scores = scores.masked_fill(~present, -torch.inf)
        weights = torch.softmax(scores, dim=1)
        mean = (weights[:, None] @ along)[:, 0]
        return self.classifier(self.dropout(mean)), weights

    def _along_slices(self, features: torch.Tensor, present: torch.Tensor | None) -> torch.Tensor:
        """Add to each slice's features what the recurrent layer makes of the slices on both of its sides."""
        if self.recurrent is None:
            return features
        narrow = self.narrow(self.dropout(features))
        if present is None:
            states = self.recurrent(narrow)[0]
        else:
            # Packed, the backward direction starts at the last slice and never sees the padding behind it.
            lengths = present.sum(dim=1).cpu()
            packed = pack_padded_sequence(narrow, lengths, batch_first=True, enforce_sorted=False)
            states, _ = pad_packed_sequence(self.recurrent(packed)[0], batch_first=True, total_length=features.shape[1])
        return features + self.widen(states)


def _check(present: torch.Tensor) -> None:
    if not bool(present[:, 0].all()) or bool((present[:, 1:] & ~present[:, :-1]).any()):
        raise UsageError(
            "a case has no slice, or padding before a slice", fix="Put the slices first and the padding last."
        )
