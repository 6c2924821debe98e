"""What a child has to say, gathered for a moment so that one write carries many results."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from .frames import LARGE_BYTES, Outcome, Ready, Told, Unstarted, write_frame

__all__ = ["Outbox"]

GATHER_S = 0.08
"""While it has more to do, a child tells what became of calls no more often than this, in seconds.
To tell costs it and its agent some 0.1 ms, half of it because their memory is not near any more."""


class Outbox:
    """Writes to the agent.

    The thread that runs tasks posts and flushes; the watchdog and threads of a task's may flush.

    Args:
        descriptor: The pipe's.
    """

    def __init__(self, descriptor: int) -> None:
        self.due = 0.0
        """When what was posted is to be flushed, by ``time.perf_counter``."""
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._posted: list[tuple[int, Outcome]] = []
        self.post: Callable[[tuple[int, Outcome]], None] = self._posted.append
        """Add a call's number and what became of it, to be flushed soon."""

    def ready(self) -> None:
        """Say that the child is up."""
        with self._lock:
            write_frame(self._descriptor, [Ready()])

    def unstarted(self, numbers: list[int]) -> None:
        """Say that these calls are not run."""
        with self._lock:
            write_frame(self._descriptor, [Unstarted(numbers)])

    def post_large(self, number: int, outcome: Outcome) -> None:
        """Say what was posted, and this, whose payload is not gathered."""
        self._posted.append((number, outcome))
        self.flush()

    def flush(self) -> None:
        """Write what was posted. Blocks until it is in the pipe."""
        if not self._posted:
            return
        with self._lock:
            posted = self._posted[:]
            del self._posted[: len(posted)]  # what is posted meanwhile stays
            numbers: list[int] = []
            outcomes: list[Outcome] = []
            for number, outcome in posted:
                numbers.append(number)
                outcomes.append(outcome)
                if len(outcome.payload) >= LARGE_BYTES:
                    tail, outcome.payload = outcome.payload, b""
                    write_frame(self._descriptor, [Told(numbers, outcomes)], tail)
                    numbers, outcomes = [], []
            if numbers:
                write_frame(self._descriptor, [Told(numbers, outcomes)])
            self.due = time.perf_counter() + GATHER_S
