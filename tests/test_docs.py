"""Documentation that cannot drift: every command, option, decision, error and public name is told, and links lead somewhere."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

import hounsfield
from hounsfield import errors
from hounsfield.cli import commands as _registered  # noqa: F401
from hounsfield.cli.app import app
from hounsfield.core import Plan
from hounsfield.core.windows import WINDOWS
from hounsfield.prepare import RULES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
PUBLIC = [name for name in hounsfield.__all__ if not name.startswith("__")]
ERRORS = sorted(name for name, item in vars(errors).items() if isinstance(item, type) and issubclass(item, Exception))

_LINK = re.compile(r"!?\[[^\]]*\]\(([^()\s]+)\)")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _text(name: str) -> str:
    page = DOCS / name
    assert page.is_file(), f"docs/{name} is missing"
    return page.read_text(encoding="utf-8")


def _options(command: str) -> set[str]:
    parameters = COMMANDS[command].params
    return {name for item in parameters for name in (*item.opts, *item.secondary_opts) if name.startswith("--")}


def _section(name: str) -> str:
    """Return the part of python.md under the heading of a public name."""
    found = re.search(rf"^### `{re.escape(name)}\b.*?(?=^##|\Z)", _text("python.md"), re.MULTILINE | re.DOTALL)
    assert found, f"docs/python.md has no heading ### `{name}`"
    return found[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_command_has_a_page_with_an_example(command: str) -> None:
    text = _text(f"{command}.md")
    assert re.search(rf"^hounsfield {command}\b", text, re.MULTILINE), f"no example in docs/{command}.md"
    untold = sorted(option for option in _options(command) - {"--help"} if f"`{option}" not in text)
    assert not untold, f"docs/{command}.md does not mention {', '.join(untold)}"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str) -> None:
    assert COMMANDS[command].help, "a command says what it does"
    assert f"Example: `hounsfield {command}" in (COMMANDS[command].epilog or "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_use_what_there_is(page: Path) -> None:
    for language, block in _FENCE.findall(page.read_text(encoding="utf-8")):
        if language != "sh":
            continue
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] != ["hounsfield"] or words[1].startswith("-"):
                continue
            assert words[1] in COMMANDS, f"there is no command {words[1]}: {line}"
            given = {word.partition("=")[0] for word in words[2:] if word.startswith("--")}
            assert given <= _options(words[1]) | {"--help"}, line


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_is_told(name: str) -> None:
    section = _section(name)
    assert "```python" in section, f"docs/python.md shows no example of {name}"
    assert inspect.getdoc(getattr(hounsfield, name)), f"{name} has no docstring"
    if inspect.isfunction(getattr(hounsfield, name)):
        parameters = inspect.signature(getattr(hounsfield, name)).parameters
        untold = [each for each in parameters if not re.search(rf"\b{each}\b", section)]
        assert not untold, f"docs/python.md does not mention {', '.join(untold)} of {name}"


def test_examples_in_python_can_be_parsed() -> None:
    for page in PAGES:
        for language, block in _FENCE.findall(page.read_text(encoding="utf-8")):
            if language == "python":
                compile(block, page.name, "exec")


def test_plan_page_tells_every_decision_rule_and_window() -> None:
    text = _text("plan.md")
    decisions = [name for name in Plan.model_fields if name not in ("schema_version", "cohort")]
    untold = [name for name in (*decisions, *RULES) if f"`{name}`" not in text]
    assert not untold, f"docs/plan.md does not mention {', '.join(untold)}"
    for name, (centre, width) in WINDOWS.items():
        assert re.search(rf"\| {name} +\| +{str(centre).replace('-', '−')} +\| +{width} +\|", text), f"window {name}"


@pytest.mark.parametrize("name", ERRORS)
def test_errors_page_tells_every_kind(name: str) -> None:
    assert f"`{name}`" in _text("errors.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_local_links_lead_somewhere(page: Path) -> None:
    targets = [target.partition("#")[0] for target in _LINK.findall(page.read_text(encoding="utf-8"))]
    local = [target for target in targets if target and not re.match(r"[a-z]+:", target)]
    missing = [target for target in local if not (page.parent / target).exists()]
    assert not missing, f"{page.name} links to what is not there: {', '.join(missing)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_path_of_one_machine(page: Path) -> None:
    assert not re.search(r"(?<![\w.])/(?:work|home|root|Users|tmp)/", page.read_text(encoding="utf-8"))
