"""What happens under the master's lock: events go to the scheduler, orders go where they belong.

Whoever calls holds the lock (see ``shell``). Nothing here waits or runs a user's code: slaves that
have something to fetch are noted in ``due``, and answers in ``answers``, for when the lock is free.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, cast

from masterslave.errors import FarmBroken
from masterslave.lent import Lender
from masterslave.master.book import TaskBook
from masterslave.master.carrier import Carrier
from masterslave.master.claims import Claims, outcome_around
from masterslave.master.duties import Duties
from masterslave.master.errands import Errands
from masterslave.master.evidence import broken_by, reason_of_loss, reason_why_unable
from masterslave.master.loans import Loans
from masterslave.master.mailbox import Mailbox, Parcel
from masterslave.master.seats import Poll, Seat, answer, offers_of, take_poll
from masterslave.master.submission import (
    Answer,
    Cancelled,
    Failed,
    GivenUp,
    PredecessorFailed,
    Single,
    Span,
    Submission,
)
from masterslave.packed import PICKLED
from masterslave.protocol.encoding import encode
from masterslave.protocol.joining import Introduction
from masterslave.protocol.outcomes import (
    BROKEN,
    GIVEN_BACK,
    LOST,
    MIXED,
    PART,
    PROGRESS,
    RAISED,
    REPORT,
    UNABLE,
    VALUE,
    Outcome,
)
from masterslave.protocol.verbs import Instructions
from masterslave.scheduler import (
    AnswerUnable,
    DismissSlave,
    Event,
    FailFollowers,
    GiveUpTask,
    HandOut,
    HandOutsGivenBack,
    HandOutsLost,
    Order,
    QuarantineSlave,
    RecallTasks,
    ReleaseSlave,
    Scheduler,
    SendTasks,
    SettleTasks,
    SlaveAsked,
    SlaveJoined,
    SlaveLeft,
    SlaveUnable,
    SpanSubmitted,
    StopTasks,
    TasksCancelled,
    TasksReturned,
    TasksSubmitted,
)

__all__ = ["Decisions", "HandOver"]

log = logging.getLogger("masterslave")

HandOver = tuple[Callable[..., None], tuple[Any, ...]]
"""What is to be called with what, to hand an answer over."""

_first = attrgetter("start")

_Outcomes = dict[tuple[int, int], Outcome]

_UNKNOWN = encode(Instructions(unknown=True))
_LARGE_BYTES = 65536
_REMEMBER_SLAVES = 1000
_REMEMBER_NAMES = 8
_REMEMBER_PREDECESSORS = 100
_ALONG_BYTES = 64 * 1024
"""The answer to a delivery is waited for: it takes no time to speak of up to this size."""
_TELL_AGAIN_S = 0.1
_LONGEST_S = 1e9
_ENDS = (VALUE, RAISED, MIXED)
_GOES_ON = (PART, PROGRESS)


class Decisions:
    """The scheduler, and all that its orders change.

    Attributes:
        inbox: What was submitted, and the scheduler has not heard of; any thread may append.
        seats: The slaves at the table, by the name that the scheduler knows.
        by_token: They and the former ones, by the name on the wire.
        former: Those that left or were lost, the latest last.
        joined: How many have joined so far.
        slots: Of all slaves together.
        broken: Why the farm takes no task any more.
        due: Slaves for which something may have come.
        answers: What is to be handed over.
        loans: Memory that hand-outs are lent.
        errands: What slaves were asked beside tasks.
        duties: What each slave is given once.

    Args:
        lender: Takes back what was lent.
        data_only: Whether results that only pickle can read are refused.
    """

    def __init__(
        self, scheduler: Scheduler, carrier: Carrier, lender: Lender, *, data_only: bool = False
    ) -> None:
        self.scheduler = scheduler
        self.book = TaskBook()
        self.inbox: deque[Submission] = deque()
        self.seats: dict[str, Seat] = {}
        self.by_token: dict[str, Seat] = {}
        self.former: deque[Seat] = deque(maxlen=_REMEMBER_SLAVES)
        self.joined = 0
        self.slots = 0
        self.broken: FarmBroken | None = None
        self.due: list[Seat] = []
        self.answers: list[HandOver] = []
        self.loans = Loans(lender)
        self.errands = Errands()
        self.duties = Duties()
        self._carrier = carrier
        self._data_only = data_only
        self._predecessors: dict[int, Single] = {}
        """Tasks that others follow, by number, and some that have ended."""
        self._next_task = 0
        self._claims = Claims(self.book, scheduler.state)

    def submit(self, tasks: Sequence[Submission]) -> None:
        """Put tasks in, and hand them to the scheduler."""
        self.inbox.extend(tasks)
        self.empty_inbox()

    def empty_inbox(self) -> None:
        """Hand what was submitted to the scheduler: singles of the same terms in one event."""
        inbox, book = self.inbox, self.book
        first = self._next_task
        tasks: list[Submission] = []
        while inbox:
            submission = inbox.popleft()
            if tasks and (
                submission.is_span
                or submission.terms is not tasks[0].terms
                or submission.after is not tasks[0].after
            ):
                self._handle_singles(first, tasks)
                first, tasks = self._next_task, []
            self._next_task = book.add(submission, self._next_task)
            if submission.is_span:
                self._handle_span(cast(Span, submission))
                first = self._next_task
            else:
                tasks.append(submission)
        if tasks:
            self._handle_singles(first, tasks)
        if self.broken is not None:  # put in while it broke
            self._break(self.broken)

    def tell_dropped(self, dropped: deque[bytes]) -> None:
        """Tell the slaves that have asked for these blobs that they are gone."""
        while dropped:
            digest = dropped.popleft()
            for seat in self.seats.values():
                if digest in seat.blobs:
                    seat.blobs.remove(digest)
                    seat.mailbox.drop(digest)
                    self.due.append(seat)

    def _handle_singles(self, first: int, tasks: list[Submission]) -> None:
        sizes = [len(cast(Single, task).arguments) for task in tasks]
        numbers = range(first, first + len(tasks))
        is_large = max(sizes) > _LARGE_BYTES
        after = self._find_predecessors(tasks[0], numbers) if tasks[0].after else ()
        if after is not None:
            self.handle(TasksSubmitted(numbers, tasks[0].terms, sizes if is_large else (), after))

    def _handle_span(self, span: Span) -> None:
        numbers = range(span.number, span.number + span.count)
        after = self._find_predecessors(span, numbers) if span.after else ()
        if after is not None:
            size = span.item_bytes
            self.handle(SpanSubmitted(span.number, span.count, span.terms, size, after))

    def _find_predecessors(self, submission: Submission, numbers: range) -> Sequence[int] | None:
        """Return which tasks that these are to follow are open; None if one has failed, and so have
        these.
        """
        after, submission.after = submission.after, ()  # its future may live for long
        failed = next((one for one in after if one.has_failed), None)
        if failed is not None:
            self._drop(numbers, PredecessorFailed(failed))
            return None
        followed, known = self.scheduler.state.followers, self._predecessors
        if len(known) > 2 * len(followed) + _REMEMBER_PREDECESSORS:
            self._predecessors = known = {n: one for n, one in known.items() if n in followed}
        find = self.book.singles.get
        is_open = {one.number: one for one in after if find(one.number) is one}
        known.update(is_open)
        return list(is_open)

    def seat(self, introduction: Introduction, peer: str, *, is_own: bool) -> Seat:
        """Give a slave a seat."""
        self.joined += 1
        name, before = f"{introduction.name}#{self.joined}", introduction.formerly
        seat = Seat(name, secrets.token_hex(16), introduction, peer, is_own, (name,))
        if before in self.by_token:
            seat.names = (name, *self.by_token[before].names)[:_REMEMBER_NAMES]
        self.seats[name] = self.by_token[seat.token] = seat
        self.slots += introduction.slots
        self.submit(self.duties.welcome(seat))  # before: so it is handed them first
        offers = offers_of(introduction)
        self.handle(SlaveJoined(seat.slave, introduction.slots, offers, seat.tags))
        self._log(logging.INFO, "slave %s joined from %s", introduction.name, peer)
        return seat

    def leave(self, slave: str, reason: str, *, in_peace: bool) -> Poll | None:
        """A slave is gone; returns its poll."""
        if slave not in self.seats:
            return None
        poll = self._unseat(slave, "left" if in_peace else "lost", reason)
        self.handle(SlaveLeft(slave, reason, in_peace))
        return poll

    def hear(self, token: str, slots: int, acknowledged: int, now: float) -> Seat | None:
        """A slave says how much it would take and what it has; None if it has no seat."""
        seat = self.by_token.get(token)
        if seat is None or seat.is_gone:
            return None
        seat.mailbox.acknowledge(acknowledged)
        if slots != seat.slots or now - seat.told_at > _TELL_AGAIN_S:
            seat.slots, seat.told_at = slots, now
            self.handle(SlaveAsked(seat.slave, slots))
        return seat

    def take_outcomes(
        self, token: str, sequence: int, outcomes: Sequence[Outcome], to_retry: frozenset[int]
    ) -> None:
        """Take outcomes in, those that have not come before; *sequence* is the last one's number.

        Of a slave that is gone they are taken, too; of a stranger none is.
        """
        seat = self.by_token.get(token)
        if seat is None:
            return
        new = min(len(outcomes), sequence - seat.delivered)
        seat.delivered = max(seat.delivered, sequence)
        if new > 0:
            self._sort_outcomes(seat, outcomes[-new:], to_retry)

    def give_along(self, seat: Seat) -> Parcel | None:
        """Return what is due for a slave that has delivered, if that is to go with the answer.

        What went along with the last answer and is not acknowledged goes again: that was lost.
        """
        mailbox = seat.mailbox
        if seat.poll is None or not mailbox.has_mail():
            return None
        parcel = mailbox.give_along(_ALONG_BYTES)
        if parcel is not None and not mailbox.has_more():  # else the poll is told to ask anew
            self.due = [one for one in self.due if one is not seat]
        return parcel

    def _sort_outcomes(
        self, seat: Seat, outcomes: Sequence[Outcome], to_retry: frozenset[int]
    ) -> None:
        """Take outcomes in, those that settle tasks first."""
        returned: dict[str, list[Outcome]] = {}
        by_key: _Outcomes = {}
        others: list[Outcome] = []
        for outcome in outcomes:
            kind = outcome.kind
            if not self._claims.is_possible(outcome, self._next_task):
                if kind == REPORT:
                    self.errands.take(seat, outcome, self.answers.append)
                continue
            if (outcome.task, outcome.attempt) in by_key:
                continue
            if kind in _ENDS:
                returned.setdefault(self._claims.name_of(seat, outcome), []).append(outcome)
                by_key[outcome.task, outcome.attempt] = outcome
            elif kind in _GOES_ON:  # before its task is settled
                self._note(seat, outcome)
            else:
                others.append(outcome)
        for name, ended in returned.items():
            hand_outs = [HandOut(one.task, one.attempt, one.count) for one in ended]
            seconds = [one.seconds if 0 <= one.seconds < _LONGEST_S else 0.0 for one in ended]
            self.loans.end(hand_outs, name)
            failed = self._failed_of(ended) if self.scheduler.state.followers else frozenset()
            self.handle(TasksReturned(name, hand_outs, seconds, to_retry, failed), by_key)
        for outcome in others:
            self._take_other(seat, outcome)

    def _is_value(self, outcome: Outcome) -> bool:
        """Tell whether an outcome is a value that its future takes."""
        is_refused = self._data_only and outcome.payload[:1] == PICKLED
        return outcome.kind == VALUE and not is_refused

    def _failed_of(self, outcomes: Sequence[Outcome]) -> frozenset[int]:
        return frozenset(one.task for one in outcomes if not self._is_value(one))

    def _note(self, seat: Seat, outcome: Outcome) -> None:
        # Under the lock: another thread may be about to hand the task's answer over.
        submission = self.book.find(outcome.task)
        if submission is None or not self._claims.was_handed(seat, outcome):
            return
        if outcome.kind == PART:
            submission.note_part(outcome.item, outcome.payload)
        else:
            submission.note_progress(outcome.payload)

    def _take_other(self, seat: Seat, outcome: Outcome) -> None:
        hand_out = HandOut(outcome.task, outcome.attempt, outcome.count)
        name = self._claims.name_of(seat, outcome)
        if outcome.kind != BROKEN:
            self.loans.end((hand_out,), name)
        match outcome.kind:
            case kind if kind == LOST:
                reason = reason_of_loss(outcome.payload)
                culprit = outcome.task + outcome.item if outcome.item >= 0 else -1
                self.handle(HandOutsLost(name, hand_out, reason, culprit))
            case kind if kind == GIVEN_BACK:
                self.handle(HandOutsGivenBack(name, (hand_out,)))
            case kind if kind == UNABLE:
                reason = reason_why_unable(outcome.payload)
                key = (outcome.task, outcome.attempt)
                self.handle(SlaveUnable(name, hand_out, reason), {key: outcome})
            case kind if kind == BROKEN:
                if self.broken is None and self.scheduler.state.find_out(hand_out, name):
                    self._break(broken_by(outcome.payload, name))

    def handle(self, event: Event, outcomes: _Outcomes | None = None) -> None:
        """Ask the scheduler, and carry out what it says."""
        for order in self.scheduler.handle(event, time.monotonic()):
            self._carry_out(order, event, outcomes or {})

    def _carry_out(self, order: Order, event: Event, outcomes: _Outcomes) -> None:
        match order:
            case SendTasks():
                seat = self.seats[order.slave]
                find = self.book.find
                seat.mailbox.post([(h, cast(Submission, find(h.task))) for h in order.hand_outs])
                self.due.append(seat)
            case SettleTasks():
                self._settle(order.hand_outs, cast(TasksReturned, event).slave, outcomes)
            case GiveUpTask():
                self._drop((order.task,), GivenUp(order.story))
            case AnswerUnable():
                (outcome,) = outcomes.values()
                error = Outcome(
                    outcome.task, outcome.attempt, outcome.count, RAISED, outcome.payload
                )
                for tasks in order.tasks:
                    self._drop(tasks, error, order.slave.rpartition("#")[0])
            case FailFollowers():
                for tasks in order.tasks:
                    self._drop(tasks, PredecessorFailed(self._predecessors[order.predecessor]))
            case StopTasks():
                self.loans.end(order.hand_outs, order.slave)
                if order.slave in self.seats:
                    self.seats[order.slave].mailbox.stop(order.hand_outs)
                    self.due.append(self.seats[order.slave])
            case RecallTasks():
                seat = self.seats[order.slave]
                back = seat.mailbox.recall(order.hand_outs)
                self.due.append(seat)
                if back:
                    self.handle(HandOutsGivenBack(order.slave, back))
            case DismissSlave():
                poll = self._unseat(order.slave, "lost", order.reason)
                self.answers.append((answer, (poll, _UNKNOWN)))
            case QuarantineSlave():
                seat = self.seats[order.slave]
                seat.state, seat.evidence = "quarantined", order.evidence
                name = seat.introduction.name
                self._log(logging.WARNING, "slave %s is quarantined: %s", name, order.evidence)
            case ReleaseSlave():
                seat = self.seats[order.slave]
                seat.state, seat.evidence = "here", ()
                name = seat.introduction.name
                self._log(logging.INFO, "slave %s is in quarantine no more", name)

    def _settle(self, hand_outs: Sequence[HandOut], slave: str, outcomes: _Outcomes) -> None:
        """Note who gets which outcome as answer."""
        seat, name = self.seats.get(slave), slave.rpartition("#")[0]
        append, settle_single, done = self.answers.append, self.book.settle_single, 0
        is_data_only = self._data_only
        for hand_out in hand_outs:
            task, count = hand_out.task, hand_out.count
            done += count
            outcome = outcomes.get((task, hand_out.attempt))
            if count == 1 and outcome is not None:
                single = settle_single(task)
                if single is not None:
                    if outcome.kind != VALUE or (is_data_only and not self._is_value(outcome)):
                        single.has_failed = True
                    append((single.settle, (outcome, name)))
                    continue
            if outcome is None:
                outcome = outcome_around(hand_out, outcomes.values())
            span = self.book.settle_items(task, count)
            if span is not None:
                skip = task - outcome.task
                append((span.settle, (task - span.number, count, outcome, skip, name)))
        if seat is not None:
            seat.done += done

    def cancel(self, tasks: Sequence[int]) -> None:
        """Drop those of these tasks that are open; what runs is stopped."""
        self.fail(tasks, Cancelled())

    def fail(self, tasks: Sequence[int], answer: Answer) -> None:
        """Drop those of these tasks that are open, with this answer."""
        self.handle(TasksCancelled(tasks))
        self._drop(tasks, answer)

    def _drop(self, tasks: Sequence[int], answer: Answer, slave: str = "") -> None:
        """Give those of these tasks that are open an answer that is not their own outcome."""
        for submission, offset, count in self.book.strike_out(tasks):
            if submission.is_span:
                settle_items = cast(Span, submission).settle
                self.answers.append((settle_items, (offset, count, answer, 0, slave)))
            else:
                single = cast(Single, submission)
                single.has_failed = True
                self.answers.append((single.settle, (answer, slave)))

    def _break(self, error: FarmBroken) -> None:
        """Answer everything with this error, from now on."""
        self.broken = error
        for tasks in reversed(self.all_open()):
            self.fail(tasks, Failed(error))

    def all_open(self) -> list[range]:
        """Return the numbers of all that was submitted and has no answer, in order.

        Settled items of spans are among them.
        """
        found = []
        for one in self.book.submissions():
            count = cast(Span, one).count if one.is_span else 1
            found.append(range(one.number, one.number + count))
        return sorted(found, key=_first)

    def _unseat(self, slave: str, state: str, reason: str) -> Poll | None:
        """Take a seat away; returns the poll that is to be answered."""
        seat = self.seats.pop(slave)
        seat.state = state
        self.loans.end_all(slave)
        self.errands.end(seat, self.answers.append)
        seat.mailbox = Mailbox()  # what was on its way is not kept with the memory of the slave
        self.slots -= seat.introduction.slots
        for duty, task in self.duties.part_from(seat):
            if self.book.find(task.number) is task:
                self.fail((task.number,), Failed(duty.forget(seat)))
        if len(self.former) == _REMEMBER_SLAVES:
            del self.by_token[self.former[0].token]
        self.former.append(seat)
        level = logging.INFO if state == "left" else logging.WARNING
        self._log(level, "slave %s %s: %s", seat.introduction.name, state, reason)
        return take_poll(seat)

    def _log(self, level: int, message: str, *args: object) -> None:
        # By the carrier: a handler of the script's may wait for a lock, or print repr(farm).
        self._carrier.carry(partial(log.log, level, message, *args))
