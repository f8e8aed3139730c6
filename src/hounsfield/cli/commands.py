"""All commands, in the order of their use; importing a command's module registers it.

A command imports what it works with when it is called: help and mistakes must not wait for torch.
"""

from hounsfield.cli import run, demo, scan, audit, plan, train, predict, evaluate, explain, export, pack, bench, show, doctor  # noqa: F401, I001  # fmt: skip
