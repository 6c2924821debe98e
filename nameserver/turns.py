"""A few at a time for each, so that nobody holds what all share."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

__all__ = ["Turns"]


class Turns:
    """Lines of jobs, one for each who asks. Threads: any.

    Args:
        at_once: How many jobs of one may run at a time.
        most_waiting: How many more may wait in its line.
    """

    def __init__(self, at_once: int, most_waiting: int) -> None:
        self._at_once = at_once
        self._most_waiting = most_waiting
        self._lock = threading.Lock()
        self._running: dict[str, int] = {}
        self._lines: dict[str, deque[Callable[[], None]]] = {}

    def take(self, who: str, start: Callable[[], None]) -> bool:
        """Call *start* now, or when it is its turn; ``done`` has to follow. False: not at all."""
        with self._lock:
            if self._running.get(who, 0) >= self._at_once:
                line = self._lines.setdefault(who, deque())
                if len(line) >= self._most_waiting:
                    return False
                line.append(start)
                return True
            self._running[who] = self._running.get(who, 0) + 1
        start()
        return True

    def done(self, who: str) -> None:
        """A job is over; the next one of the same line begins."""
        with self._lock:
            line = self._lines.get(who)
            start = line.popleft() if line else None
            if start is None:
                self._lines.pop(who, None)
                self._running[who] -= 1
                if not self._running[who]:
                    del self._running[who]
        if start is not None:
            start()
