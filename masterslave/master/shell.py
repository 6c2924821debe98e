"""The master: where the scheduler's decisions become acts. One lock, one carrier.

::

    Farm --submit, cancel--> handle(event) --orders--> mailboxes (slaves' polls take from them)
    Door --join, next, deliver-->  |                   outcomes --> carrier thread --> futures
                              the lock

Under the lock: an event goes to the scheduler, and its orders go into mailboxes and into the
carrier's queue, in their order, so that a stop never overtakes its hand-out. Nothing under the lock
waits for a socket or runs a user's code: answers are unpacked, and callbacks run, by the carrier.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TypeVar

from masterslave.master.mailbox import Mailbox
from masterslave.protocol import (
    GIVEN_BACK,
    LOST,
    Instructions,
    Introduction,
    Outcome,
    Stop,
    WireTask,
)
from masterslave.scheduler import (
    DismissSlave,
    Event,
    GiveUpTask,
    HandOut,
    HandOutsGivenBack,
    HandOutsLost,
    Order,
    Scheduler,
    SendTasks,
    SettleTasks,
    SlaveAsked,
    SlaveHeard,
    SlaveJoined,
    SlaveLeft,
    StopTasks,
    TasksCancelled,
    TasksReturned,
    TasksSubmitted,
    TimePassed,
)
from masterslave.settings import FarmSettings

__all__ = ["Answer", "GivenUp", "Master", "Seat", "Submission"]

log = logging.getLogger("masterslave")

_View = TypeVar("_View")


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The answer of a task whose hand-outs were lost too often."""

    story: tuple[str, ...]


Answer = Outcome | GivenUp


@dataclass(frozen=True, slots=True)
class Submission:
    """A task as the script hands it in.

    ``settle`` is called once, by the carrier, with the answer and the slave that gave it.
    """

    function: bytes
    arguments: bytes
    settle: Callable[[Answer, str], None]


@dataclass(slots=True)
class Seat:
    """A slave at the table: who it is, and what is on its way to it."""

    slave: str
    introduction: Introduction
    peer: str
    mailbox: Mailbox = field(default_factory=Mailbox)
    delivered: int = 0
    done: int = 0
    state: str = "idle"


