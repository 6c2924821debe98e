"""What tasks print, on its way to the script: named, and shown by the carrier."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from masterslave.master.book import TaskBook
from masterslave.master.carrier import Carrier
from masterslave.master.seats import Seat
from masterslave.protocol.verbs import Line

__all__ = ["Output", "TaskOutput"]

_STREAMS = ("", "stdout", "stderr", "log")
_MOST_WAITING = 20_000


@dataclass(frozen=True, slots=True)
class TaskOutput:
    """A line that a task has printed, or a record that it has logged.

    Attributes:
        text: Without an end of line; of a log record, it may be several lines.
        slave: Name of the slave.
        function: What the task calls; empty if it is not known any more.
        task: Its number in the farm.
        stream: "stdout", "stderr" or "log"; empty for what C code has written, or a process that
            the task has started, to either stream.
        level: Of the log record; 0 for anything else.
        logger: Name of the record's logger.
    """

    text: str
    slave: str
    function: str
    task: int
    stream: str
    level: int = 0
    logger: str = ""


class Output:
    """Takes lines and has them shown.

    Args:
        show: Called by the carrier with what has come; None: nobody wants it.
    """

    def __init__(
        self, carrier: Carrier, show: Callable[[Sequence[TaskOutput]], None] | None
    ) -> None:
        self._carrier, self._show = carrier, show
        self._lock = threading.Lock()
        self._waiting = self._left_out = 0

    def take(self, lines: Sequence[Line], number: int, seat: Seat, book: TaskBook) -> None:
        """Take lines of a slave, those that have not come before. Called with the master's lock.

        Args:
            number: Of the last one.
        """
        new = min(len(lines), number - seat.line)
        seat.line = max(seat.line, number)
        if self._show is None or new <= 0:
            return
        lines = lines[-new:]
        with self._lock:  # who shows them may be slower than they come
            if self._waiting + len(lines) > _MOST_WAITING:
                self._left_out += len(lines)
                return
            self._waiting += len(lines)
            left_out, self._left_out = self._left_out, 0
        named = [_named(line, seat, book) for line in lines]
        if left_out:
            text = f"... {left_out} lines are left out: they came faster than they were shown"
            named.insert(0, TaskOutput(text, seat.introduction.name, "", lines[0].task, ""))
        self._carrier.carry(partial(self._show_and_forget, named, len(lines)))

    def _show_and_forget(self, named: Sequence[TaskOutput], count: int) -> None:
        assert self._show is not None
        try:
            self._show(named)
        finally:
            with self._lock:
                self._waiting -= count


def _named(line: Line, seat: Seat, book: TaskBook) -> TaskOutput:
    function = line.function
    if not function:
        submission = book.find(line.task)
        name = "" if submission is None else submission.function.name
        function = name.rpartition("<locals>.")[2]
    stream = _STREAMS[line.kind] if 0 <= line.kind < len(_STREAMS) else ""
    return TaskOutput(
        line.text,
        seat.introduction.name,
        function,
        line.task,
        stream,
        line.level if stream == "log" else 0,
        line.logger,
    )
