"""Names in memory: they end with the process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as replaced

from nameserver.changes import Change
from nameserver.leadership import Leadership
from nameserver.storage.contract import Entry, Kept

__all__ = ["MemoryStorage"]


class MemoryStorage:
    """See ``Storage``. It outlives a name server that is closed, not the process."""

    def __init__(self) -> None:
        self._number = 0
        self._entries: dict[str, Entry] = {}
        self._leaderships: dict[str, Leadership] = {}

    def load(self) -> Kept:
        """See ``Storage``."""
        return Kept(self._number, tuple(self._entries.values()), tuple(self._leaderships.values()))

    def save(self, changes: Sequence[Change]) -> None:
        """See ``Storage``."""
        for change in tuple(changes):  # all of them, before the first is kept
            name = change.record.name
            if change.kind in ("removed", "expired"):
                self._entries.pop(name, None)
            else:
                self._entries[name] = change.record, change.lease
            self._number = change.number

    def save_leadership(self, leadership: Leadership) -> None:
        """See ``Storage``."""
        self._leaderships[leadership.name] = replaced(leadership, left_s=0.0)

    def close(self) -> None:
        """See ``Storage``."""
