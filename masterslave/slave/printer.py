"""Sorts what children print: to the farm whose task it is of, and to this process's stderr."""

from __future__ import annotations

import threading
import time

from masterslave.printed import show_line
from masterslave.protocol.verbs import Line
from masterslave.slave.children import Child
from masterslave.slave.lanes import Lanes
from masterslave.slave.lines import BURST_LINES, Said
from masterslave.slave.output import show
from masterslave.slave.served import Farms, Served

__all__ = ["Printer"]


class Printer:
    """Of a workshop.

    Args:
        lock: The workshop's.
        farms: Whose tasks print.
        shows: Whether this process shows what is printed; if not, only what is of no farm's task.
    """

    def __init__(self, lock: threading.Lock, farms: Farms, lanes: Lanes, *, shows: bool) -> None:
        self._lock, self._farms, self._lanes, self._shows = lock, farms, lanes, shows

    def take(self, child: Child, found: list[Said], left_out: int) -> int:
        """Take lines of a child.

        Args:
            left_out: So many were passed over.

        Returns:
            How many more would be taken now.
        """
        room, shown = BURST_LINES, []
        told: dict[Served, None] = {}
        now = time.monotonic()
        with self._lock:
            for said in found:
                farm, task = self._find(child, said)
                if farm is None:
                    shown.append(said.text)
                    continue
                child.printed_last = farm.number, task
                told[farm] = None
                who, text = said.writer, said.text
                line = Line(task, who.function, who.kind, who.level, who.logger, text)
                is_taken = farm.work.lines.add(line, now)
                if is_taken and self._shows:
                    label = farm.welcome.label
                    shown.append(show_line(label, who.function, task, text, who.level, who.logger))
            last = self._farms.numbered(child.printed_last[0]) if left_out else None
            if last is not None:
                told[last] = None
                last.work.lines.leave_out(left_out)
            for farm in told:
                room = min(room, farm.work.lines.room(now))
                if farm.work.is_in_lane:  # who is in one does not deliver lines
                    self._lanes.close(farm.work)
        if shown:
            show(shown)
        for farm in told:
            farm.on_lines()
        return room

    def _find(self, child: Child, said: Said) -> tuple[Served | None, int]:
        """Return of which farm it is, if that is served, and of which task."""
        who = said.writer
        if who.farm >= 0:
            return self._farms.numbered(who.farm), who.task
        job = child.load.jobs.get(who.task)
        if job is not None:
            return self._farms.by_work.get(job.work), job.task.task + who.item
        in_lane = self._lanes.runs_now(child)
        if in_lane is not None:
            return self._farms.by_work.get(in_lane[0]), in_lane[1]
        number, task = child.printed_last  # what a task has left behind prints on
        return self._farms.numbered(number), task