class Master:
    """Keeps the tasks, decides through the scheduler, and serves the door.

    Threads: any; every method is short, except ``next_instructions``, which waits.
    """

    def __init__(self, settings: FarmSettings) -> None:
        self.settings = settings
        self.seats: dict[str, Seat] = {}
        self.former: list[Seat] = []
        self._changed = threading.Condition()
        self._scheduler = Scheduler(
            silence_s=settings.silence_s, max_attempts=settings.max_attempts
        )
        self._tasks: dict[int, Submission] = {}
        self._functions: dict[bytes, bytes] = {}
        self._function_uses: Counter[bytes] = Counter()
        self._next_task = 0
        self._joined = 0
        self._ended = False
        self._closed = threading.Event()
        self._settled: SimpleQueue[tuple[Submission, Answer, str] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._carry, name="farm carrier", daemon=True),
            threading.Thread(target=self._keep_time, name="farm clock", daemon=True),
        ]

    def start(self) -> None:
        """Start the carrier and the clock."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Tell the slaves that the farm has ended, and stop; answers that came are handed over."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._closed.set()
        self._settled.put(None)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def submit(self, functions: dict[bytes, bytes], tasks: Sequence[Submission]) -> range:
        """Take in tasks, with the functions that they name; returns their numbers."""
        with self._changed:
            numbers = range(self._next_task, self._next_task + len(tasks))
            self._next_task = numbers.stop
            self._functions.update(functions)
            self._function_uses.update(task.function for task in tasks)
            self._tasks.update(zip(numbers, tasks, strict=True))
            self._handle(TasksSubmitted(tuple(numbers)))
        return numbers

    def cancel(self, tasks: Sequence[int]) -> None:
        """Drop tasks: their ``settle`` is not called any more, what runs is stopped."""
        with self._changed:
            known = [task for task in tasks if task in self._tasks]
            self._handle(TasksCancelled(tuple(known)))
            for task in known:
                self._forget(task)

    def join(self, introduction: Introduction, peer: str) -> Seat:
        """Give a slave a seat."""
        with self._changed:
            self._joined += 1
            seat = Seat(f"{introduction.name}#{self._joined}", introduction, peer)
            self.seats[seat.slave] = seat
            self._handle(SlaveJoined(seat.slave, introduction.slots))
            log.info("slave %s joined from %s", introduction.name, peer)
            return seat

    def leave(self, slave: str, reason: str, *, in_peace: bool = False) -> None:
        """A slave is gone; nothing happens if it is no more at the table."""
        with self._changed:
            in_peace = in_peace or self._ended
            if slave in self.seats:
                self._unseat(slave, "left" if in_peace else "lost", reason)
                self._handle(SlaveLeft(slave, reason, in_peace))

    def next_instructions(self, slave: str, credit: int, acknowledged: int) -> Instructions:
        """Wait for something for the slave, at most a heartbeat."""
        until = time.monotonic() + self.settings.heartbeat_s
        with self._changed:
            seat = self._hear(slave, credit, acknowledged)
            while True:
                if seat is None or self.seats.get(slave) is not seat:
                    return Instructions(unknown=not self._ended, ended=self._ended)
                if self._ended:
                    return Instructions(ended=True)
                remaining = until - time.monotonic()
                if seat.mailbox.has_mail() or remaining <= 0:
                    self._handle(SlaveHeard(slave))
                    return seat.mailbox.give_out(self._functions)
                self._changed.wait(remaining)

    def take_delivery(
        self, slave: str, sequence: int, outcomes: Sequence[Outcome], credit: int, acknowledged: int
    ) -> int | None:
        """Take outcomes in; returns the number up to which they are safe, None for a stranger.

        A stranger's outcomes are taken all the same: it may be a slave that was given up, and the
        first outcome of any attempt is the task's answer.
        """
        with self._changed:
            seat = self.seats.get(slave)
            if seat is None or sequence > seat.delivered:
                self._sort_outcomes(slave, outcomes)
            if seat is not None:
                seat.delivered = max(seat.delivered, sequence)
            return sequence if self._hear(slave, credit, acknowledged) is not None else None

    def scheduler_view(self, look: Callable[[Scheduler], _View]) -> _View:
        """Return what *look* sees of the scheduler, under the lock."""
        with self._changed:
            return look(self._scheduler)

    def wait_for_slaves(self, timeout_s: float) -> bool:
        """Wait until a slave has joined, at most *timeout_s*; tells whether one has."""
        with self._changed:
            return self._changed.wait_for(lambda: self._joined > 0 or self._ended, timeout_s)

    def _hear(self, slave: str, credit: int, acknowledged: int) -> Seat | None:
        seat = self.seats.get(slave)
        if seat is not None:
            seat.mailbox.acknowledge(acknowledged)
            self._handle(SlaveAsked(slave, credit - seat.mailbox.unacknowledged))
        return seat

    def _sort_outcomes(self, slave: str, outcomes: Sequence[Outcome]) -> None:
        returned = {
            HandOut(outcome.task, outcome.attempt): outcome
            for outcome in outcomes
            if outcome.kind not in (LOST, GIVEN_BACK)
        }
        if returned:
            self._handle(TasksReturned(slave, tuple(returned)), returned)
        for outcome in outcomes:
            hand_out = HandOut(outcome.task, outcome.attempt)
            if outcome.kind == LOST:
                reason = outcome.payload.decode(errors="replace")
                self._handle(HandOutsLost(slave, (hand_out,), reason))
            elif outcome.kind == GIVEN_BACK:
                self._handle(HandOutsGivenBack(slave, (hand_out,)))

    def _handle(self, event: Event, outcomes: dict[HandOut, Outcome] | None = None) -> None:
        """Ask the scheduler, and carry out what it says; the lock is held."""
        orders = self._scheduler.handle(event, time.monotonic())
        for order in orders:
            self._carry_out(order, event, outcomes or {})
        if orders or isinstance(event, SlaveJoined):
            self._changed.notify_all()

    def _carry_out(self, order: Order, event: Event, outcomes: dict[HandOut, Outcome]) -> None:
        match order:
            case SendTasks():
                self.seats[order.slave].mailbox.post_tasks(
                    WireTask(
                        h.task,
                        h.attempt,
                        self._tasks[h.task].function,
                        self._tasks[h.task].arguments,
                    )
                    for h in order.hand_outs
                )
            case SettleTasks():
                slave = event.slave if isinstance(event, TasksReturned) else ""
                seat = self.seats.get(slave)
                name = seat.introduction.name if seat else slave.partition("#")[0]
                if seat is not None:
                    seat.done += len(order.hand_outs)
                for hand_out in order.hand_outs:
                    self._settled.put((self._forget(hand_out.task), outcomes[hand_out], name))
            case GiveUpTask():
                self._settled.put((self._forget(order.task), GivenUp(order.story), ""))
            case StopTasks():
                if order.slave in self.seats:
                    stops = [Stop(h.task, h.attempt) for h in order.hand_outs]
                    self.seats[order.slave].mailbox.post_stops(stops)
            case DismissSlave():
                self._unseat(order.slave, "lost", order.reason)

    def _forget(self, task: int) -> Submission:
        submission = self._tasks.pop(task)
        self._function_uses[submission.function] -= 1
        if not self._function_uses[submission.function]:
            del self._function_uses[submission.function], self._functions[submission.function]
        return submission

    def _unseat(self, slave: str, state: str, reason: str) -> None:
        seat = self.seats.pop(slave)
        seat.state = state
        self.former.append(seat)
        level = logging.INFO if state == "left" else logging.WARNING
        log.log(level, "slave %s %s: %s", seat.introduction.name, state, reason)

    def _carry(self) -> None:
        """Hand answers to the futures, in order; users' callbacks run here."""
        while (item := self._settled.get()) is not None:
            submission, answer, slave = item
            try:
                submission.settle(answer, slave)
            except Exception:
                log.exception("a task's answer could not be handed over")

    def _keep_time(self) -> None:
        """Wake the scheduler when it has named a deadline."""
        while not self._closed.wait(self._seconds_to_deadline()):
            with self._changed:
                self._handle(TimePassed())

    def _seconds_to_deadline(self) -> float:
        with self._changed:
            deadline = self._scheduler.next_deadline()
        if deadline is None:
            return self.settings.silence_s
        return min(max(deadline - time.monotonic(), 0.01), self.settings.silence_s)
