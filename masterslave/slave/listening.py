"""What children say, and that they have died: noted, answered with more work, and told to farms.

Who hears a child gives it the next tasks at once, and then has its outcomes delivered; a task goes
through no other thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

import msgspec

from masterslave.protocol.outcomes import PostMortem
from masterslave.slave.child.frames import Ready, Unstarted, Want
from masterslave.slave.children import Child, Frame, LaneClosed, Told
from masterslave.slave.deaths import after_death
from masterslave.slave.filling import Filler
from masterslave.slave.lanes import Lanes
from masterslave.slave.load import Pace
from masterslave.slave.minding import Minder
from masterslave.slave.reports import note_report
from masterslave.slave.served import Farms, Served
from masterslave.slave.staff import Staff
from masterslave.slave.work import FarmWork, Job

__all__ = ["Listener"]


class Listener:
    """Hears the children of a workshop.

    Args:
        lock: The workshop's.
        farms: Who is told.
        pace: Where it is noted how long calls have taken.
        lanes: Children that get their tasks themselves.
        filler: Gives a child that was heard more to do.
        staff: Replaces children.
        minder: Looks after what a child runs.
        assign: Gives what was taken back to any child; the lock is free.
    """

    def __init__(
        self,
        lock: threading.Lock,
        farms: Farms,
        pace: Pace,
        lanes: Lanes,
        filler: Filler,
        staff: Staff,
        minder: Minder,
        assign: Callable[[], None],
    ) -> None:
        self._lock, self._farms, self._pace, self._lanes = lock, farms, pace, lanes
        self._filler, self._staff, self._minder, self._assign = filler, staff, minder, assign

    def heard(self, child: Child, frame: Frame) -> None:
        """A child has said something; in its own thread."""
        told: Iterable[Served] = ()
        is_inherited = False
        with self._lock:
            now = time.monotonic()
            match frame:
                case Told():
                    child.heard_at, child.is_overdue = now, False
                    works = note_report(child.load, frame, self._pace, self._farms.shares)
                    self._farms.note_occupant(child, now, works)
                    child.equipment.note_run(frame.outcomes[0].seconds)
                    told = self._farms.those_of(works)
                    self._filler.fill(child, now, self._staff.slots)
                case Unstarted():
                    told = self._take_back(child, frame.numbers, now)
                case LaneClosed():
                    told = self._lane_closed(child, frame, now)
                    self._filler.fill(child, now, self._staff.slots)
                case Want():
                    child.waits = True
                    farm = self._farms.numbered(frame.farm)
                    told = () if farm is None else (farm,)
                    job = child.load.jobs.get(child.runs_now()[0])
                    is_inherited = job is not None and job.is_inherited
                case Ready():
                    child.is_ready = True
                    self._filler.fill(child, now, self._staff.slots)
            if child.is_doomed and not child.load.jobs:
                self._staff.retire(child)
        child.flush()
        if type(frame) is Want:
            for farm in told:
                farm.on_want(child, frame.digest, frame.origin, is_inherited)
            return
        if type(frame) is Unstarted:
            self._assign()
        for farm in told:
            if type(frame) is LaneClosed:
                farm.on_lane_closed(frame.answer)
            farm.on_outcomes(child)

    def died(self, child: Child, said: PostMortem) -> None:
        """A child is gone; in its own thread."""
        with self._lock:
            post_mortem = self._look_at(child, said)
            now = time.monotonic()
            self._farms.forget(child)
            lane_of = self._lanes.mourn(child, post_mortem)
            told: set[Served] = set()
            for jobs, put in after_death(child, post_mortem):
                told.update(self._sort_out(jobs, put))
            self._farms.note_occupant(child, now)
            if lane_of is not None:
                told.update(self._farms.those_of([lane_of]))
            self._staff.bury(child, in_vain=not child.load.calls)
        self._assign()
        for farm in told:
            if lane_of is farm.work:
                farm.on_lane_closed(b"")
            farm.on_outcomes(None)

    def _look_at(self, child: Child, told: PostMortem) -> PostMortem:
        """Say what it ran, and what it printed then; the lock is held."""
        number, item = child.runs_now()
        job = child.load.jobs.get(number)
        task = -1 if job is None else job.task.task + max(0, item)
        if child in self._lanes and child.lane_mark.runs >= 0:
            task = child.lane_mark.task
        seconds = told.seconds if task >= 0 else 0.0
        output = child.last_words(task)
        return msgspec.structs.replace(told, task=task, seconds=seconds, output=output)

    def _take_back(self, child: Child, numbers: list[int], now: float) -> list[Served]:
        """Calls were not started after all; returns the farms that are to hear of it."""
        jobs = [job for number in numbers if (job := child.load.drop(number)) is not None]
        self._farms.note_occupant(child, now)
        return self._sort_out(jobs, FarmWork.put_back)

    def _lane_closed(self, child: Child, frame: LaneClosed, now: float) -> list[Served]:
        """Go on as before a lane; returns the farm that is to hear of it."""
        work, job = self._lanes.take_back(child, frame)
        if job is not None:
            self._minder.watch([job])
            child.heard_at, child.is_overdue = now, False
            self._farms.shares.give(work, job.expected_s)
            if job.is_unwanted:
                self._minder.stop(lambda one: one is job)
        return self._farms.those_of([work])

    def _sort_out(
        self, jobs: list[Job], put: Callable[[FarmWork, list[Job]], None]
    ) -> list[Served]:
        """Put jobs back, each to its farm; returns the farms that are to hear of it."""
        by_work: dict[FarmWork, list[Job]] = {}
        for job in jobs:
            by_work.setdefault(job.work, []).append(job)
        for work, mine in by_work.items():
            self._farms.shares.take(work, sum(job.expected_s for job in mine))
            put(work, mine)
        return self._farms.those_of(by_work)
