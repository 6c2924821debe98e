"""One at a time for each thing, and different things at the same time."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

__all__ = ["OneByOne"]


class OneByOne:
    """Locks that are there for as long as somebody wants them. Threads: any."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[Hashable, tuple[threading.Lock, int]] = {}  # with how many want it

    @contextmanager
    def alone(self, thing: Hashable, timeout_s: float = -1) -> Iterator[bool]:
        """Have *thing* for oneself; yields whether that came about in time.

        Args:
            thing: Whatever is not to be done twice at a time.
            timeout_s: Longest wait for the others, in seconds; -1: until they have done.
        """
        with self._guard:
            lock, wanted = self._locks.get(thing, (threading.Lock(), 0))
            self._locks[thing] = lock, wanted + 1
        is_ours = False
        try:
            is_ours = lock.acquire(timeout=timeout_s)
            yield is_ours
        finally:
            if is_ours:
                lock.release()
            with self._guard:
                lock, wanted = self._locks[thing]
                if wanted == 1:
                    del self._locks[thing]
                else:
                    self._locks[thing] = lock, wanted - 1
