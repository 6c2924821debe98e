"""Looks after children that are silent, and those whose task is to be stopped; on a clock."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from masterslave.slave.child.outbox import GATHER_S
from masterslave.slave.children import Child, Verdict
from masterslave.slave.clock import TICK_S, Clock
from masterslave.slave.limits import Limits
from masterslave.slave.memory_limit import MemoryLimit
from masterslave.slave.work import Job

__all__ = ["Minder"]

_OVERDUE_S = 2 * GATHER_S
"""A child that holds several calls and has told of none for so long is asked: twice as
long as it gathers."""

_GRACE_S = 0.05
"""A task that is to be stopped may end by itself within this time, in seconds."""


_ToKill = tuple[float | None, Child, int, Verdict | None]
"""When (None: once it is seen to run), whom, for which call, and why if the task is to know."""


class Minder:
    """Minds the children of a workshop.

    Args:
        lock: Guards them and what they hold.
        children: The workshop's list of them.
        share_bytes: What memory each of them may take; 0: any.
    """

    def __init__(self, lock: threading.Lock, children: list[Child], share_bytes: int = 0) -> None:
        self.clock = Clock(self._tick)
        self._lock = lock
        self._children = children
        self._to_kill: list[_ToKill] = []
        self._limits = Limits(socket.gethostname())
        self._memory = MemoryLimit(share_bytes)

    def stop(self, is_meant: Callable[[Job], bool]) -> None:
        """Take calls back that were not started, and kill what runs, after a moment; the lock is
        held.
        """
        for child in self._children:
            numbers = child.load.numbers_of(is_meant)
            if numbers:
                child.reclaim(numbers)
                child.nudge()  # what has ended before is not lost with the child
                self._to_kill += [(None, child, number, None) for number in numbers]
                self.clock.wake(at_once=True)

    def watch(self, jobs: list[Job]) -> None:
        """A child is given these; the lock is held."""
        if jobs[0].work.has_limits and any(job.limit_s for job in jobs):
            self._limits.begin()
            self.clock.wake()
        elif self._memory.is_on:
            self.clock.wake()

    def _tick(self, now: float) -> float | None:
        """Look after what is overdue; returns when to look again, as ``Clock`` wants to know."""
        with self._lock:
            for child, number, verdict in self._limits.look(self._children, now):
                child.nudge()  # what has ended before is not lost with it
                self._to_kill.append((now + _GRACE_S, child, number, verdict))
            for child, number, verdict in self._memory.look(self._children, now):
                self._to_kill.append((now, child, number, verdict))
            looks = [each.again_s for each in (self._limits, self._memory) if each.again_s]
            again_s = TICK_S if self._kill_those_that_run_on(now) else min(looks, default=None)
            is_idle = any(
                child.is_ready and not child.load.jobs and not child.is_doomed
                for child in self._children
            )
            for child in self._children:
                if len(child.load.jobs) < 2:
                    continue
                again_s = min(again_s or 1.0, _OVERDUE_S / 2)
                if now - child.heard_at > _OVERDUE_S:
                    if not child.is_overdue:
                        child.is_overdue = True
                        child.nudge()
                    if is_idle:
                        child.reclaim([*child.load.jobs])
        return again_s

    def _kill_those_that_run_on(self, now: float) -> bool:
        left: list[_ToKill] = []
        for deadline, child, number, verdict in self._to_kill:
            if number not in child.load.jobs or child.is_doomed:
                continue
            runs = child.runs_now()[0] == number
            if runs and deadline is not None and now >= deadline:
                child.verdict = verdict
                child.is_doomed = True  # it is given nothing that the kill would hit
                if verdict is None:
                    child.kill()
                else:  # somebody will want to know where it was
                    child.kill_and_ask()
            else:  # the moment begins when it is seen to run
                due = deadline or (now + _GRACE_S if runs else None)
                left.append((due, child, number, verdict))
        self._to_kill = left
        return bool(left)
