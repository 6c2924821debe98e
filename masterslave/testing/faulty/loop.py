"""A fake clock, and what is to happen when; the modules of the master are told its time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from itertools import count
from unittest import mock

from masterslave.master import clock, conversation, decisions, recording, shell

__all__ = ["Loop", "on_fake_clock"]

_TOLD = (clock, conversation, decisions, recording, shell)
"""Modules that ask for the time."""


class Loop:
    """What is to happen, on a fake clock.

    Attributes:
        now: Seconds since the beginning; it never goes back.
        day: What a clock of the day shows beside that, which can be set.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.day = 1_700_000_000.0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something later."""
        heappush(self._heap, (self.now + max(0.0, seconds), next(self._numbers), act))

    def run(self, is_over: Callable[[], bool], until: float) -> bool:
        """Go on until it is over; tells whether it is, before the time is up."""
        while not is_over():
            if not self._heap or self._heap[0][0] > until:
                return False
            self.now, _, act = heappop(self._heap)
            act()
        return True

    def monotonic(self) -> float:
        """As ``time.monotonic``."""
        return self.now

    def time(self) -> float:
        """As ``time.time``."""
        return self.day + self.now


@contextlib.contextmanager
def on_fake_clock(loop: Loop) -> Iterator[None]:
    """Have the master's modules ask this loop for the time, in this process."""
    with contextlib.ExitStack() as stack:
        for module in _TOLD:
            stack.enter_context(mock.patch.object(module, "time", loop))
        yield
