"""Lanes: children that ask the master themselves, while tasks come one by one.

What is held for the farm is not delivered then, and goes on from where the lane was closed: the
child says how far it has come, or if it has died, the mark does. A lane that is found half noted
has its last call run again, or told as lost; nothing is left out.
"""

from __future__ import annotations

from collections.abc import Callable

from masterslave.protocol.encoding import encode
from masterslave.protocol.hand_outs import CALL, WireTask
from masterslave.protocol.outcomes import LOST, Outcome, PostMortem
from masterslave.slave.child.frames import OpenLane
from masterslave.slave.children import Child, LaneClosed
from masterslave.slave.work import FarmWork, Job
from remoteobj.handing import HandedOver

__all__ = ["Lanes"]

_CALLS = 1 << 32
"""So many numbers of calls belong to a lane: the agent's go on after them."""


class _Lane:
    __slots__ = (
        "batch",
        "first",
        "is_unwanted",
        "masters",
        "outcomes",
        "sequence",
        "times_joined",
        "work",
    )

    def __init__(self, work: FarmWork, first: int) -> None:
        self.work, self.first = work, first
        self.batch, self.times_joined = work.acknowledged, work.times_joined
        self.masters = work.masters
        self.sequence, self.outcomes = work.give_to_lane()
        self.is_unwanted = False


class Lanes:
    """The lanes that are open; the workshop's lock is held in each method."""

    def __init__(self) -> None:
        self._open: dict[Child, _Lane] = {}

    def __contains__(self, child: Child) -> bool:
        return child in self._open

    def work_of(self, child: Child) -> FarmWork | None:
        """Return for which farm a child asks itself; None: for none."""
        lane = self._open.get(child)
        return None if lane is None else lane.work

    def open(
        self,
        child: Child,
        work: FarmWork,
        *,
        farm: int,
        slave: str,
        handed: HandedOver,
        patience_s: float,
    ) -> OpenLane:
        """Note a lane; returns what the child is to be told.

        Args:
            farm: By which number the child knows it.
            patience_s: How long the master may take to answer.
        """
        load = child.load
        lane = self._open[child] = _Lane(work, load.calls)
        load.calls += _CALLS
        return OpenLane(
            slave,
            lane.batch,
            lane.sequence,
            lane.outcomes,  # type: ignore[arg-type]  # which are written alike
            farm,
            lane.first,
            patience_s,
            handed.prefix,
            handed.answer_prefix,
            handed.suffix,
            handed.before,
            handed.after,
            handed.number,
        )

    def close(self, work: FarmWork | None = None, *, is_unwanted: bool = False) -> None:
        """Have the lanes of a farm closed, or all; *is_unwanted*: and what they run given back."""
        for child, lane in self._open.items():
            if work is None or lane.work is work:
                lane.is_unwanted = lane.is_unwanted or is_unwanted
                child.close_lane(lane.first)

    def forget(self, child: Child) -> None:
        """It could not be opened."""
        lane = self._open.pop(child)
        lane.work.take_from_lane(lane.batch, lane.sequence, lane.outcomes)

    def stop(self, work: FarmWork, is_meant: Callable[[Job], bool]) -> None:
        """Kill children that run in a lane what is to be stopped: they have not closed it."""
        for child, lane in self._open.items():
            job = _job_by_mark(child, lane)
            if lane.work is work and job is not None and is_meant(job):
                child.is_doomed = True
                child.kill()

    def runs_now(self, child: Child) -> tuple[FarmWork, int] | None:
        """Return the farm and the task of what a child runs in a lane, or has run last."""
        lane = self._open.get(child)
        return None if lane is None else (lane.work, child.lane_mark.task)

    def jobs_of(self, work: FarmWork) -> list[Job]:
        """Return what lanes of a farm run, as their marks tell."""
        return [
            job
            for child, lane in self._open.items()
            if lane.work is work
            and child.lane_mark.runs >= 0
            and (job := _job_by_mark(child, lane)) is not None
        ]

    def note_batches(self, work: FarmWork) -> None:
        """Acknowledge what lanes have taken in, before somebody else asks."""
        for child, lane in self._open.items():
            if lane.work is work and lane.times_joined == work.times_joined:
                work.acknowledged = max(work.acknowledged, child.lane_mark.batch)

    def take_back(self, child: Child, told: LaneClosed) -> tuple[FarmWork, Job | None]:
        """Go on from where a lane was closed; returns for which farm, and what the child runs."""
        lane = self._open.pop(child)
        work = lane.work
        is_same = lane.times_joined == work.times_joined
        work.take_from_lane(told.acknowledged if is_same else 0, told.sequence, told.outcomes)
        work.done += told.number - lane.first
        if told.running is None:
            return work, None
        job = Job(work, told.running, b"", is_inherited=lane.masters < work.masters)
        child.load.jobs[told.number - 1] = job
        work.running += 1
        if lane.is_unwanted:
            work.give_back_running([job])
        return work, job

    def mourn(self, child: Child, post_mortem: PostMortem) -> FarmWork | None:
        """A child has died: what its lane has brought last is lost, unless the master knows better.

        Returns:
            The farm that is to hear of it; None if no lane was open.
        """
        lane = self._open.pop(child, None)
        if lane is None:
            return None
        work, mark = lane.work, child.lane_mark
        is_same = lane.times_joined == work.times_joined
        if mark.batch == lane.batch:  # it is not sure that these have arrived
            work.take_from_lane(lane.batch if is_same else 0, lane.sequence, lane.outcomes)
        else:
            work.take_from_lane(mark.batch if is_same else 0, mark.sequence, ())
        job = _job_by_mark(child, lane)
        if job is not None:
            item = 0 if mark.runs >= 0 else -1
            task, payload = job.task, encode(post_mortem)
            work.tell([Outcome(task.task, task.attempt, 1, LOST, payload, 0.0, item)])
        return work


def _job_by_mark(child: Child, lane: _Lane) -> Job | None:
    """Return what a lane has brought last."""
    mark = child.lane_mark
    if mark.task < 0:
        return None
    return Job(lane.work, WireTask(mark.task, mark.attempt, 1, CALL, b"", b""), b"")
