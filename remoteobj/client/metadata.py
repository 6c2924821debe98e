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


def read_metadata(told: Any) -> Metadata:
    """Read what a daemon says.

    Raises:
        WireError: It does not say it.
    """
    match told:
        case {"methods": methods, "oneway": oneway, "attrs": attrs, **rest}:
            named = (methods, oneway, attrs)
            if all(isinstance(names, list | tuple | set | frozenset) for names in named):
                parameters = rest.get("parameters")
                return Metadata(
                    frozenset(map(str, methods)),
                    frozenset(map(str, oneway)),
                    frozenset(map(str, attrs)),
                    parameters if isinstance(parameters, dict) else {},
                )
    raise WireError("the daemon let us in, but did not say what may be called")
