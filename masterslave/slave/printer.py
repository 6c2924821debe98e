"""Sorts what children print: to the farm whose task it is of, and to this process's stderr."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from masterslave.printed import show_line
from masterslave.protocol.joining import Welcome
from masterslave.protocol.verbs import Line
from masterslave.slave.children import Child
from masterslave.slave.lanes import Lanes
from masterslave.slave.lines import BURST_LINES, Said
from masterslave.slave.output import show
from masterslave.slave.work import FarmWork

__all__ = ["Printer"]


class _Farm(NamedTuple):
    work: FarmWork
    label: str
    on_lines: Callable[[], None]


class Printer:
    """Of a workshop.

    Args:
        lock: The workshop's; it is held in ``add`` and ``remove``.
        shows: Whether this process shows what is printed; if not, only what is of no farm's task.
    """

    def __init__(self, lock: threading.Lock, lanes: Lanes, *, shows: bool) -> None:
        self._lock, self._lanes, self._shows = lock, lanes, shows
        self._farms: dict[int, _Farm] = {}

    def add(
        self, number: int, work: FarmWork, welcome: Welcome, on_lines: Callable[[], None]
    ) -> None:
        """A farm is served; *on_lines* is called when there is something to deliver."""
        work.lines.is_wanted = welcome.output
        self._farms[number] = _Farm(work, welcome.label, on_lines)

    def remove(self, work: FarmWork) -> None:
        """It is served no longer."""
        self._farms = {n: farm for n, farm in self._farms.items() if farm.work is not work}

    def take(self, child: Child, found: list[Said], left_out: int) -> int:
        """Take lines of a child.

        Args:
            left_out: So many were passed over.

        Returns:
            How many more would be taken now.
        """
        room, shown = BURST_LINES, []
        told: dict[int, _Farm] = {}
        now = time.monotonic()
        with self._lock:
            for said in found:
                number, task = self._find(child, said)
                farm = self._farms.get(number)
                if farm is None:
                    shown.append(said.text)
                    continue
                child.printed_last = number, task
                who, text = said.writer, said.text
                line = Line(task, who.function, who.kind, who.level, who.logger, text)
                is_taken = farm.work.lines.add(line, now)
                if is_taken and self._shows:
                    shown.append(
                        show_line(farm.label, who.function, task, text, who.level, who.logger)
                    )
                told[number] = farm
            number = child.printed_last[0]
            if left_out and number in self._farms:
                told[number] = self._farms[number]
                told[number].work.lines.leave_out(left_out)
            for farm in told.values():
                room = min(room, farm.work.lines.room(now))
                if farm.work.is_in_lane:  # who is in one does not deliver lines
                    self._lanes.close(farm.work)
        if shown:
            show(shown)
        for farm in told.values():
            farm.on_lines()
        return room

    def _find(self, child: Child, said: Said) -> tuple[int, int]:
        """Return the number of a farm, or -1, and that of the task."""
        who = said.writer
        if who.farm >= 0:
            return who.farm, who.task
        job = child.load.jobs.get(who.task)
        if job is not None:
            return self._number_of(job.work), job.task.task + who.item
        in_lane = self._lanes.runs_now(child)
        if in_lane is not None:
            return self._number_of(in_lane[0]), in_lane[1]
        return child.printed_last  # what a task has left behind prints on

    def _number_of(self, work: FarmWork) -> int:
        return next((n for n, farm in self._farms.items() if farm.work is work), -1)
