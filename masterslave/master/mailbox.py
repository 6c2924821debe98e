"""What waits for one slave: orders in a row, given out in batches that are kept until acknowledged.

Pure bookkeeping; who uses it holds the master's lock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from masterslave.protocol import Instructions, KnownFunctions, Stop, WireTask

__all__ = ["Mailbox"]

_MAX_BATCH_BYTES = 16 * 1024 * 1024


class Mailbox:
    """Hand-outs and stops on their way to one slave.

    Args:
        known: The functions that the slave has.
    """

    def __init__(self, *, known: KnownFunctions | None = None) -> None:
        self._tasks: OrderedDict[tuple[int, int], WireTask] = OrderedDict()
        self._stops: list[Stop] = []
        self._known = known or KnownFunctions()
        self._batch = Instructions()
        self._last = 0

    def post_tasks(self, tasks: Iterable[WireTask]) -> None:
        """Put hand-outs in."""
        for task in tasks:
            self._tasks[task.task, task.attempt] = task

    def post_stops(self, stops: Iterable[Stop]) -> None:
        """Put stops in; what has not left yet is simply taken out again."""
        for stop in stops:
            if self._tasks.pop((stop.task, stop.attempt), None) is None:
                self._stops.append(stop)

    @property
    def unacknowledged(self) -> int:
        """Hand-outs that the slave has not said that it has."""
        return len(self._tasks) + len(self._batch.tasks)

    def acknowledge(self, batch: int) -> None:
        """The slave has taken in batches up to this number."""
        if self._batch.batch and self._batch.batch <= batch:
            self._batch = Instructions()

    def has_mail(self) -> bool:
        """Tell whether there is something to give out."""
        return bool(self._batch.batch or self._tasks or self._stops)

    def give_out(self, functions: dict[bytes, bytes]) -> Instructions:
        """Return the batch that is due: the last one again until it is acknowledged.

        Args:
            functions: All functions by hash; those that the slave lacks go along.
        """
        if self._batch.batch or not self.has_mail():
            return self._batch
        tasks: list[WireTask] = []
        lacking: dict[bytes, bytes] = {}
        size = 0
        for task in self._tasks.values():
            function = functions[task.function]
            is_new = task.function not in self._known
            size += len(task.arguments) + (len(function) if is_new else 0)
            if tasks and size > _MAX_BATCH_BYTES:
                break
            tasks.append(task)
            if is_new:
                lacking[task.function] = function
            self._known.use(task.function, len(function))
        for task in tasks:
            del self._tasks[task.task, task.attempt]
        stops, self._stops = self._stops, []
        self._last += 1
        self._batch = Instructions(
            batch=self._last, tasks=tuple(tasks), functions=lacking, stops=tuple(stops)
        )
        return self._batch
