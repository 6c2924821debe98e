"""Who asks the master for work, and takes in what it says.

As a rule this is a thread of its own, which polls. But if tasks come one by one, each when the last
has ended, the thread that has read the result asks for the next one itself, and brings the result
along: one call for each task instead of two, and no hand-over from thread to thread. The poll's
thread then rests. It asks again when what came is no lone short task, or takes longer than was
expected; so a slave is never out of reach for more than a moment.

::

    poll:     ask ... task -> child      rests                    rests
    child's:                  result ->  ask and deliver ... task -> child  result -> ask ...
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from masterslave.protocol.encoding import decode, encode
from masterslave.protocol.verbs import Ask, Instructions
from masterslave.slave.calling import Caller
from masterslave.slave.children import Child
from masterslave.slave.courier import Courier
from masterslave.slave.intake import Intake
from masterslave.slave.work import FarmWork
from masterslave.slave.workshop import Workshop
from remoteobj import Proxy
from remoteobj.handing import hand_over

__all__ = ["Asker"]

_REST_S = 0.003
"""So long the master cannot reach the slave, if a task takes longer than was expected."""
_TICK_S = 0.004
_LULL_S = 0.02
_SMALL_BYTES = 64 * 1024
_LANE_AFTER = 16
"""So many tasks have to come one by one for the child to be given a lane."""
_LANE_PATIENCE_S = 5.0
_ANSWER_S = 0.05
"""So long a child may take to close its lane, before it is done without its word."""


class _LaneWatch:
    """What is seen of the lane that is open; see ``lanes``.

    Attributes:
        seen: What its mark showed; ``since`` when.
        told_at: When the child was told to close it; 0: it was not.
    """

    __slots__ = ("child", "seen", "since", "slave", "told_at")

    def __init__(self, child: Child, slave: str) -> None:
        self.child, self.slave = child, slave
        self.seen = (0, 0)
        self.since = time.monotonic()
        self.told_at = 0.0


class Asker:
    """Asks for one farm.

    Args:
        listen: The master, with time for a poll.
        slave: Returns by which name the master knows the slave.
    """

    def __init__(
        self,
        work: FarmWork,
        workshop: Workshop,
        caller: Caller,
        courier: Courier,
        intake: Intake,
        *,
        slave: Callable[[], str],
        slots: Callable[[], int],
        heartbeat_s: Callable[[], float],
    ) -> None:
        self._work, self._workshop = work, workshop
        self._caller, self._courier, self._intake = caller, courier, intake
        self._slave, self._slots, self._heartbeat_s = slave, slots, heartbeat_s
        self._turn = threading.Condition(workshop.lock)
        self._rests = False
        """Whether the poll's thread leaves it to others to ask."""
        self._is_asked = False
        """Whether another thread asks."""
        self._since = 0.0
        """When that began, or ended."""
        self._sleeps = False
        """Whether the poll's thread has to be woken."""
        self._is_called_back = False
        self._in_a_row = 0
        """How many times another thread has asked since this one rests."""
        self._lane: _LaneWatch | None = None

    def poll(self, listen: Proxy) -> Instructions:
        """Ask, take in what comes, and so on, until the master says that this is over, or that it
        does not know the slave.

        Raises:
            MasterGone: As ``Caller.call``.
        """
        self._listen = listen
        over = self._caller.over
        told = Instructions()
        while not over.is_set():
            with self._workshop.lock:
                self._workshop.lanes.note_batches(self._work)
                ask = Ask(self._slave(), self._slots(), self._work.acknowledged)
            told = self._caller.call(listen, "next", ask, Instructions)
            if told.ended or told.unknown:
                return told
            self._take(told, ask.slave)
            self._rest()
        return told

    def has_outcomes(self, child: Child | None) -> None:
        """There may be something to deliver; in the thread that listens to *child*, if there is.

        Blocks: for a short delivery; or, while the child has nothing to do, until it has.
        """
        while child is not None:
            with self._workshop.lock:
                ask = self._ask_in_place()
            if ask is None:
                break
            if (
                self._in_a_row >= _LANE_AFTER
                and child.takes_lanes
                and self._open_lane(child, ask.slave)
            ):
                return
            self._in_a_row += 1
            child.step_away()
            self._caller.begin()
            try:
                told = decode(self._listen.next(encode(ask)), Instructions)
            except Exception:  # the poll meets it again
                told = Instructions(unknown=True)
            self._caller.end()
            child.step_back()
            with self._workshop.lock:
                self._is_asked = False
                self._since = time.monotonic()
            if told.unknown or told.ended:  # the poll will hear the same, and knows what to do
                break
            self._take(told, ask.slave)
            if told.batch:
                self._go_on()
                return
        # Its thread fills a child before it comes here: what the child has now, it is to run next.
        self._courier.deliver_soon(may_gather=child is not None and bool(child.load.jobs))
        if self._rests and not self._is_asked:
            self._go_on()

    def lane_closed(self, answer: bytes) -> None:
        """The child asks no more; what the master has said and it has not taken in is *answer*."""
        with self._turn:
            lane, self._lane = self._lane, None
            self._is_asked = False
            self._since = time.monotonic()
            self._turn.notify()
        if lane is not None and answer:
            told = decode(answer, Instructions)
            if not (told.unknown or told.ended):  # else the poll will hear the same
                self._take(told, lane.slave)

    def _open_lane(self, child: Child, slave: str) -> bool:
        """Have the child ask itself, where it can."""
        self._in_a_row = 0
        handed = hand_over(self._listen, "next")
        if handed is None:
            return False
        with contextlib.closing(handed.sock):
            patience_s = self._heartbeat_s() + _LANE_PATIENCE_S
            self._lane = _LaneWatch(child, slave)
            if self._workshop.open_lane(self._work, child, slave, handed, patience_s):
                return True
            self._lane = None
            return False

    def _watch_lane(self, lane: _LaneWatch) -> bool:
        """See that the lane is closed when a call takes long, or none comes; the lock is held.

        Returns:
            Whether that takes so long that this thread has to ask meanwhile.
        """
        now, mark = time.monotonic(), lane.child.lane_mark
        seen = (mark.batch, mark.runs)
        if seen != lane.seen:
            lane.seen, lane.since = seen, now
        if lane.told_at:
            return now - lane.told_at > _ANSWER_S
        if now - lane.since > (_REST_S if mark.runs >= 0 else _LULL_S):
            lane.told_at = now
            self._workshop.lanes.close(self._work)
        return False

    def _ask_in_place(self) -> Ask | None:
        """Return what the thread of a child is to ask, if it is; the lock is held."""
        work = self._work
        if (
            not self._rests
            or self._is_asked
            or self._is_called_back
            or work.running
            or work.waiting
            or work.takes_nothing
            or work.lines  # which are delivered
            or self._caller.over.is_set()
            or not self._workshop.is_alone(work)
        ):
            return None
        sequence, outcomes = work.to_deliver(_SMALL_BYTES)
        if sum([len(outcome.payload) for outcome in outcomes]) > _SMALL_BYTES:
            return None
        self._is_asked = True
        self._since = time.monotonic()
        return Ask(self._slave(), self._slots(), work.acknowledged, sequence, outcomes)

    def _take(self, told: Instructions, slave: str) -> None:
        self._intake.take(told, slave)
        work = self._work
        if work.takes_nothing or work.has_refused or (told.recalls and work.has_outcomes):
            self._courier.deliver_soon()

    def _go_on(self) -> None:
        """Nobody asks now: see to it that somebody does, soon if there is more than a lone task."""
        with self._turn:
            is_lone = self._is_lone()
            self._is_called_back = self._is_called_back or not is_lone
            if self._sleeps or not is_lone:
                self._turn.notify()

    def _is_lone(self) -> bool:
        """Tell whether there is one task, and a short one; the lock is held."""
        work = self._work
        return (
            work.running == 1
            and not work.waiting
            and not work.takes_nothing
            and self._workshop.is_brief(work)
        )

    def _rest(self) -> None:
        """Leave it to the child's thread to ask, for as long as tasks come one by one."""
        with self._turn:
            if not self._is_lone():
                return
            self._rests, self._is_called_back = True, False
            self._in_a_row = 0
            self._since = time.monotonic()
            while not (self._is_called_back or self._caller.over.is_set()):
                if self._lane is not None:
                    if self._watch_lane(self._lane):
                        break
                    self._turn.wait(_TICK_S)
                    continue
                passed = time.monotonic() - self._since
                if not self._is_asked and passed > _REST_S:
                    break
                self._sleeps = self._is_asked and passed > _LULL_S
                self._turn.wait(1.0 if self._sleeps else _TICK_S)
            self._rests = self._sleeps = False
