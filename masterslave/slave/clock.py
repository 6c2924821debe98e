"""A thread that looks after what is overdue; it sleeps while nothing can be."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["Clock"]

TICK_S = 0.025


class Clock:
    """Calls *tick* with the time, for as long as there is something to look after.

    Args:
        tick: Returns in how many seconds to look again; None: when ``wake`` is called.
    """

    def __init__(self, tick: Callable[[float], float | None]) -> None:
        self._tick = tick
        self._tick_s = TICK_S
        self._condition = threading.Condition(threading.Lock())
        self._is_awake = False
        self._closed = False
        self._alarms: list[tuple[float, Callable[[], None]]] = []
        self._thread: threading.Thread | None = None

    def wake(self, *, at_once: bool = False) -> None:
        """There may be something to look after from now on.

        Args:
            at_once: Whether to look before the time that *tick* has asked for.
        """
        if at_once or not self._is_awake:
            self._start()

    def at(self, deadline: float, alarm: Callable[[], None]) -> None:
        """Call *alarm* when *deadline* (monotonic) has passed."""
        with self._condition:
            self._alarms.append((deadline, alarm))
        self._start()

    def close(self) -> None:
        """End the thread. Blocks until it has."""
        with self._condition:
            self._closed = True
            self._condition.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _start(self) -> None:
        with self._condition:
            if self._closed:
                return
            self._is_awake = True
            self._condition.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="clock", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            with self._condition:
                if self._closed:
                    return
                if self._is_awake or self._alarms:
                    self._condition.wait(TICK_S if self._alarms else self._tick_s)
                else:
                    self._condition.wait()
                self._is_awake = False  # before the look: who wakes us after it is heard
                now = time.monotonic()
                due = [alarm for deadline, alarm in self._alarms if deadline <= now]
                self._alarms = [entry for entry in self._alarms if entry[0] > now]
                if self._closed:
                    return
            for alarm in due:
                alarm()
            again_s = self._tick(now)
            if again_s is not None:
                self._tick_s, self._is_awake = again_s, True
