"""The master: where the scheduler's decisions become acts. One lock, one carrier.

::

    Farm --submit, cancel--> handle(event) --orders--> mailboxes --> the polls of the slaves
    Door --join, next, deliver-->  |                   outcomes --> carrier thread --> futures
                              the lock

Under the lock: an event goes to the scheduler, and its orders go into mailboxes and into the
carrier's queue, in their order, so that a stop never overtakes its hand-out. Nothing under the lock
waits for a socket or runs a user's code: answers are unpacked, callbacks run, and log records are
handled by the carrier. A slave that asks holds no thread: its poll is a future, which is done when
something has come for it, or after a heartbeat.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from masterslave.master.mailbox import Mailbox
from masterslave.protocol import (
    GIVEN_BACK,
    LOST,
    Instructions,
    Introduction,
    Outcome,
    Stop,
    WireTask,
    encode,
)
from masterslave.scheduler import (
    DismissSlave,
    Event,
    GiveUpTask,
    HandOut,
    HandOutsGivenBack,
    HandOutsLost,
    Order,
    Phase,
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

__all__ = ["Answer", "Cancelled", "GivenUp", "Master", "Poll", "Seat", "Submission"]

log = logging.getLogger("masterslave")

_View = TypeVar("_View")

_REMEMBER_SLAVES = 1000


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The answer of a task whose hand-outs were lost too often."""

    story: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The answer of a task that was cancelled."""


Answer = Outcome | GivenUp | Cancelled


@dataclass(frozen=True, slots=True)
class Submission:
    """A task as the script hands it in.

    ``settle`` is called exactly once, by the carrier, with the answer and the slave that gave it.
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
    poll: Poll | None = None
    """The answer that it waits for."""


class Poll(Future[Any]):
    """A slave's question that is answered later; ``until`` is when at the latest.

    It is set to ``Instructions``, under the master's lock; who takes the result packs them.
    """

    def __init__(self, until: float) -> None:
        super().__init__()
        self.until = until

    def result(self, timeout: float | None = None) -> bytes:
        """Return the packed instructions."""
        return encode(super().result(timeout))


