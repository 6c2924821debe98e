"""Fills children with work: for whose farm, how much of it, and what they have to know before."""

from __future__ import annotations

import math
from collections.abc import Collection

from masterslave.slave.children import Child
from masterslave.slave.lanes import Lanes
from masterslave.slave.load import Load, Pace
from masterslave.slave.minding import Minder
from masterslave.slave.offer import NamedTasks
from masterslave.slave.posting import post_farm, post_jobs
from masterslave.slave.served import Farms, Served
from masterslave.slave.shares import TURN_S
from masterslave.slave.staff import Staff
from masterslave.slave.work import FarmWork, Job

__all__ = ["Filler"]


class Filler:
    """Gives tasks that wait to a child.  The workshop's lock is held in each method.

    Args:
        children: All of the slave.
        farms: Whose tasks they are.
        pace: How long they take.
        lanes: Children that get their tasks themselves.
        staff: Replaces a child that can run no more.
        minder: Looks after what a child was given.
        named: Tasks that the children have handlers for.
    """

    def __init__(
        self,
        children: Collection[Child],
        farms: Farms,
        pace: Pace,
        lanes: Lanes,
        staff: Staff,
        minder: Minder,
        named: NamedTasks,
    ) -> None:
        self._children = children
        self._farms, self._served, self._shares = farms, farms.by_work, farms.shares
        self._pace, self._lanes = pace, lanes
        self._staff, self._minder, self._named = staff, minder, named

    def fill(self, child: Child, now: float, among: int) -> None:
        """Post what the child is to be given now, as one of so many; it is to be flushed then."""
        load = child.load
        is_alone = self._shares.is_alone
        parts: dict[FarmWork, int] = {}
        while child.is_ready and not (child.is_doomed or (child.is_overdue and load.jobs)):
            work = self._choose(child, now)
            if work is None:
                return
            farm = self._served[work]
            head = work.waiting[0]
            if head.task.function != load.last_function and not child.equipment.fits(
                farm.number, head
            ):
                self._replace(child)
                return
            most = part = parts.setdefault(work, -(-len(work.waiting) // among))
            limit = farm.welcome.max_tasks_per_child
            if limit:
                most = _most_within(limit, load, farm, most)
                if not most:
                    self._staff.retire(child)
                    return
            first = load.calls
            was_idle = not load.jobs
            taken = load.take(work.waiting, self._pace, most, math.inf if is_alone else TURN_S)
            if not taken:
                return
            work.running += len(taken)
            self._minder.watch(taken)
            if limit:
                load.note_given(farm.number, taken)
            if not is_alone:
                self._shares.give(work, sum([job.expected_s for job in taken]))
            if was_idle:
                child.heard_at, child.is_overdue = now, False
                self._farms.note_occupant(child, now)
            self._post(child, farm, first, taken)
            parts[work] = part - sum([job.task.count for job in taken])
            if work.waiting and (is_alone or parts[work] <= 0):  # it has its part of them
                return

    def _choose(self, child: Child, now: float) -> FarmWork | None:
        """Return for which farm a child is to run something."""
        if self._shares.is_alone:
            return self._shares.choose(_has_waiting, now)
        # Not all at once: while another child comes up for somebody, this one stays.
        is_starting = not all(each.is_ready for each in self._children)
        stay_s = math.inf if is_starting else child.equipment.stay_s

        def suits(work: FarmWork) -> bool:
            return child.equipment.fits(self._served[work].number, work.waiting[0])

        return self._shares.choose(_has_waiting, now, suits, stay_s)

    def _replace(self, child: Child) -> None:
        """What comes next needs other versions of modules than the child has.

        It ends first what it has.
        """
        if child in self._lanes:
            self._lanes.close()
        elif not child.load.jobs:
            self._staff.retire(child)

    def _post(self, child: Child, farm: Served, first: int, jobs: list[Job]) -> None:
        """Post jobs that the child has taken, numbered from *first* on, and what it lacks."""
        if child not in farm.prepared:
            farm.prepared.add(child)
            post_farm(child, farm.number, farm.welcome, self._named)
        head, load = jobs[0], child.load
        if head.task.function != load.last_function:
            equip = child.equipment.frame_for(farm.number, head)
            if equip is not None:
                child.post([equip])
        post_jobs(child, farm.number, first, jobs)
        if len(load.jobs) > 1:
            self._minder.clock.wake()


def _most_within(limit: int, load: Load, farm: Served, most: int) -> int:
    """Return how many tasks of a farm a child may take that may run *limit* of them.

    About *most*: the next hand-outs that fit. The first one may have more than fit into any child.
    """
    given = load.given.get(farm.number, 0)
    count = 0
    for job in farm.work.waiting:
        if count >= most or given + count + job.task.count > limit:
            break
        count += job.task.count
    return count or int(not given)


def _has_waiting(work: FarmWork) -> bool:
    return bool(work.waiting)
