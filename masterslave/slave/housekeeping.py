"""A thread of the agent's that looks around: is there nothing to do, do others need the machine?"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from masterslave.slave.leisure import Courtesy, Idleness
from masterslave.slave.state import count_busy
from masterslave.slave.usage import Meter
from masterslave.slave.workshop import Workshop

__all__ = ["Housekeeper"]

_FIRST_S = 1.0
_NOT_KNOWN = "it is not known yet who else uses the machine"


class Housekeeper:
    """Looks every *look_s* seconds, or more often if an agent is to leave sooner than that.

    A slave that is to leave its machine to others begins with a rest, until it has looked twice.

    Args:
        done: Returns how many tasks were done so far.
        idle_exit_s: ``on_idle`` is called when nothing has run for so long; None: never.
        meter: How others' use of the machine is measured; None: it is not.
        on_rest: Called when that changes: with why the slave is to rest, or empty.
    """

    def __init__(
        self,
        workshop: Workshop,
        *,
        done: Callable[[], int],
        idle_exit_s: float | None,
        on_idle: Callable[[], None],
        meter: Meter | None,
        on_rest: Callable[[str], None],
        look_s: float,
    ) -> None:
        self._workshop, self._done = workshop, done
        self._idle_exit_s, self._on_idle = idle_exit_s, on_idle
        self._meter, self._on_rest = meter, on_rest
        self._look_s = look_s if idle_exit_s is None else min(look_s, idle_exit_s / 4)
        self._rests = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Begin, if there is something to look for."""
        if self._meter is not None:
            self._rest(_NOT_KNOWN)
        if self._meter is not None or self._idle_exit_s is not None:
            self._thread.start()

    def close(self) -> None:
        """End. Blocks until the thread is gone."""
        self._closed.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        looks = 0
        idleness = Idleness(time.monotonic())
        courtesy = Courtesy(os.cpu_count() or 1)
        while not self._closed.is_set():
            now = time.monotonic()
            with self._workshop.lock:
                children = [child.pid for child in self._workshop.all_children]
            busy = count_busy(self._workshop)
            if self._meter is not None:
                use = self._meter(children)
                if looks:
                    who = courtesy.note(now, use)
                    self._rest(who and f"the machine is in use: {who}")
            idle_s = idleness.note(now, busy=busy, done=self._done())
            if self._idle_exit_s is not None and idle_s >= self._idle_exit_s:
                self._on_idle()
                return
            self._closed.wait(self._look_s if looks else min(self._look_s, _FIRST_S))
            looks += 1

    def _rest(self, reason: str) -> None:
        if bool(reason) != self._rests:
            self._rests = bool(reason)
            self._on_rest(reason)
