"""The clock of a slave, and what a minder does by it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from masterslave.slave import minding
from masterslave.slave.load import Load
from masterslave.slave.minding import Minder


class Child:
    """A child that runs its first call until it is killed, and notes what it is told."""

    def __init__(self, *jobs: str) -> None:
        self.load = Load()
        self.load.jobs.update(enumerate(jobs))  # by name
        self.is_ready, self.is_doomed, self.is_overdue = True, False, False
        self.heard_at = 0.0
        self.reclaimed: list[list[int]] = []
        self.nudges = threading.Semaphore(0)
        self.killed = threading.Event()
        self.nudge: Callable[[], Any] = self.nudges.release
        self.reclaim = self.reclaimed.append
        self.kill = self.killed.set

    def runs_now(self) -> tuple[int, int]:
        return 0, 0


def test_who_is_to_be_killed_does_not_wait_for_what_is_looked_after_rarely(
    monkeypatch: Any,
) -> None:
    monkeypatch.setattr(minding, "_OVERDUE_S", 60.0)
    lock, child = threading.Lock(), Child("long", "short")
    minder = Minder(lock, [child])  # one by hand
    try:
        minder.clock.wake()
        assert child.nudges.acquire(timeout=10.0), "it has told nothing: it looks again in 30 s"
        with lock:
            minder.stop(lambda job: str(job) == "long")
        assert child.killed.wait(10.0)
        assert child.reclaimed[0] == [0]
    finally:
        minder.clock.close()
