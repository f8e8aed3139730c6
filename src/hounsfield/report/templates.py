"""How templates become pages: escaped, strict about names, and looked for in this folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hounsfield.measure import decimals
from hounsfield.report.words import counted, duration, scrub


def environment(finalize: Callable[[Any], Any] | None = None) -> Environment:
    """Return an environment with the filters that all pages use; `finalize` is applied to every value that is printed."""
    made = Environment(
        loader=PackageLoader("hounsfield.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalize,
    )
    made.filters |= {"duration": duration, "decimals": decimals, "scrub": scrub}
    made.globals |= {"counted": counted}
    return made


def source(pages: Environment, name: str) -> Markup:
    """A file of this folder as it is: style and script, which are ours and need no escaping."""
    assert pages.loader is not None
    return Markup(pages.loader.get_source(pages, name)[0])
