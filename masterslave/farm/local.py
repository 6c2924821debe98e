"""The local slaves of one farm."""

from __future__ import annotations

import threading
import time

from masterslave.launch.local import LocalSlave
from masterslave.slave.agent import usable_cpus
from remoteobj import URI

__all__ = ["LocalSlaves"]

_LEAVE_S = 3.0


class LocalSlaves:
    """Starts slaves for the farm at *uri* on this machine, and ends them with it."""

    def __init__(self, uri: URI) -> None:
        self._arguments = ["--farm", str(uri), "--slots", "1"]
        self._lock = threading.Lock()
        self._slaves: list[LocalSlave] = []
        self._closed = False

    def add(self, count: int) -> None:
        """Start *count* slaves of one slot each."""
        with self._lock:
            if not self._closed:
                self._slaves += [LocalSlave(self._arguments) for _ in range(count)]

    def add_for_all_cpus(self) -> int:
        """Start one slave for each CPU that this process may use; returns their number."""
        count = usable_cpus()
        self.add(count)
        return count

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
