"""Names of a package that are imported when somebody first asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["late"]


def late(
    module: dict[str, Any], places: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return a package's ``__getattr__`` and ``__dir__`` (PEP 562).

    Args:
        module: Its ``globals()``.
        places: In which module each of the names is.
    """

    def getattribute(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {module['__name__']!r} has no attribute {name!r}")
        found = module[name] = getattr(import_module(places[name]), name)
        return found

    def names() -> list[str]:
        return sorted({*module, *module["__all__"]})

    return getattribute, names
