"""Toy slaves: what a slave does, as far as the master sees it, without processes and sockets.

A slave starts what it is sent in that order, as many at once as it has slots; keeps outcomes until
they are delivered; gives back what is recalled and not started. Messages take a while, and what has
gathered meanwhile goes with them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Protocol

from masterslave.scheduler import (
    Event,
    HandOut,
    HandOutsGivenBack,
    HandOutsLost,
    Order,
    RecallTasks,
    SendTasks,
    SlaveAsked,
    SlaveHeard,
    SlaveLeft,
    SlaveUnable,
    StopTasks,
    TasksReturned,
)
from masterslave.testing.climate import Climate

__all__ = ["ToySlave", "World"]

Key = tuple[int, int]


class World(Protocol):
    """What a toy slave needs of the farm that it belongs to."""

    climate: Climate
    random: Random
    heartbeat_s: float
    silence_s: float

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something later."""

    def say(self, event: Event) -> None:
        """Tell the scheduler."""

    def now(self) -> float:
        """Return the time of the fake clock."""

    def seconds_of(self, hand_out: HandOut) -> float:
        """Return how long a hand-out takes on a usual slave."""

    def limit_of(self, hand_out: HandOut) -> float:
        """Return how long a hand-out may run, in seconds."""

    def killer_in(self, hand_out: HandOut) -> int | None:
        """Return the task of it that kills its process."""

    def raising_in(self, hand_out: HandOut, *, is_bad: bool) -> list[int]:
        """Return those tasks of it that raise."""

    def has_retries(self, task: int) -> bool:
        """Tell whether a task that raises is to be run again."""

    def is_unable(self, host: int, hand_out: HandOut) -> bool:
        """Tell whether the slaves of a host cannot run the function of this."""

    def count_running(self, slots: int, hand_outs: int) -> None:
        """Note that so many more slots are there, and so many more hand-outs run."""


