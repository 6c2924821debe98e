"""What may be called on an object, as its daemon says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from remoteobj.errors import WireError

__all__ = ["Metadata", "read_metadata"]


@dataclass(frozen=True, slots=True)
class Metadata:
    """The names of one object; ``parameters`` are those of our own daemons only."""

    methods: frozenset[str]
    oneway: frozenset[str]
    attrs: frozenset[str]
    parameters: dict[str, Sequence[str]] = field(default_factory=dict)
    is_partial: bool = False
    """Whether there is more, for callers of another role."""


def read_metadata(told: Any) -> Metadata:
    """Read what a daemon says.

    Raises:
        WireError: It does not say it.
    """
    match told:
        case {"methods": methods, "oneway": oneway, "attrs": attrs, **rest}:
            named = (methods, oneway, attrs)
            if all(isinstance(names, list | tuple | set | frozenset) for names in named):
                return Metadata(
                    frozenset(map(str, methods)),
                    frozenset(map(str, oneway)),
                    frozenset(map(str, attrs)),
                    _read_parameters(rest.get("parameters")),
                    rest.get("is_partial") is True,
                )
    raise WireError("the daemon let us in, but did not say what may be called")


def _read_parameters(told: Any) -> dict[str, Sequence[str]]:
    """Read what is of use for error messages only: whatever is odd is left out."""
    if not isinstance(told, dict):
        return {}
    return {
        method: [str(name) for name in names]
        for method, names in told.items()
        if isinstance(method, str) and isinstance(names, list | tuple)
    }
