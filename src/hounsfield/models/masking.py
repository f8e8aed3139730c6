"""3D networks that do not see padding: volumes of unequal depth in one batch give what each would give alone.

Slices that were appended to fill a batch would otherwise shift every answer: a convolution's and a norm's bias turn
zeros into values, which leak back into the real slices and into the mean. While `valid_depth` is in force, what a layer
computes beyond a volume's end is set to what the layer would have met at a border, so that the logits are those of the
volume without padding. How many cells are valid at a level follows from the arithmetic of the layers along depth.

A network that is cut in two keeps working: the valid cells of what its front hands over are looked up in `depth_table`.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hounsfield.errors import PlanError

# Layers that turn zeros into zeros and work cell by cell.
_KEEPS_ZERO = (nn.ReLU, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Identity, nn.Dropout, nn.Dropout3d)
_POOLS = (nn.MaxPool3d, nn.AvgPool3d)
# Their statistics run over the whole depth of a case.
_REFUSED = (nn.GroupNorm, nn.InstanceNorm3d, nn.LayerNorm)


class Depths:
    """The valid cells along depth of every level of one network, learnt while it runs.

    Parameters
    ----------
    lengths:
        (n,) integers, the valid slices of each volume of the batch; fewer than 1 count as 1.
    masking:
        False only counts cells and leaves the tensors as they are.
    """

    def __init__(self, lengths: torch.Tensor, *, masking: bool = True) -> None:
        self._given = lengths.long().clamp(min=1)
        self._masking = masking
        self._root: nn.Module | None = None
        self._thread = threading.get_ident()
        self._lengths: dict[int, torch.Tensor] = {}  # padded depth of a level → valid cells of each volume
        self._masks: dict[int, torch.Tensor] = {}
        self._packed: list[torch.Tensor] = []
        self._full = False

    def of(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the (n,) valid cells of an activation (n, channels, depth, height, width) of this run."""
        return self._at(tensor.shape[2])

    @contextmanager
    def following(self, module: nn.Module) -> Iterator[Depths]:
        """Follow (and mask) everything the module runs inside the block."""
        self._root = module
        handles: list[Any] = []
        try:
            for inner in module.modules():
                handles.append(inner.register_forward_pre_hook(self._before))
                if next(inner.children(), None) is None:
                    handles.append(inner.register_forward_hook(self._after))
            yield self
        finally:
            for handle in handles:
                handle.remove()

    def _before(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        # Hooks are seen by every thread that runs the module; the lengths are those of this one.
        if threading.get_ident() != self._thread or not args or not _is_volume(args[0]):
            return None
        inputs: torch.Tensor = args[0]
        if module is self._root or not self._lengths:
            self._start(inputs)
            if self._full or not self._masking:
                return None
            inputs = self._masked(inputs, 0.0)
        elif self._full or not self._masking:
            return None
        if isinstance(module, nn.MaxPool3d):
            inputs = self._masked(inputs, -torch.inf)  # as its own padding is
        elif isinstance(module, _BatchNorm) and (module.training or module.running_mean is None):
            # The statistics of a batch must be those of its real cells: give the norm nothing else.
            valid = self._mask(inputs.shape[2], inputs.device)
            self._packed.append(valid)
            inputs = inputs.transpose(1, 2)[valid][:, :, None]
        return (inputs, *args[1:])

    def _after(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> torch.Tensor | None:
        if threading.get_ident() != self._thread or not args or not _is_volume(args[0]) or not _is_volume(output):
            return None
        if self._packed:
            return _unpacked(output, self._packed.pop())
        self._learn(module, args[0].shape[2], output.shape[2])
        if self._full or not self._masking or isinstance(module, _KEEPS_ZERO):
            return None
        if isinstance(module, nn.AdaptiveAvgPool3d):
            return output * self._scale(args[0].shape[2] / self._at(args[0].shape[2]), output)
        output = self._masked(output, 0.0)
        if isinstance(module, nn.AvgPool3d):
            # A volume that is shorter than the window: the mean of the slices that there are.
            kernel = _along(module.kernel_size)
            return output * self._scale(kernel / self._at(args[0].shape[2]).clamp(max=kernel), output)
        return output

    def _start(self, inputs: torch.Tensor) -> None:
        depth = inputs.shape[2]
        if self._masking and len(self._given) != inputs.shape[0]:
            raise ValueError(f"{len(self._given)} lengths for a batch of {inputs.shape[0]} volumes")
        self._lengths = {depth: self._given.clamp(max=depth)}
        self._masks = {}
        self._packed = []
        self._full = bool((self._given >= depth).all())

    def _learn(self, module: nn.Module, before: int, after: int) -> None:
        """Note the valid cells after a layer, and refuse layers whose arithmetic is not known."""
        lengths = self._at(before)
        if isinstance(module, nn.AdaptiveAvgPool3d) and after == 1:
            found = torch.ones_like(lengths)
        elif _is_plain(module):
            dilation = getattr(module, "dilation", 1)
            found = _windows(lengths, module.kernel_size, module.stride, module.padding, dilation)
        elif isinstance(module, (nn.Conv3d, *_POOLS, *_REFUSED)) or before != after:
            raise _unfollowed(module)
        else:
            return
        known = self._lengths.setdefault(after, found)
        if not torch.equal(known, found):
            raise _unfollowed(module)

    def _at(self, depth: int) -> torch.Tensor:
        if depth not in self._lengths:
            raise PlanError(
                f"padding slices cannot be left out: nothing is known of a level of depth {depth}",
                fix="Use a 3D backbone of hounsfield.models.volume.",
            )
        return self._lengths[depth]

    def _mask(self, depth: int, device: torch.device) -> torch.Tensor:
        """(n, depth), True where a cell is valid."""
        if depth not in self._masks:
            cells = torch.arange(depth, device=device)
            self._masks[depth] = cells < self._at(depth).to(device)[:, None]
        return self._masks[depth]

    def _masked(self, tensor: torch.Tensor, value: float) -> torch.Tensor:
        # Filled, not multiplied: 0 · NaN is NaN. Not in place, because the layer may need its output for the gradient.
        return tensor.masked_fill(~self._mask(tensor.shape[2], tensor.device)[:, None, :, None, None], value)

    @staticmethod
    def _scale(factor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        return factor.to(like)[:, None, None, None, None]


@contextmanager
def valid_depth(module: nn.Module, lengths: torch.Tensor | None) -> Iterator[Depths | None]:
    """Run `module` inside the block as if every volume ended after its valid slices.

    Parameters
    ----------
    module:
        A 3D network, or a part of one whose input is (n, channels, depth, height, width).
    lengths:
        (n,) integers: valid cells along the depth *of that input*, real slices first. For a trained tail they are
        `depth_table(front, …)[lengths of the volumes]`. None: nothing is padded, nothing is done.

    Yields
    ------
    Depths | None
        `of(activation)` gives the valid cells of any activation of the run.

    Raises
    ------
    PlanError
        If the network holds a layer whose arithmetic along depth is not known (say, an instance norm).

    Notes
    -----
    Exact in evaluation, and in training too: batch norms then take their statistics from valid cells alone. A volume
    that ends within the first window of an average pooling counts as the mean of the slices that it has.
    """
    if lengths is None:
        yield None
        return
    with Depths(lengths).following(module) as depths:
        yield depths


def depth_table(module: nn.Module, depth: int, channels: int) -> torch.Tensor:
    """Return (depth + 1,) integers: at position k, the valid cells that `module` makes of k valid slices.

    The module runs once on tensors without content, so that this costs next to nothing. Position 0 holds 1, because
    there is no volume without slices.
    """
    probe = copy.deepcopy(module).to("meta").eval()
    inputs = torch.zeros(1, channels, depth, 64, 64, device="meta")
    with torch.inference_mode(), Depths(torch.arange(depth + 1), masking=False).following(probe) as depths:
        output = probe(inputs)
        return depths.of(output if depths._lengths else inputs)


def _is_volume(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.ndim == 5


def _is_plain(module: nn.Module) -> bool:
    """Whether what a layer does at the end of a volume is what it does at a border of zeros (or of nothing)."""
    if isinstance(module, nn.Conv3d):
        return module.padding_mode == "zeros" and not isinstance(module.padding, str)
    if isinstance(module, nn.AvgPool3d):
        return not module.ceil_mode and _along(module.padding) == 0
    return isinstance(module, nn.MaxPool3d) and not module.ceil_mode


def _along(value: Any) -> int:
    """The depth's share of an argument that is one number or three."""
    return int(value[0] if isinstance(value, tuple) else value)


def _windows(lengths: torch.Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any) -> torch.Tensor:
    """How many windows fit, at least one."""
    reach = _along(dilation) * (_along(kernel) - 1) + 1
    return ((lengths + 2 * _along(padding) - reach).div(_along(stride), rounding_mode="floor") + 1).clamp(min=1)


def _unpacked(slices: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """(valid slices, C, 1, h, w) → (n, C, depth, h, w), with zeros where nothing is valid."""
    whole = slices.new_zeros(*valid.shape, *slices.shape[1:2], *slices.shape[3:])
    return whole.index_put((valid,), slices[:, :, 0]).transpose(1, 2)


def _unfollowed(module: nn.Module) -> PlanError:
    return PlanError(
        f"padding slices cannot be left out of a network with {type(module).__name__}",
        fix="Use a 3D backbone of hounsfield.models.volume.",
    )
