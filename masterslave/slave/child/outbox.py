"""What a child has to say, gathered for a moment so that one write carries many results."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from .frames import LARGE_BYTES, Outcome, Told, write_frame

if TYPE_CHECKING:
    from .output import Output

__all__ = ["Outbox"]

GATHER_S = 0.12
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
        self.before_flush: Callable[[], None] | None = None
        """What has to be said first: a lane is closed before the agent hears of its calls."""
        self.output: Output | None = None
        """What tasks print, which is in the pipe before the agent hears that they have ended."""
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._posted: list[tuple[int, Outcome]] = []
        self.post: Callable[[tuple[int, Outcome]], None] = self._posted.append
        """Add a call's number and what became of it, to be flushed soon."""

    def say(self, frame: Struct) -> None:
        """Write a frame at once."""
        with self._lock:
            write_frame(self._descriptor, [frame])

    def take_only(self) -> Outcome | None:
        """Take out what was posted, if that is one outcome and nothing else."""
        if len(self._posted) != 1:
            return None
        return self._posted.pop()[1]

    def post_large(self, number: int, outcome: Outcome) -> None:
        """Say what was posted, and this, whose payload is not gathered."""
        self._posted.append((number, outcome))
        self.flush()

    def flush(self) -> None:
        """Write what was posted. Blocks until it is in the pipe."""
        if not self._posted:
            return
        if self.output is not None and self.output.has_printed:
            self.output.flush()
        if self.before_flush is not None:
            self.before_flush()
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
