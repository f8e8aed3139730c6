"""The order of the rooms: imports run one way, and what only reads and judges never needs torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "hounsfield"
LEVELS = (
    ("errors", "lazy"),
    ("core",),
    ("measure", "read"),
    ("artefacts",),
    ("cohort", "prepare", "phantom"),
    ("audit",),
    ("models",),
    ("plan",),
    ("predict",),
    ("train",),
    ("evaluate", "explain"),
    ("report",),
    ("export",),
    ("serve",),
    ("pipeline",),
    ("cli",),
    ("__main__",),
)
LEVEL = {room: place for place, rooms in enumerate(LEVELS) for room in rooms}
TORCHLESS = ("core", "measure", "read", "artefacts", "cohort", "prepare", "phantom", "audit", "evaluate", "report")
TORCH = {"torch", "torchvision", "lightning", "monai", "timm", "captum"}
SEEDING = {"np.random.seed", "numpy.random.seed", "torch.manual_seed", "torch.seed", "lightning.seed_everything"}
# Both draw inside torch.random.fork_rng, which gives the global generator back.
MAY_SEED = ("models/network.py", "train/fit.py", "explain/methods.py")

MODULES = sorted(SOURCE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8"), str(path)) for path in MODULES}


def _place(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def _room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def _imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of every import, those inside functions and under TYPE_CHECKING too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: import by the full name, not relatively"
            # `from hounsfield import core` names a room in its aliases.
            names = (
                [f"hounsfield.{alias.name}" for alias in node.names] if node.module == "hounsfield" else [node.module]
            )
            yield from ((node.lineno, str(name)) for name in names)


def test_every_room_has_its_place() -> None:
    found = {_room(path) for path in MODULES} - {"__init__"}
    assert found <= set(LEVEL), f"rooms without a place in the order: {sorted(found - set(LEVEL))}"


@pytest.mark.parametrize("path", MODULES, ids=_place)
def test_imports_run_one_way(path: Path) -> None:
    room = _room(path)
    if room == "__init__":  # the public face, which imports lazily
        return
    wrong = []
    for line, name in _imports(TREES[path]):
        parts = name.split(".")
        if parts[0] != "hounsfield" or len(parts) < 2 or parts[1] == room:
            continue
        if parts[1] not in LEVEL or LEVEL[parts[1]] >= LEVEL[room]:
            wrong.append(f"line {line}: {room} may not import {name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "path", [path for path in MODULES if _room(path) in (*TORCHLESS, "errors", "lazy")], ids=_place
)
def test_rooms_that_need_no_torch(path: Path) -> None:
    wrong = [f"line {line}: {name}" for line, name in _imports(TREES[path]) if name.split(".")[0] in TORCH]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "modules", [["hounsfield"], [f"hounsfield.{room}" for room in TORCHLESS]], ids=["face", "rooms"]
)
def test_importing_loads_no_torch(modules: list[str]) -> None:
    # A name that is found lazily may load more than its room's __init__, so each public name is asked for too.
    told = (
        f"import sys, importlib\n"
        f"for name in {modules!r}:\n"
        f"    room = importlib.import_module(name)\n"
        f"    [getattr(room, item) for item in getattr(room, '__all__', []) if name != 'hounsfield']\n"
        f"print(sorted(set(sys.modules) & {TORCH!r}))"
    )
    result = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("path", MODULES, ids=_place)
def test_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(TREES[path]), "a module starts with a docstring"


@pytest.mark.parametrize("path", MODULES, ids=_place)
def test_no_global_randomness(path: Path) -> None:
    wrong = [f"line {line}: import {name}" for line, name in _imports(TREES[path]) if name.split(".")[0] == "random"]
    if _place(path) not in MAY_SEED:
        calls = [node for node in ast.walk(TREES[path]) if isinstance(node, ast.Call)]
        wrong += [f"line {call.lineno}: {name}" for call in calls if (name := ast.unparse(call.func)) in SEEDING]
    assert not wrong, "\n".join(wrong)
