"""Back-pressure: how much may be open at once, for those who submit faster than slaves work."""

from __future__ import annotations

import threading
from typing import Self

from masterslave.settings import FarmSettings

__all__ = ["Room"]


class Room:
    """Room for tasks that have no answer, by number and by bytes of their arguments.

    One task fits in any case, however large. Threads: any.
    """

    def __init__(self, max_tasks: float, max_bytes: float) -> None:
        self._max_tasks, self._max_bytes = max_tasks, max_bytes
        self._tasks = self._bytes = 0
        self._changed = threading.Condition()
        self._is_wide = False

    @classmethod
    def of(cls, settings: FarmSettings) -> Self | None:
        """Return the room that the settings leave, or None where they set no limit."""
        tasks, size = settings.max_open_tasks, settings.max_open_bytes
        if tasks is None and size is None:
            return None
        return cls(tasks or float("inf"), size or float("inf"))

    def enter(self, size: int) -> None:
        """Take room for a task with so many bytes. Blocks until there is some."""
        with self._changed:
            self._changed.wait_for(lambda: self._fits(size))
            self._tasks += 1
            self._bytes += size

    def enter_anyway(self, size: int) -> None:
        """Take room for a task, though there may be none."""
        with self._changed:
            self._tasks += 1
            self._bytes += size

    def leave(self, size: int) -> None:
        """Give the room of a task back."""
        with self._changed:
            self._tasks -= 1
            self._bytes -= size
            self._changed.notify_all()

    def open_wide(self) -> None:
        """Let everybody in: they are told that the farm is closed."""
        with self._changed:
            self._is_wide = True
            self._changed.notify_all()

    def _fits(self, size: int) -> bool:
        return (
            self._is_wide
            or not self._tasks
            or (self._tasks < self._max_tasks and self._bytes + size <= self._max_bytes)
        )
