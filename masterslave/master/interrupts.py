"""Ctrl-C waits until the main thread is out of what has to be whole.

Python calls a handler of signals in the main thread, between any two steps: one that raises while
the master's lock is held would leave it locked, and the farm's book half written. So while the main
thread is there, Ctrl-C is noted, and its handler is called right after. Other threads are not hit.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

__all__ = ["Interrupts"]

_MOST = 3


class Interrupts:
    """Holds Ctrl-C back.  Threads: any; it is something for the main thread only."""

    __slots__ = ("_depth", "_handler", "_noted")

    def __init__(self) -> None:
        self._handler: Callable[[int, FrameType | None], object] | None = None
        self._noted = 0
        self._depth = 0

    def hold(self) -> None:
        """From here on it is noted; ``let_go`` has to follow."""
        if threading.current_thread() is not threading.main_thread():
            return
        if self._depth:  # a callback that is called within a turn has a turn of its own
            self._depth += 1
            return
        handler = signal.getsignal(signal.SIGINT)
        if not callable(handler):  # it ends the process, or does nothing
            return
        try:
            signal.signal(signal.SIGINT, self._note)
        except ValueError:  # an interpreter beside the main one, which gets no signals
            return
        self._handler, self._depth = handler, 1

    def let_go(self) -> bool:
        """From here on it is heeded at once; tells whether ``heed`` has to follow."""
        if not self._depth or threading.current_thread() is not threading.main_thread():
            return False
        self._depth -= 1
        if self._depth:
            return False
        signal.signal(signal.SIGINT, self._handler)
        return self._noted > 0

    def heed(self) -> None:
        """Do what was held back."""
        handler = self._handler
        self._noted = 0
        if handler is not None:
            handler(signal.SIGINT, sys._getframe())

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._noted += 1
        if self._noted > _MOST and self._handler is not None:  # what is whole does not end
            self._handler(number, frame)
