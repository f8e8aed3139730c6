"""Names that are imported when they are first used, so that importing a package stays cheap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any


def lazily(package: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module-level `__getattr__` that finds each name in the module that `places` names for it."""

    def find(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(places[name]), name)

    return find


class Verb:
    """A public function that shares its name with the room it comes from, such as `plan`.

    Importing `hounsfield.plan` makes Python set the attribute `plan` of the package to that room. As a data descriptor
    on the package's class this one stays in front, so that `hounsfield.plan(...)` always is the function, while
    `from hounsfield.plan import …` finds the room.
    """

    def __init__(self, name: str, place: str) -> None:
        self.name, self.place = name, place

    def __get__(self, module: ModuleType | None, kind: type | None = None) -> Any:
        return getattr(import_module(self.place), self.name)

    def __set__(self, module: ModuleType, value: object) -> None:
        """Let the import of the room pass by."""


def with_verbs(names: tuple[str, ...], place: str) -> type[ModuleType]:
    """Return a class for a package whose verbs are found in `place`."""
    return type("Package", (ModuleType,), {name: Verb(name, place) for name in names})
