"""Connections that are open and not in use, and how long they are kept."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable

from remoteobj.transport.link import Link

__all__ = ["IdleLinks"]

_MOST_IDLE = 32
_REST_S = 10.0  # after so long what shares memory with the daemon gives it back
_LOOK_S = 1.0


class IdleLinks:
    """The connection that was given back last is taken first, so that the others grow old.

    Each that shares memory keeps some of it for its next large call, on both sides. There is no
    thread that would look after that, so calls do: one that gives such a connection back drops what
    that one has not needed for long, and one that takes another connection closes those that nobody
    has needed for long. While none shares memory, that costs nothing.

    Args:
        clock: Seconds from anywhere, growing.

    Threads: any. Nothing takes a lock, because destructors come by here.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._idle: deque[Link] = deque()
        self.give_back = self._idle.append
        """Takes a connection back that came from here; quicker than ``give``, which looks at it."""
        self._clock = clock
        self._looked_at = clock()
        self._looks_from = _MOST_IDLE  # where so many others are idle, ``take`` looks after them

    def take(self) -> Link | None:
        """Return a connection that is open and quiet, or None."""
        idle = self._idle
        while idle:
            try:
                link = idle.pop()
            except IndexError:  # another thread was quicker
                return None
            if link.arrived is None or not link.arrived(0):
                if len(idle) >= self._looks_from:
                    self._look_after()
                return link
            link.close()
        return None

    @property
    def has_idle(self) -> bool:
        """Whether a connection is open that nobody uses."""
        return bool(self._idle)

    def give(self, link: Link) -> None:
        """Take a connection back that is between two calls."""
        shared = link.shared
        if shared is not None:
            shared.drop_unused()
            link.rests_since = self._clock()
        if len(self._idle) < _MOST_IDLE:
            self._idle.append(link)
            if shared is not None:
                self._looks_from = 1
        else:
            link.close()

    def close_idle(self) -> None:
        """Close the connections that are not in use."""
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().close()

    def _look_after(self) -> None:
        if len(self._idle) >= _MOST_IDLE:  # many threads have called at once
            with contextlib.suppress(IndexError):
                self._idle.popleft().close()
        now = self._clock()
        if now - self._looked_at >= _LOOK_S:
            self._looked_at = now
            self._close_rested(now - _REST_S)

    def _close_rested(self, moment: float) -> None:
        """Close those with shared memory that nobody has needed since; others are still in use."""
        self._looks_from = _MOST_IDLE
        for link in tuple(self._idle):
            if link.shared is None:
                continue
            if link.rests_since > moment:
                self._looks_from = 1
                continue
            with contextlib.suppress(ValueError, IndexError):  # another thread has taken it
                self._idle.remove(link)
                link.close()
