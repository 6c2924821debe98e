"""What happens under the master's lock: events go to the scheduler, orders go where they belong.

Whoever calls holds the lock (see ``turns``). Nothing here waits or runs a user's code: slaves that
have something to fetch are noted in ``due``, and answers in ``answers``, for when the lock is free.
What was submitted comes from the ``inbox``, what slaves have said from the ``arrivals``.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

from masterslave.errors import FarmBroken
from masterslave.lent import Lender
from masterslave.master.answers import Answers, Outcomes
from masterslave.master.book import TaskBook
from masterslave.master.carrier import Carrier
from masterslave.master.duties import Duties
from masterslave.master.errands import Errands
from masterslave.master.inheritance import Inheritance
from masterslave.master.loans import Loans
from masterslave.master.seats import UNKNOWN, Poll, Seat, answer, bare_name, take_poll
from masterslave.master.submission import (
    Answer,
    Cancelled,
    Failed,
    GivenUp,
    PredecessorFailed,
    Single,
    Submission,
)
from masterslave.master.table import Table
from masterslave.master.tracing import asking
from masterslave.protocol.outcomes import RAISED, Outcome
from masterslave.scheduler import (
    AnswerUnable,
    DismissSlave,
    Event,
    FailFollowers,
    GiveUpTask,
    HandOut,
    HandOutsGivenBack,
    Order,
    QuarantineSlave,
    RecallTasks,
    ReleaseSlave,
    Scheduler,
    SendTasks,
    SettleTasks,
    SlaveLeft,
    StopTasks,
    TasksCancelled,
    TasksReturned,
)

if TYPE_CHECKING:  # it needs SQLite
    from masterslave.journal.trace import Trace
    from masterslave.master.recording import Recording

__all__ = ["Decisions"]

log = logging.getLogger("masterslave")


class Decisions:
    """The scheduler, and all that its orders change.

    Attributes:
        book: What has no answer yet.
        answers: What is to be handed over.
        table: The slaves.
        due: Slaves for which something may have come.
        loans: Memory that hand-outs are lent.
        errands: What slaves were asked beside tasks.
        duties: What each slave is given once.
        inherited: What there is of earlier runs of the farm; None: nothing.
        predecessors: Tasks that others follow, by number, and some that have ended.
        broken: Why the farm takes no task any more.
        has_ended: The farm is shut down.
        is_silent: No slave is answered any more, and their connections end: nothing to tell of.

    Args:
        lender: Takes back what was lent.
        recording: Writes down what becomes of tasks.
        trace: Writes down what the scheduler hears.
        data_only: Whether results that only pickle can read are refused.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        carrier: Carrier,
        lender: Lender,
        recording: Recording | None = None,
        *,
        trace: Trace | None = None,
        data_only: bool = False,
    ) -> None:
        self.scheduler = scheduler
        self._ask = asking(scheduler, trace)
        self.recording = recording
        self.book = TaskBook(0 if recording is None else recording.first)
        self.answers = Answers(self.book, recording, data_only=data_only)
        self.table = Table()
        self.due: list[Seat] = []
        self.loans = Loans(lender)
        self.errands = Errands()
        self.duties = Duties()
        self.predecessors: dict[int, Single] = {}
        self.inherited: Inheritance | None = None
        self.broken: FarmBroken | None = None
        self.has_ended = False
        self.is_silent = False
        self._carrier = carrier

    def handle(self, event: Event, outcomes: Outcomes | None = None) -> None:
        """Ask the scheduler, and carry out what it says.

        Args:
            outcomes: Those that the event is about.
        """
        for order in self._ask(event, time.monotonic()):
            self._carry_out(order, event, outcomes or {})

    def _carry_out(self, order: Order, event: Event, outcomes: Outcomes) -> None:
        match order:
            case SendTasks():
                seat, find = self.table.seats[order.slave], self.book.find
                seat.mailbox.post([(h, cast(Submission, find(h.task))) for h in order.hand_outs])
                self.due.append(seat)
                if self.recording is not None:
                    who = seat.introduction
                    host = "" if seat.is_own else who.host
                    self.recording.note_sent(who.name, host, order.hand_outs)
            case SettleTasks():
                slave = cast(TasksReturned, event).slave
                done = self.answers.settle(order.hand_outs, bare_name(slave), outcomes)
                if slave in self.table.seats:
                    self.table.seats[slave].done += done
            case GiveUpTask():
                self.answers.drop((order.task,), GivenUp(order.story))
            case AnswerUnable():
                (outcome,) = outcomes.values()
                error = Outcome(
                    outcome.task, outcome.attempt, outcome.count, RAISED, outcome.payload
                )
                for tasks in order.tasks:
                    self.answers.drop(tasks, error, bare_name(order.slave))
            case FailFollowers():
                for tasks in order.tasks:
                    self.answers.drop(
                        tasks, PredecessorFailed(self.predecessors[order.predecessor])
                    )
            case StopTasks():
                self._stop(order.slave, order.hand_outs)
            case RecallTasks():
                self._recall(order.slave, order.hand_outs)
            case DismissSlave():
                self._dismiss(order)
            case QuarantineSlave():
                seat = self.table.seats[order.slave]
                seat.state, seat.evidence = "quarantined", order.evidence
                name = seat.introduction.name
                self.log(logging.WARNING, "slave %s is quarantined: %s", name, order.evidence)
            case ReleaseSlave():
                seat = self.table.seats[order.slave]
                seat.state, seat.evidence = "here", ()
                name = seat.introduction.name
                self.log(logging.INFO, "slave %s is in quarantine no more", name)

    def _stop(self, slave: str, hand_outs: Sequence[HandOut]) -> None:
        self.loans.end(hand_outs, slave)
        if slave in self.table.seats:
            seat = self.table.seats[slave]
            seat.mailbox.stop(hand_outs)
            self.due.append(seat)

    def _recall(self, slave: str, hand_outs: Sequence[HandOut]) -> None:
        seat = self.table.seats[slave]
        back = seat.mailbox.recall(hand_outs)
        self.due.append(seat)
        if back:
            self.handle(HandOutsGivenBack(slave, back))

    def _dismiss(self, order: DismissSlave) -> None:
        if self.recording is not None:
            self.recording.note_slave_lost(bare_name(order.slave), order.held, order.reason)
        poll = self._unseat(order.slave, "lost", order.reason)
        self.answers.waiting.append((answer, (poll, UNKNOWN)))

    # What changes without an event of its own, or beside it.

    def cancel(self, tasks: Sequence[int]) -> None:
        """Drop those of these tasks that are open; what runs is stopped."""
        self.fail(tasks, Cancelled())

    def fail(self, tasks: Sequence[int], answer: Answer) -> None:
        """Drop those of these tasks that are open, with this answer."""
        self.handle(TasksCancelled(tasks))
        self.answers.drop(tasks, answer)
        if self.inherited is not None:
            self.inherited.cancelled(tasks)

    def break_by(self, error: FarmBroken) -> None:
        """Answer everything with this error, from now on."""
        self.broken = error
        for tasks in self.book.latest_first():
            self.fail(tasks, Failed(error))

    def leave(self, slave: str, reason: str, *, in_peace: bool) -> Poll | None:
        """A slave is gone; returns its poll."""
        if slave not in self.table.seats:
            return None
        if not in_peace and self.recording is not None:
            held = self.scheduler.state.held_by(slave)
            self.recording.note_slave_lost(bare_name(slave), held, reason)
        poll = self._unseat(slave, "left" if in_peace else "lost", reason)
        self.handle(SlaveLeft(slave, reason, in_peace))
        return poll

    def tell_dropped(self, dropped: deque[bytes]) -> None:
        """Tell the slaves that have asked for these blobs that they are gone."""
        while dropped:
            digest = dropped.popleft()
            for seat in self.table.seats.values():
                if digest in seat.blobs:
                    seat.blobs.remove(digest)
                    seat.mailbox.drop(digest)
                    self.due.append(seat)

    def log(self, level: int, message: str, *args: object) -> None:
        """Have the carrier log this: a handler may wait for a lock, or print ``repr(farm)``."""
        self._carrier.carry(partial(log.log, level, message, *args))

    def _unseat(self, slave: str, state: str, reason: str) -> Poll | None:
        """Take a seat away; returns the poll that is to be answered."""
        seat = self.table.take_away(slave, state)
        if self.inherited is not None:
            self.inherited.left(seat)
        self.loans.end_all(slave)
        self.errands.end(seat, self.answers.waiting.append)
        for duty, task in self.duties.part_from(seat):
            if self.book.find(task.number) is task:
                self.fail((task.number,), Failed(duty.forget(seat)))
        if not self.is_silent:
            level = logging.INFO if state == "left" else logging.WARNING
            self.log(level, "slave %s %s: %s", seat.introduction.name, state, reason)
        return take_poll(seat)
