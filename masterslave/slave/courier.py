"""Brings outcomes to the master, and keeps them until it has them.

Whoever has outcomes and finds no delivery under way makes one itself, if it is small and the master
answers promptly: so the result of a lone task goes out through the thread that has read it. What
comes meanwhile gathers and goes with the next one. Whatever is large, slow or fails is for the
courier's own thread, which delivers the same again until it is acknowledged: the master knows
deliveries by their numbers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from masterslave.errors import SlaveRefused
from masterslave.protocol.encoding import decode, encode
from masterslave.protocol.verbs import Delivery, Instructions
from masterslave.slave.calling import Caller, MasterGone
from masterslave.slave.intake import Intake
from masterslave.slave.work import FarmWork
from remoteobj import Proxy, options

__all__ = ["Courier"]

_MAX_BYTES = 16 * 1024 * 1024
_SMALL_BYTES = 256 * 1024
_SHORT_S = 0.25
_PROMPT_S = 0.002
_ANSWER_S = 5.0
_SLOWEST_BYTES_PER_S = 1024 * 1024
_WEIGHT_OF_LATEST = 0.25
_LEFT_OUT_S = 0.25
GATHER_S = 0.04
"""While children have more to do, their outcomes are delivered no more often than this, in seconds:
a delivery and what it leads to take some 0.4 ms of CPU on the two machines. A child tells what it
has no more often either (``child.outbox.GATHER_S``), so what one child tells goes on at once. Both
are well below what a slot is fed ahead (``Feeding.feed_ahead_s``): the next tasks come in time."""


class Courier:
    """Delivers the outcomes of one farm.

    Args:
        work: What is held for the farm.
        lock: Guards it.
        talk: The master.
        slave: Returns by which name the master knows the slave.
        slots: Returns how many tasks the slave would run at once.
        join_anew: Called when the master does not know the slave by the name given.
    """

    def __init__(
        self,
        work: FarmWork,
        lock: threading.Lock,
        caller: Caller,
        talk: Proxy,
        intake: Intake,
        *,
        slave: Callable[[], str],
        slots: Callable[[], int],
        join_anew: Callable[[str], None],
    ) -> None:
        self.has_said_goodbye = self.has_left = False
        self._work = work
        self._changed = threading.Condition(lock)
        self._caller = caller
        self._talk = talk
        self._intake = intake
        self._talk_briefly = options(talk, timeout_s=_SHORT_S)
        self._slave, self._slots, self._join_anew = slave, slots, join_anew
        self._is_under_way = False
        """Whether some thread makes a delivery."""
        self._is_wanted = False
        """Whether the courier's own thread is to make one."""
        self._usual_s = 0.0
        self._delivered_at = 0.0
        self._due: float | None = None
        """When what gathers is to be delivered; None: nothing does."""
        self._thread = threading.Thread(target=self._run, name="slave deliver", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def close(self) -> None:
        """End, once ``Caller.over`` is set. Blocks until the thread has."""
        with self._changed:
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def deliver_soon(self, *, may_gather: bool = False) -> None:
        """There may be something to deliver.

        Args:
            may_gather: Whoever brought it has more to do: it may wait for what comes next, until
                ``GATHER_S`` after the last delivery.

        Blocks: for one short delivery, at most 0.25 s; or not at all.  Threads: any.
        """
        with self._changed:
            if self._is_under_way or self._is_wanted or self._caller.over.is_set():
                return
            if may_gather and self._gathers():
                return
            delivery = self._next()
            if delivery is None:
                return
            if not self._work.lines.has_more:
                self._due = None
            if self._usual_s > _PROMPT_S or delivery.leaving or _size_of(delivery) > _SMALL_BYTES:
                self._is_wanted = True
                self._changed.notify()
                return
            self._is_under_way = True
            self._delivered_at = time.monotonic()
        told = None
        try:
            start = time.perf_counter()
            told = decode(self._talk_briefly.deliver(encode(delivery)), Instructions)
            self._note(time.perf_counter() - start)
        except Exception:  # whatever it is: the courier's own thread meets it again
            self._note(_SHORT_S)
        try:
            if told is not None:
                self._intake.take(told, delivery.slave)
        finally:
            with self._changed:
                self._is_under_way = False
                if told is not None and not told.unknown:
                    self._work.lines.delivered(delivery.line)
                if self._next() is not None:  # this thread has a child to listen to
                    self._is_wanted = True
                    self._changed.notify()

    def deliver_lines_soon(self) -> None:
        """Tasks have printed something: it goes with the next delivery, or with one of its own."""
        with self._changed:
            if self._due is None and not self._is_wanted:
                self._due = time.monotonic() + GATHER_S
                self._changed.notify()

    def _gathers(self) -> bool:
        """Tell whether outcomes wait for the next ones; the courier's thread sees to it then."""
        now = time.monotonic()
        if self._due is not None:
            return now < self._due
        due = self._delivered_at + GATHER_S
        if now >= due:
            return False
        self._due = due
        self._changed.notify()
        return True

    def _note(self, seconds: float) -> None:
        self._usual_s += _WEIGHT_OF_LATEST * (min(seconds, 10 * _PROMPT_S) - self._usual_s)

    def _next(self) -> Delivery | None:
        """Return what is to be delivered now, or the goodbye; the lock is held."""
        work = self._work
        sequence, outcomes = work.to_deliver(_MAX_BYTES)
        leaving = work.draining and work.is_empty()
        self.has_said_goodbye = leaving
        lines = work.lines
        if (not lines and not lines.has_more) or work.is_in_lane:
            if not outcomes and not leaving:
                return None
            return Delivery(
                self._slave(), sequence, outcomes, self._slots(), work.acknowledged, leaving
            )
        now = time.monotonic()
        number, printed = lines.to_deliver(now)
        if lines.has_more and self._due is None:  # it is said how many, when there are less
            self._due = now + _LEFT_OUT_S
            self._changed.notify()
        if not outcomes and not leaving and not printed:
            return None
        slots = self._slots()
        return Delivery(
            self._slave(), sequence, outcomes, slots, work.acknowledged, leaving, printed, number
        )

    def _run(self) -> None:
        over = self._caller.over
        try:
            while True:
                with self._changed:
                    while not over.is_set() and not self._is_wanted:
                        left_s = None if self._due is None else self._due - time.monotonic()
                        if left_s is not None and left_s <= 0 and not self._is_under_way:
                            self._is_wanted = True
                        else:
                            self._changed.wait(left_s)
                    if over.is_set():
                        return
                    self._due = None
                    delivery = self._next()
                    if delivery is None:
                        self._is_wanted = False
                        continue
                self._delivered_at = time.monotonic()
                self._deliver(delivery)
                if delivery.leaving:
                    self.has_left = True
                    over.set()
        except (MasterGone, SlaveRefused) as error:
            self._caller.how = str(error)
            over.set()

    def _deliver(self, delivery: Delivery) -> None:
        size = _size_of(delivery)
        talk = options(self._talk, timeout_s=_ANSWER_S + size / _SLOWEST_BYTES_PER_S)
        start = time.perf_counter()
        told = self._caller.call(talk, "deliver", delivery, Instructions)
        if size < _SMALL_BYTES:
            self._note(time.perf_counter() - start)
        if not told.unknown:
            if delivery.lines:
                with self._changed:
                    self._work.lines.delivered(delivery.line)
            self._intake.take(told, delivery.slave)
        elif not delivery.leaving:
            self._join_anew(delivery.slave)


def _size_of(delivery: Delivery) -> int:
    size = sum([len(outcome.payload) for outcome in delivery.outcomes])
    return size + sum([len(line.text) for line in delivery.lines])
