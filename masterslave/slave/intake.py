"""Takes in what the master says, whichever verb it has come with."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from masterslave.errands import Errand
from masterslave.protocol.verbs import Instructions
from masterslave.slave.work import FarmWork
from masterslave.slave.workshop import Workshop

__all__ = ["Intake"]


class Intake:
    """Takes in instructions for one farm.  Threads: any.

    Args:
        slave: Returns by which name the master knows the slave.
        drop: Called with the hashes of what is shared no more.
        obey: Does what the master asks for beside tasks.
    """

    def __init__(
        self,
        work: FarmWork,
        workshop: Workshop,
        slave: Callable[[], str],
        drop: Callable[[Iterable[bytes]], None],
        obey: Callable[[tuple[Errand, ...]], None],
    ) -> None:
        self._work, self._workshop, self._slave = work, workshop, slave
        self._drop, self._obey = drop, obey

    def take(self, told: Instructions, slave: str) -> None:
        """Take in what the master has said to *slave*; a batch that has come before is nothing."""
        workshop, work = self._workshop, self._work
        with workshop.lock:
            # Joined anew meanwhile: batches count from 1 again, and the master hands out anew
            # what this one holds.
            if self._slave() != slave:
                return
            work.acknowledge(told.delivered)
            if told.batch <= work.acknowledged:
                return
            work.take_in(told.batch, told.tasks, told.functions, told.limits, told.code)
            children = workshop.assign_locked() if told.tasks and not told.stops else ()
        for child in children:
            child.flush()
        if told.stops:
            workshop.stop(work, told.stops)
            workshop.assign()
        if told.recalls:
            workshop.recall(work, told.recalls)
        if told.dropped:
            self._drop(told.dropped)
        if told.errands:
            self._obey(told.errands)
