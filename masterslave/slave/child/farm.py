"""What a child knows of each farm that it works for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .frames import Prepare
from .handlers import Handlers

__all__ = ["Farm", "globals_of"]


class Farm:
    """What a child knows of a farm."""

    def __init__(self, told: Prepare) -> None:
        self.number = told.farm
        self.initializer = told.initializer
        self.data_only = told.data_only
        self.no_code = told.no_code
        """Why no code of the script's can run here, in words: only named tasks, and data."""
        self.handlers: Handlers | None = None
        """Those that it has given."""
        self.broken = b""
        """What the initializer raised."""
        self.globals: dict[str, Any] = {}
        """What the initializer has set in the script's module."""
        self.joined: dict[bytes, Callable[..., Any]] = {}
        """Functions that were given these, by hash."""

    def join(self, digest: bytes, function: Callable[..., Any]) -> None:
        """Let a function of the script see what the initializer has set there.

        Each of the two has travelled with a copy of the script's module of its own.
        """
        if self.joined.get(digest) is not function:
            self.joined[digest] = function
            shared = globals_of(function)
            if shared is not None:
                shared.update(self.globals)


def globals_of(function: Any) -> dict[str, Any] | None:
    """Return the copy of the script's module that a function has; None if it is of another one."""
    while isinstance(function, partial):
        function = function.func
    if getattr(function, "__module__", None) != "__main__":
        return None
    if not hasattr(function, "__globals__"):  # an object that can be called
        function = vars(type(function)).get("__call__")
    found: dict[str, Any] | None = getattr(function, "__globals__", None)
    return found
