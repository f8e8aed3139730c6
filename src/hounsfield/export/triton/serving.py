"""How a model is to be served: its name, the batches that Triton makes, and the instances that compute."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hounsfield.errors import UsageError

# What follows the name of the ensemble in the names of its two models.
RECIPE, NETWORK = "_recipe", "_network"
KINDS = {"auto": "KIND_AUTO", "cpu": "KIND_CPU", "gpu": "KIND_GPU"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_GROUP = re.compile(r"(auto|cpu|gpu):([1-9][0-9]?)")


@dataclass(frozen=True)
class Serving:
    """The choices of whoever runs the server; they change no number that it answers.

    Parameters
    ----------
    name:
        Of the ensemble.
    max_batch:
        The most images that go through the network together, 1 to 1024.
    instances:
        Copies of the network, such as `cpu:2` or `gpu:1,cpu:1`. `auto:N`: on each GPU where there is one, else on the CPU.
    queue_delay:
        Microseconds that a request may wait for others to share a batch.

    Raises
    ------
    UsageError
        If one of them is not allowed.
    """

    name: str = "hounsfield"
    max_batch: int = 16
    instances: str = "auto:1"
    queue_delay: int = 2000

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                f"{self.name!r} cannot name a served model",
                fix="Use at most 63 letters, digits, - and _, a letter first.",
            )
        if not 1 <= self.max_batch <= 1024:
            raise UsageError(f"a batch of {self.max_batch} images cannot be", fix="Choose from 1 to 1024.")
        if not 0 <= self.queue_delay <= 10_000_000:
            raise UsageError(f"{self.queue_delay} µs are no time to wait", fix="Choose from 0 to 10000000.")
        if not all(_GROUP.fullmatch(one) for one in self.instances.split(",")):
            raise UsageError(
                f"instances {self.instances!r} are not understood", fix="For example: cpu:2, or gpu:1, or gpu:1,cpu:1."
            )

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Triton's kind of device, and how many copies on each."""
        found = [one.split(":") for one in self.instances.split(",")]
        return [(KINDS[kind], int(count)) for kind, count in found]

    @property
    def preferred(self) -> list[int]:
        """Sizes of batches at which a request waits no longer: a quarter, a half and all of the largest."""
        return sorted({max(1, self.max_batch // part) for part in (4, 2, 1)})

    @property
    def models(self) -> tuple[str, str, str]:
        """Names of the recipe, the network and the ensemble."""
        return f"{self.name}{RECIPE}", f"{self.name}{NETWORK}", self.name
