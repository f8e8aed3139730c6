"""The network: a frozen front that all members share, and one trained tail per member; their logits are averaged.

One member is the ordinary case. Several are the seeds or the folds of one run; since the front is shared and its output
can be cached, they cost little more than one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from hounsfield.core.plan import Plan, Weights
from hounsfield.errors import BundleError, PlanError
from hounsfield.models.cut import cut
from hounsfield.models.head import StageHead
from hounsfield.models.inflate import pretrained_volume
from hounsfield.models.masking import valid_depth
from hounsfield.models.pooling import SlicePooling
from hounsfield.models.tail import Tail, in_pieces
from hounsfield.models.weights import pretrained


class Network(nn.Module):
    """Front and tails as one module: (cases, slices, channels, H, W) → (cases, outputs), the mean of the members' logits."""

    def __init__(self, front: nn.Module, members: list[Tail], *, flip: bool = False) -> None:
        super().__init__()
        self.front = front
        self.flip = flip
        self.members = nn.ModuleList(members)
        self.volume = members[0].volume
        for parameter in self.front.parameters():
            parameter.requires_grad_(False)

    @property
    def tails(self) -> list[Tail]:
        return [cast(Tail, member) for member in self.members]

    def activate(self, inputs: torch.Tensor, counts: torch.Tensor | None = None) -> torch.Tensor:
        """Run the frozen front: (cases, slices, channels, H, W) → (cases, slices, …), or (cases, …) of volumes."""
        if self.volume:
            with valid_depth(self.front, counts):
                return self.front(inputs.transpose(1, 2))
        pieces = [self.front(piece) for piece in in_pieces(inputs.flatten(0, 1))]
        return torch.cat(pieces).unflatten(0, inputs.shape[:2])

    def embedded(self, activations: torch.Tensor, counts: torch.Tensor | None = None) -> torch.Tensor | None:
        """Return (cases, values): mean and spread of what `activate` gave, of slices the mean.

        None without a frozen front, and of volumes, whose padding would count for something.
        """
        if self.volume or not any(True for _ in self.front.parameters()):
            return None
        # (cases, slices, channels, H, W); tokens, and the maps of some transformers, have their channels last.
        last = activations.ndim == 4 or self.tails[0].channels_last
        flat = activations.flatten(2, -2).transpose(2, 3) if last else activations.flatten(3)
        seen = torch.cat([flat.mean(-1), flat.std(-1)], dim=2)
        if counts is None:
            return seen.mean(dim=1)
        real = (torch.arange(seen.shape[1], device=seen.device) < counts[:, None]).to(seen.dtype)[..., None]
        return (seen * real).sum(dim=1) / real.sum(dim=1)

    def judge(
        self, inputs: torch.Tensor, counts: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return each member's logits, (cases, members, outputs), and the weights of the slices, (cases, slices)."""
        logits, weights, _ = self._seen(inputs, counts, embed=False)
        return logits, weights

    def judge_and_embed(
        self, inputs: torch.Tensor, counts: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """As `judge`, and what `embedded` gives, for which the front runs only once."""
        return self._seen(inputs, counts, embed=True)

    def _seen(
        self, inputs: torch.Tensor, counts: torch.Tensor | None, *, embed: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Where the plan says so, the mirrored image is judged too, and the mean of both logits counts. Single images and
        volumes have no weights.
        """
        found, embedding = [], None
        for number, shown in enumerate((inputs, inputs.flip(-1)) if self.flip else (inputs,)):
            activations = self.activate(shown, counts)
            if embed and number == 0:
                embedding = self.embedded(activations, counts)
            found += [tail.judge(activations, counts) for tail in self.tails]
        members = len(self.members)
        logits = torch.stack([logits for logits, _ in found], dim=1)
        weights = [each for _, each in found if each is not None and inputs.shape[1] > 1]
        if self.flip:
            logits = (logits[:, :members] + logits[:, members:]) / 2
        return logits, torch.stack(weights).mean(dim=0) if weights else None, embedding

    def forward(self, inputs: torch.Tensor, counts: torch.Tensor | None = None) -> torch.Tensor:
        return self.judge(inputs, counts)[0].mean(dim=1)

    def train(self, mode: bool = True) -> Network:
        """Set the mode; the frozen front stays in evaluation mode, its batch norm untouched."""
        super().train(mode)
        self.front.eval()
        return self

    def save(self, path: Path) -> None:
        save_file({name: value.contiguous() for name, value in self.state_dict().items()}, path)

    def load(self, path: Path) -> Network:
        """Load weights that `save` wrote.

        Raises
        ------
        BundleError
            If the file is no safetensors file or does not fit the plan.
        """
        try:
            self.load_state_dict(load_file(path))
        except (SafetensorError, RuntimeError, OSError) as error:
            raise BundleError("the weights do not fit the plan of this bundle", where=path) from error
        return self.eval()


def build(plan: Plan, members: int | None = None, *, blank: bool = False) -> Network:
    """Build the network of a plan: pretrained (or `blank`, where weights are loaded next), head sized to the outputs.

    Members start as copies of each other; make each its own with `renew`.

    Raises
    ------
    WeightsError, PlanError
        If the weights are not at hand, or the backbone cannot be frozen as the plan says.
    """
    weights = Weights(source="none") if blank else plan.weights.value
    with _seeded(plan.seed.value):
        front, tail = cut(_model(plan, weights), plan.frozen.value, shape=probe_shape(plan))
        _finish(tail, front, plan)
    count = plan.members.value if members is None else members
    return Network(front, [copy.deepcopy(tail) for _ in range(count)], flip=plan.flip_at_test.value).eval()


def renew(tail: Tail, plan: Plan, seed: int) -> None:
    """Make a member its own: new small weights of the head, and, where nothing is pretrained, of all that it trains.

    A head that starts near 0 answers "undecided" and loses no early epochs.
    """
    with _seeded(seed), torch.no_grad():
        if plan.weights.value.source == "none":
            other = cut(_model(plan, plan.weights.value), plan.frozen.value, shape=probe_shape(plan))[1]
            tail.model.load_state_dict(other.model.state_dict())
        for end in (tail.pooling, tail.head):
            if end is not None:
                end.reset()
                return
        for name, parameter in tail.model.get_classifier().named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            else:
                parameter.normal_(0.0, 0.01)


def probe_shape(plan: Plan) -> tuple[int, ...]:
    """Return the shape of what the backbone takes: (channels, H, W), or (channels, slices, H, W) of volumes."""
    depth = (plan.slices.value,) if plan.dimension.value == "3d" else ()
    return plan.channels.value, *depth, *plan.size.value


def _model(plan: Plan, weights: Weights) -> Any:
    settings = {"num_classes": len(plan.outputs), "in_chans": plan.channels.value}
    if plan.dimension.value == "3d":
        size = probe_shape(plan)[1:]
        model = pretrained_volume(plan.backbone.value, weights, size=size, drop_rate=plan.dropout.value, **settings)
    else:
        model = pretrained(plan.backbone.value, weights, drop_rate=plan.dropout.value, **settings)
    if _is_pooled(plan) or plan.head.value == "stages":
        model.reset_classifier(0)
    return model.eval()


def _finish(tail: Tail, front: nn.Module, plan: Plan) -> None:
    """Give a tail what takes the place of the backbone's classifier, if the plan says so."""
    if not _is_pooled(plan) and plan.head.value == "last":
        return
    unseen = tail.chain is None or tail.channels_last or plan.frozen.value == "none" or tail.volume
    if plan.head.value == "stages" and unseen:
        raise PlanError(
            f"head: 'stages' needs a 2D backbone of convolutions that is frozen up to a stage, not "
            f"{plan.backbone.value} with frozen: {plan.frozen.value!r}",
            fix="Set head to last, or frozen to stem or through stage 1, 2, …",
        )
    tail.eval().sees_stages = plan.head.value == "stages"
    with torch.inference_mode():
        features = tail.frames(front(torch.zeros(1, *probe_shape(plan))))
    if _is_pooled(plan):
        tail.pooling = _pooling(plan, features.shape[1])
    else:
        tail.head = StageHead(features.shape[1], len(plan.outputs), plan.dropout.value)


def _is_pooled(plan: Plan) -> bool:
    return plan.dimension.value == "2.5d" and plan.pooling.value != "mean"


def _pooling(plan: Plan, features: int) -> SlicePooling:
    return SlicePooling(plan.pooling.value, features, len(plan.outputs), plan.dropout.value)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draw new weights from a seed, and leave the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
