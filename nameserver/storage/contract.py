"""What a name server expects of the place that keeps its names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from nameserver.changes import Change, Lease
from nameserver.leadership import Leadership
from nameserver.record import Record

__all__ = ["Entry", "Kept", "Storage"]

Entry = tuple[Record, Lease | None]


@dataclass(frozen=True, slots=True)
class Kept:
    """What a storage holds."""

    number: int
    """Of the last change that was saved; 0 where there was none."""

    entries: Sequence[Entry]
    """A record for each name, with what keeps it; in any order."""

    leaderships: Sequence[Leadership] = ()
    """Who leads what, or led it last; in any order, with ``left_s`` 0."""


class Storage(Protocol):
    """Keeps the names of one name server. It is called by one thread at a time."""

    def load(self) -> Kept:
        """Return what is held.

        Raises:
            StorageFailed: It cannot be read.
        """
        ...

    def save(self, changes: Sequence[Change]) -> None:
        """Keep changes, all or none; when this returns they outlive the process.

        Raises:
            StorageFailed: None of them was kept.
        """
        ...

    def save_leadership(self, leadership: Leadership) -> None:
        """Keep who leads a name, in the place of what was kept of that name before.

        When this returns it outlives the machine: two masters could lead where it is forgotten.
        ``left_s`` is not kept.

        Raises:
            StorageFailed: It was not kept.
        """
        ...

    def close(self) -> None:
        """Let go of it; what is held stays."""
        ...
