"""The local slaves of one farm."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque

from masterslave.launch.local import LocalSlave, OwnSlave
from masterslave.slave.capacity import usable_cpus
from masterslave.slave.scratch import remove_stale
from remoteobj import URI

__all__ = ["LocalSlaves"]

log = logging.getLogger("masterslave")

_LEAVE_S = 3.0
_MOST_ENDS = 100
MAX_RESTARTS, WITHIN_S = 5, 30.0
"""Slaves that die are replaced, but so many of them in so many seconds: more are no bad luck."""


class LocalSlaves:
    """Starts slaves for the farm at *uri* on this machine, replaces those that die, and ends them
    with the farm.
    """

    def __init__(self, uri: URI) -> None:
        self._uri = str(uri)
        self._lock = threading.Lock()
        self._slaves: list[LocalSlave] = []
        self._restarts: deque[float] = deque()
        self._has_ended = threading.Condition(self._lock)
        self._ends: dict[int, str] = {}
        """How those have ended that were ended last."""
        self._closed = False
        self._threads = 1

    def add(self, count: int) -> None:
        """Start *count* slaves of one slot each."""
        with self._lock:
            self._threads = max(1, usable_cpus() // max(1, len(self._slaves) + count))
            for _ in range(0 if self._closed else count):
                self._start()

    def add_for_all_cpus(self) -> int:
        """Start one slave for each CPU that this process may use; returns their number."""
        count = usable_cpus()
        self.add(count)
        return count

    def has(self, pid: int) -> bool:
        """Tell whether this process is one of them."""
        with self._lock:
            return any(slave.pid == pid for slave in self._slaves)

    def how_ended(self, pid: int, timeout_s: float) -> str:
        """Return how a process of them has ended, in words; empty if it has not within so long."""
        with self._lock:
            self._has_ended.wait_for(lambda: pid in self._ends, timeout_s)
            return self._ends.pop(pid, "")

    def close(self) -> None:
        """End all of them. Blocks until they are gone, at most a few seconds."""
        with self._lock:
            self._closed = True
            slaves, self._slaves = self._slaves, []
        for slave in slaves:
            slave.stop()
        deadline = time.monotonic() + _LEAVE_S
        for slave in slaves:
            slave.wait(deadline)

    def _start(self) -> None:
        slave = OwnSlave(self._uri, self._threads)
        self._slaves.append(slave)
        slave.watch(self._ended)

    def _ended(self, slave: LocalSlave, code: int) -> None:
        """A slave's process is gone; one that was not told to leave is replaced at once."""
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        with self._lock:
            if slave not in self._slaves:
                return
            self._ends[slave.pid] = f"its agent died by {how}"
            while len(self._ends) > _MOST_ENDS:
                del self._ends[next(iter(self._ends))]
            self._has_ended.notify_all()
            self._slaves.remove(slave)
            slave.stop()  # which closes its pipe
            if self._closed or code == 0:  # it was drained, or its farm has ended
                return
            now = time.monotonic()
            while self._restarts and self._restarts[0] < now - WITHIN_S:
                self._restarts.popleft()
            if code < 0:
                remove_stale()  # it could not
            if len(self._restarts) >= MAX_RESTARTS:
                log.error(
                    "a local slave (pid %d) died by %s, and %d died within %g s before: it is not "
                    "replaced; see what they have printed, and use add_local_slaves()",
                    slave.pid, how, MAX_RESTARTS, WITHIN_S,
                )  # fmt: skip
                return
            self._restarts.append(now)
            log.warning("a local slave (pid %d) died by %s; another one is started", slave.pid, how)
            try:
                self._start()
            except OSError as error:
                log.error("another local slave cannot be started: %s", error)