class ToySlave:
    """One slave.

    Args:
        slots: Tasks that it runs at once.
        pace: How many times slower it is than a usual one.
        is_bad: Most tasks raise here.
        host: Number of its machine, which says what it is able to do.
    """

    def __init__(
        self,
        world: World,
        name: str,
        slots: int,
        *,
        pace: float = 1.0,
        is_bad: bool = False,
        host: int = 0,
    ) -> None:
        self.name = name
        self.host = host
        self.slots = slots
        self.is_here = True
        """Its process lives, or its machine is only cut off."""
        self.is_known = True
        """The master knows it by this name."""
        self.cut_off_until = 0.0
        self._slept_s = 0.0
        self._world = world
        self._pace = pace
        self._is_bad = is_bad
        self._is_leaving = False
        self._queue: dict[Key, HandOut] = {}
        self._running: dict[Key, HandOut] = {}
        self._mail: deque[Order] = deque()
        self._returned: list[tuple[HandOut, float, list[int]]] = []
        self._given_back: list[HandOut] = []
        self._lost: list[HandOutsLost | SlaveUnable] = []
        self._is_delivering = False
        self._said_at = world.now()
        world.count_running(slots, 0)
        world.after(world.heartbeat_s, self._beat)

    def post(self, order: Order) -> None:
        """An order is on its way to the slave; those that follow soon go with it."""
        if not self._mail:
            self._world.after(self._exchange_s(), self._read_mail)
        self._mail.append(order)

    # What happens to it.

    def crash(self) -> None:
        """Its machine is gone; the master sees the connection close."""
        self._vanish()
        self._world.after(self._exchange_s(), self._be_lost)

    def lose_its_cable(self) -> None:
        """Its machine is gone, and nobody tells the master."""
        self._vanish()

    def be_cut_off(self, seconds: float) -> None:
        """Nothing comes through for a while; it works on."""
        self.cut_off_until = self._world.now() + seconds

    def sleep(self, seconds: float) -> None:
        """Its machine sleeps: nothing comes through, and nothing goes on."""
        self.be_cut_off(seconds)
        self._slept_s += seconds

    def drain(self) -> None:
        """It takes nothing new, gives back what it has not started, and leaves when it is done."""
        if self._is_cut_off():
            self._world.after(self.cut_off_until - self._world.now(), self.drain)
            return
        if not self.is_here or not self.is_known:
            return
        self._is_leaving = True
        self._given_back += self._queue.values()
        self._queue.clear()
        self._world.say(SlaveAsked(self.name, 0))
        self._deliver_soon()

    def change_slots(self, slots: int) -> None:
        """It is shared with another farm."""
        if not self._is_leaving and not self._is_cut_off():
            self._world.count_running(slots - self.slots, 0)
            self.slots = slots
            self._world.say(SlaveAsked(self.name, slots))
            self._start_next()

    def be_dismissed(self) -> None:
        """The master has given it up: it finishes what it runs, and nothing else."""
        self.is_known = False
        self._queue.clear()

    def _is_cut_off(self) -> bool:
        return self._world.now() < self.cut_off_until

    def _vanish(self) -> None:
        self.is_here = False
        self._world.count_running(-self.slots, -len(self._running))
        self._running.clear()
        self._queue.clear()

    def _be_lost(self) -> None:
        if self.is_known:
            self.is_known = False
            self._world.say(SlaveLeft(self.name, "its connection closed"))

    # What it does.

    def _read_mail(self) -> None:
        if not self.is_here:
            return
        if self._world.now() < self.cut_off_until:
            self._world.after(self.cut_off_until - self._world.now(), self._read_mail)
            return
        mail, self._mail = self._mail, deque()
        for order in mail:
            match order:
                case SendTasks():
                    self._take_in(order.hand_outs)
                case StopTasks():
                    self._stop(order.hand_outs)
                case RecallTasks():
                    keys = [(h.task, h.attempt) for h in order.hand_outs]
                    self._given_back += [self._queue.pop(k) for k in keys if k in self._queue]
                    self._deliver_soon()
        self._start_next()

    def _take_in(self, hand_outs: Sequence[HandOut]) -> None:
        if self._is_leaving:
            self._given_back += hand_outs
            self._deliver_soon()
        elif self.is_known:
            self._queue.update(((h.task, h.attempt), h) for h in hand_outs)

    def _stop(self, hand_outs: Sequence[HandOut]) -> None:
        for hand_out in hand_outs:
            key = (hand_out.task, hand_out.attempt)
            self._queue.pop(key, None)
            if self._running.pop(key, None) is not None:
                self._world.count_running(0, -1)

    def _start_next(self) -> None:
        world = self._world
        while self._queue and len(self._running) < self.slots:
            key = next(iter(self._queue))
            hand_out = self._running[key] = self._queue.pop(key)
            world.count_running(0, 1)
            seconds = world.seconds_of(hand_out) * self._pace
            if world.is_unable(self.host, hand_out):
                seconds = 1e-4
            seconds = min(seconds, world.limit_of(hand_out))
            world.after(seconds, partial(self._finish, hand_out, seconds, self._slept_s))

    def _finish(self, hand_out: HandOut, seconds: float, slept_s: float) -> None:
        if self._slept_s > slept_s:  # it has slept meanwhile, or does
            again = partial(self._finish, hand_out, seconds, self._slept_s)
            self._world.after(self._slept_s - slept_s, again)
            return
        if self._running.pop((hand_out.task, hand_out.attempt), None) is None:
            return
        world = self._world
        world.count_running(0, -1)
        killer = world.killer_in(hand_out)
        if world.is_unable(self.host, hand_out):
            self._lost.append(SlaveUnable(self.name, hand_out, "no module named nothing"))
        elif killer is not None:
            is_known = world.random.random() < world.climate.culprit_share
            how = "its process was killed by SIGKILL"
            self._lost.append(HandOutsLost(self.name, hand_out, how, killer if is_known else -1))
        else:
            raised = world.raising_in(hand_out, is_bad=self._is_bad)
            if seconds >= world.limit_of(hand_out):  # its slave ends it, and says that it raised
                raised = [*range(hand_out.task, hand_out.task + hand_out.count)]
            self._returned.append((hand_out, seconds, raised))
        self._start_next()
        self._deliver_soon()

    def _deliver_soon(self) -> None:
        if not self._is_delivering:
            self._is_delivering = True
            self._world.after(self._exchange_s(), self._deliver)

    def _deliver(self) -> None:
        world = self._world
        if world.now() < self.cut_off_until:
            world.after(self.cut_off_until - world.now(), self._deliver)
            return
        self._is_delivering = False
        if not self.is_here and world.random.random() < 0.5:
            return  # what had left the machine before it was gone
        events: list[Event] = []
        if self._returned:
            hand_outs, seconds, raised = zip(*self._returned, strict=True)
            failed = frozenset(task for tasks in raised for task in tasks)
            to_retry = frozenset(filter(world.has_retries, failed))
            events.append(TasksReturned(self.name, hand_outs, seconds, to_retry, failed))
            self._returned = []
        events += self._lost
        if self._given_back:
            events.append(HandOutsGivenBack(self.name, self._given_back))
        self._lost, self._given_back = [], []
        self._said_at = world.now()
        self._say_all(events)
        if world.random.random() < world.climate.duplicate_share:
            world.after(self._exchange_s() * 5, partial(self._say_all, events))
        if self._is_leaving and self.is_known and not self._running and not self._mail:
            self._leave()

    def _say_all(self, events: list[Event]) -> None:
        for event in events:
            self._world.say(event)

    def _leave(self) -> None:
        if self.is_here:
            self._vanish()
        self.is_known = False
        self._world.say(SlaveLeft(self.name, "drained", in_peace=True))

    def _beat(self) -> None:
        """Give a sign of life, if there was none for a heartbeat."""
        world, now = self._world, self._world.now()
        if not self.is_here or not self.is_known:
            return
        if now >= self.cut_off_until and now - self._said_at >= world.heartbeat_s:
            self._said_at = now
            world.say(SlaveHeard(self.name))
            if self._is_leaving:
                self._deliver_soon()
        due = max(self._said_at + world.heartbeat_s, self.cut_off_until)
        world.after(max(due - now, 1e-3), self._beat)

    def _exchange_s(self) -> float:
        return self._world.climate.exchange_s * self._world.random.uniform(0.5, 1.5)
