"""What can happen to a name, and a memory of what has happened last."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, NamedTuple

from nameserver.record import Record

__all__ = ["Change", "Event", "History", "Kind", "Lease", "Registrant", "Renewal", "Revision"]

Kind = Literal["registered", "changed", "removed", "expired"]


class Revision(NamedTuple):
    """A point in the life of a name server: what was true then is never true again."""

    instance: str
    """The run of the server; another run has another one, and its numbers are not comparable."""

    number: int
    """Grows by one with each change."""


@dataclass(frozen=True, slots=True)
class Event:
    """What a watcher is told."""

    kind: Kind
    record: Record
    """What is registered now; where it was removed or has expired, what was registered last."""

    revision: Revision

    @property
    def name(self) -> str:
        """The name that it happened to."""
        return self.record.name


@dataclass(frozen=True, slots=True)
class Lease:
    """Keeps names for as long as somebody renews it."""

    id: str
    """Known to its holder and the server, to nobody else."""

    lease_s: float


class Registrant(NamedTuple):
    """Who asks for a change of a name, as far as that is proven."""

    node: str
    """The machine, by its certificate; empty where none says it."""

    role: str

    def may_change(self, record: Record) -> bool:
        """Tell whether a name is its to change: no machine's, its own machine's, or any."""
        return not record.node or record.node == self.node or self.role == "operator"


class Renewal(NamedTuple):
    """What the holder of a lease is told when it is renewed."""

    is_known: bool
    """Whether it keeps anything; else the server has forgotten, or all its names have ended."""

    taken: frozenset[str] = frozenset()
    """Its names that somebody else has removed or replaced: they stay so."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a registry, decided but perhaps not kept yet."""

    kind: Kind
    number: int
    record: Record
    lease: Lease | None = None
    by_holder: bool = False
    """Whether a name was removed by whoever held its lease."""


class History:
    """The last changes, one memory for all who watch.

    Args:
        size: How many are remembered.
        number: Of the last change before it begins.
    """

    __slots__ = ("_changes", "number")

    def __init__(self, size: int, number: int = 0) -> None:
        self._changes: deque[Change] = deque(maxlen=size)
        self.number = number

    def add(self, change: Change) -> None:
        """Remember a change; it has the next number."""
        assert change.number == self.number + 1
        self._changes.append(change)
        self.number = change.number

    def since(self, number: int, prefix: str) -> Sequence[Change] | None:
        """Return the changes after *number* of names that begin with *prefix*.

        None where they are not all remembered, or have not happened yet.
        """
        missed = self.number - number
        if not 0 <= missed <= len(self._changes):
            return None
        fresh = islice(self._changes, len(self._changes) - missed, None)
        return [change for change in fresh if change.record.name.startswith(prefix)]
