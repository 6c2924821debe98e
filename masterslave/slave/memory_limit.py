"""What memory a child and all that its tasks start may take: its share of the slave's."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator

from masterslave.protocol.outcomes import OUT_OF_MEMORY
from masterslave.slave.children import Child, Verdict
from masterslave.slave.clock import TICK_S
from masterslave.slave.limits import Overdue
from masterslave.slave.processes import below, memory_of

__all__ = ["MemoryLimit"]

_LOOK_S = 0.1
"""How often to look while a child has less than half of its share; else it is each tick: a process
fills some GB in a second."""


class MemoryLimit:
    """Looks at what children take; the workshop's lock is held.

    Args:
        share_bytes: What each may take; 0: anything.
    """

    def __init__(self, share_bytes: int) -> None:
        self._share_bytes = share_bytes
        self._since: dict[Child, tuple[int, float]] = {}
        self.again_s: float | None = None
        """In how many seconds to look again."""

    @property
    def is_on(self) -> bool:
        """Whether there is a limit."""
        return self._share_bytes > 0

    def look(self, children: Iterable[Child], now: float) -> Iterator[Overdue]:
        """Yield the calls whose child has grown beyond its share."""
        self.again_s = None
        if not self.is_on:
            return
        before, self._since = self._since, {}
        for child in children:
            if child.is_doomed or not child.load.jobs:
                continue
            number = child.runs_now()[0]
            run = before.get(child, (-1, now))
            self._since[child] = number, run[1] if run[0] == number else now
            used = memory_of(below(child.pid), self._share_bytes)
            is_near = used > self._share_bytes / 2
            if used > self._share_bytes and number in child.load.jobs:
                yield Overdue(
                    child, number, self._verdict(number, used, now - self._since[child][1])
                )
            elif is_near:
                child.nudge()  # what has ended before is not lost with it
            again_s = TICK_S if is_near else _LOOK_S
            self.again_s = min(again_s, self.again_s or again_s)

    def _verdict(self, number: int, used: int, seconds: float) -> Verdict:
        words = (
            f"it took {used / 2**20:.0f} MiB of memory with what it has started, and a slot of "
            f"this slave has {self._share_bytes / 2**20:.0f} MiB: it was stopped with its process "
            f"on host {socket.gethostname()}; start the slave with fewer --slots or more "
            "--memory, or make smaller tasks"
        )
        return Verdict(number, OUT_OF_MEMORY, words, seconds)