class Master:
    """Keeps the tasks, decides through the scheduler, and serves the door.

    Threads: any; every method is short, and none waits for a slave.
    """

    def __init__(self, settings: FarmSettings) -> None:
        self.settings = settings
        self.seats: dict[str, Seat] = {}
        self.former: deque[Seat] = deque(maxlen=_REMEMBER_SLAVES)
        self._lock = threading.RLock()
        self._has_joined = threading.Condition(self._lock)
        self._scheduler = Scheduler(
            silence_s=settings.silence_s, max_attempts=settings.max_attempts
        )
        self._tasks: dict[int, Submission] = {}
        self._functions: dict[bytes, bytes] = {}
        self._function_uses: Counter[bytes] = Counter()
        self._due: list[Seat] = []
        self._next_task = 0
        self._joined = 0
        self._ended = False
        self._closed = threading.Event()
        self._acts: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._carrier = threading.Thread(target=self._carry, name="farm carrier", daemon=True)
        self._clock = threading.Thread(target=self._keep_time, name="farm clock", daemon=True)

    def start(self) -> None:
        """Start the carrier and the clock."""
        self._carrier.start()
        self._clock.start()

    def close(self) -> None:
        """Tell the slaves that the farm has ended, and stop; answers that came are handed over.

        Blocks: on callbacks of futures that still run.  Threads: any but the carrier.
        """
        with self._lock:
            self._ended = True
            self._has_joined.notify_all()
            for seat in self.seats.values():
                _answer(seat, Instructions(ended=True))
        self._closed.set()
        self._acts.put(None)
        for thread in (self._carrier, self._clock):
            if thread.is_alive():
                thread.join()

    def is_carrier(self) -> bool:
        """Tell whether the caller is the carrier, which would wait for an answer for ever."""
        return threading.current_thread() is self._carrier

    def carry(self, act: Callable[[], None]) -> None:
        """Have the carrier do this, soon. Takes no lock, so that destructors may call it."""
        self._acts.put(act)

    def submit(self, functions: dict[bytes, bytes], tasks: Sequence[Submission]) -> range:
        """Take in tasks, with the functions that they name; returns their numbers."""
        with self._deciding():
            numbers = range(self._next_task, self._next_task + len(tasks))
            self._next_task = numbers.stop
            self._functions.update(functions)
            self._function_uses.update(task.function for task in tasks)
            self._tasks.update(zip(numbers, tasks, strict=True))
            self._handle(TasksSubmitted(tuple(numbers)))
        return numbers

    def cancel(self, tasks: Sequence[int]) -> None:
        """Drop tasks that have no answer yet, all in one step: what runs is stopped."""
        with self._deciding():
            self._cancel([task for task in tasks if task in self._tasks])

    def cancel_waiting(self) -> None:
        """Drop the tasks that are not handed out."""
        with self._deciding():
            tasks = self._scheduler.state.tasks.values()
            self._cancel([task.id for task in tasks if task.phase is Phase.WAITING])

    def join(self, introduction: Introduction, peer: str) -> Seat:
        """Give a slave a seat."""
        with self._deciding():
            self._joined += 1
            name = f"{introduction.name}#{self._joined}"
            seat = Seat(name, introduction, peer)
            self.seats[seat.slave] = seat
            self._handle(SlaveJoined(seat.slave, introduction.slots))
            self._has_joined.notify_all()
            self._log(logging.INFO, "slave %s joined from %s", introduction.name, peer)
            return seat

    def leave(self, slave: str, reason: str, *, in_peace: bool = False) -> None:
        """A slave is gone; nothing happens if it is no more at the table."""
        with self._deciding():
            in_peace = in_peace or self._ended
            if slave in self.seats:
                self._unseat(slave, "left" if in_peace else "lost", reason)
                self._handle(SlaveLeft(slave, reason, in_peace))

    def next_instructions(self, slave: str, credit: int, acknowledged: int) -> Poll:
        """Return what will hold what there is for the slave, a heartbeat from now at the latest."""
        poll = Poll(time.monotonic() + self.settings.heartbeat_s)
        with self._deciding():
            seat = self._hear(slave, credit, acknowledged)
            if seat is None or self._ended:
                poll.set_result(Instructions(unknown=not self._ended, ended=self._ended))
                return poll
            _answer(seat, Instructions())  # it asks anew: the old answer would be lost
            seat.poll = poll
            if seat.mailbox.has_mail():
                self._due.append(seat)
        return poll

    @contextmanager
    def _deciding(self) -> Iterator[None]:
        """Hold the lock, and in the end answer the slaves for which something has come."""
        with self._lock:
            yield
            while self._due:
                seat = self._due.pop()
                if seat.poll is not None:
                    self._handle(SlaveHeard(seat.slave))
                    _answer(seat, seat.mailbox.give_out(self._functions))

    def take_delivery(
        self, slave: str, sequence: int, outcomes: Sequence[Outcome], credit: int, acknowledged: int
    ) -> int | None:
        """Take outcomes in; returns the number up to which they are safe, None for a stranger.

        A stranger's outcomes are taken all the same: it may be a slave that was given up, and the
        first outcome of any attempt is the task's answer.
        """
        with self._deciding():
            seat = self.seats.get(slave)
            if seat is None or sequence > seat.delivered:
                self._sort_outcomes(slave, outcomes)
            if seat is not None:
                seat.delivered = max(seat.delivered, sequence)
            return sequence if self._hear(slave, credit, acknowledged) is not None else None

    def scheduler_view(self, look: Callable[[Scheduler], _View]) -> _View:
        """Return what *look* sees of the scheduler, under the lock."""
        with self._lock:
            return look(self._scheduler)

    def wait_for_slaves(self, timeout_s: float) -> bool:
        """Wait until a slave has joined, at most *timeout_s*; tells whether one has."""
        with self._lock:
            return self._has_joined.wait_for(lambda: self._joined > 0 or self._ended, timeout_s)

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

    def _carry_out(self, order: Order, event: Event, outcomes: dict[HandOut, Outcome]) -> None:
        match order:
            case SendTasks():
                seat = self.seats[order.slave]
                seat.mailbox.post_tasks(map(self._wire_task, order.hand_outs))
                self._due.append(seat)
            case SettleTasks():
                slave = event.slave if isinstance(event, TasksReturned) else ""
                if slave in self.seats:
                    self.seats[slave].done += len(order.hand_outs)
                for hand_out in order.hand_outs:
                    self._settle(hand_out.task, outcomes[hand_out], slave.rpartition("#")[0])
            case GiveUpTask():
                self._settle(order.task, GivenUp(order.story))
            case StopTasks():
                if order.slave in self.seats:
                    seat = self.seats[order.slave]
                    seat.mailbox.post_stops(Stop(h.task, h.attempt) for h in order.hand_outs)
                    self._due.append(seat)
            case DismissSlave():
                self._unseat(order.slave, "lost", order.reason)

    def _wire_task(self, hand_out: HandOut) -> WireTask:
        submission = self._tasks[hand_out.task]
        return WireTask(hand_out.task, hand_out.attempt, submission.function, submission.arguments)

    def _cancel(self, tasks: list[int]) -> None:
        self._handle(TasksCancelled(tuple(tasks)))
        for task in tasks:
            self._settle(task, Cancelled())

    def _settle(self, task: int, answer: Answer, slave: str = "") -> None:
        """Forget a task, and have the carrier hand its answer over."""
        submission = self._tasks.pop(task)
        self._function_uses[submission.function] -= 1
        if not self._function_uses[submission.function]:
            del self._function_uses[submission.function], self._functions[submission.function]
        self._acts.put(partial(submission.settle, answer, slave))

    def _log(self, level: int, message: str, *args: object) -> None:
        # By the carrier: a handler of the script's may wait for a lock, or print repr(farm).
        self._acts.put(partial(log.log, level, message, *args))

    def _unseat(self, slave: str, state: str, reason: str) -> None:
        seat = self.seats.pop(slave)
        seat.state = state
        seat.mailbox = Mailbox()  # what was on its way is not kept with the memory of the slave
        _answer(seat, Instructions(unknown=not self._ended, ended=self._ended))
        self.former.append(seat)
        level = logging.INFO if state == "left" else logging.WARNING
        self._log(level, "slave %s %s: %s", seat.introduction.name, state, reason)

    def _carry(self) -> None:
        """Hand answers to the futures, in order; users' callbacks run here."""
        while (act := self._acts.get()) is not None:
            try:
                act()
            except BaseException:  # sys.exit() in a callback: the other answers are handed over
                log.exception("a callback of a future failed")

    def _keep_time(self) -> None:
        """Wake the scheduler when it has named a deadline."""
        while not self._closed.wait(self._seconds_to_deadline()):
            try:
                with self._deciding():
                    self._handle(TimePassed())
                    now = time.monotonic()
                    self._due += [s for s in self.seats.values() if s.poll and s.poll.until <= now]
            except Exception:  # the clock goes on, whatever one moment has brought
                log.exception("the farm's clock met a fault")

    def _seconds_to_deadline(self) -> float:
        # Who asks while this sleeps is to be answered a heartbeat later, so it wakes by then.
        with self._lock:
            deadlines = [seat.poll.until for seat in self.seats.values() if seat.poll]
            deadline = self._scheduler.next_deadline()
        if deadline is not None:
            deadlines.append(deadline)
        longest_s = self.settings.heartbeat_s
        if not deadlines:
            return longest_s
        return min(max(min(deadlines) - time.monotonic(), 0.01), longest_s)


def _answer(seat: Seat, instructions: Instructions) -> None:
    """Answer a slave that waits; its connection is somebody else's matter."""
    poll, seat.poll = seat.poll, None
    if poll is not None:
        poll.set_result(instructions)
