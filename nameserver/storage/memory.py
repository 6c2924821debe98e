"""Names in memory: they end with the process."""

from __future__ import annotations

from collections.abc import Sequence

from nameserver.changes import Change
from nameserver.storage.contract import Entry, Kept

__all__ = ["MemoryStorage"]


class MemoryStorage:
    """See ``Storage``. It outlives a name server that is closed, not the process."""

    def __init__(self) -> None:
        self._number = 0
        self._entries: dict[str, Entry] = {}

    def load(self) -> Kept:
        """See ``Storage``."""
        return Kept(self._number, tuple(self._entries.values()))

    def save(self, changes: Sequence[Change]) -> None:
        """See ``Storage``."""
        for change in tuple(changes):  # all of them, before the first is kept
            name = change.record.name
            if change.kind in ("removed", "expired"):
                self._entries.pop(name, None)
            else:
                self._entries[name] = change.record, change.lease
            self._number = change.number

    def close(self) -> None:
        """See ``Storage``."""
