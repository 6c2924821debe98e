"""The master: where the scheduler's decisions become acts. One lock, and no thread that waits.

::

    Farm --submit, cancel--> inbox --+
                                     v           parcels --> the polls of the slaves
    Door --join, next, deliver--> handle(event) --orders--> answers --> futures and streams
                              the lock                  (both without the lock)

In a *turn* the lock is held: what was submitted, and what has happened, goes to the scheduler, and
its orders go into mailboxes and into a list of answers (``decisions``). When the turn ends the lock
is let go, and the same thread packs and sends the parcels, and hands the answers over: so a task
that is submitted alone passes through no thread but its own, and nothing under the lock waits for a
socket or runs a user's code. A parcel repeats itself until it is acknowledged, and each slave has
one poll, so a stop never overtakes its hand-out. Callbacks of futures, and log records, are carried
by the ``carrier``.

``submit`` takes a turn only while there are free slots; in a burst it leaves the task in the inbox
for the turn of somebody else, or of the clock, so that a thousand tasks cost one turn.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from queue import Empty, SimpleQueue
from typing import TypeVar

from masterslave.errands import ErrandKind
from masterslave.lent import Lender
from masterslave.master.carrier import Carrier
from masterslave.master.decisions import Decisions, HandOver
from masterslave.master.duties import Duty
from masterslave.master.errands import Answered, missing
from masterslave.master.output import Output, TaskOutput
from masterslave.master.seats import Poll, Seat, answer, take_poll
from masterslave.master.sending import Sender
from masterslave.master.sharing import Blob, Blobs
from masterslave.master.submission import Single, Span, Submission
from masterslave.protocol.encoding import encode
from masterslave.protocol.joining import Introduction
from masterslave.protocol.outcomes import MIXED, RAISED, Outcome
from masterslave.protocol.verbs import Ask, Delivery, Instructions
from masterslave.scheduler import Scheduler, SlaveReleased, TimePassed
from masterslave.settings import FarmSettings

__all__ = ["Master"]

log = logging.getLogger("masterslave")

LookAt = Callable[[Sequence[Outcome], str, str], tuple[Sequence[Outcome], tuple[str, ...]]]
"""Takes what a slave says, its name and its host; returns outcomes, and what the slave lacks."""

_View = TypeVar("_View")

_first = attrgetter("start")

_NOTHING = encode(Instructions())
_UNKNOWN = encode(Instructions(unknown=True))
_NONE: frozenset[int] = frozenset()
_RAISING = (RAISED, MIXED)
_ENDED = encode(Instructions(ended=True))


class Master:
    """Keeps the tasks, decides through the scheduler, and serves the door.

    Args:
        origin: Names the farm in handles of what it shares.

    Threads: any; every method is short, and none waits for a slave.
    """

    def __init__(
        self,
        settings: FarmSettings,
        carrier: Carrier,
        *,
        data_only: bool = False,
        origin: str = "a farm",
        look_at: LookAt = lambda outcomes, name, host: (outcomes, ()),
        show_output: Callable[[Sequence[TaskOutput]], None] | None = None,
    ) -> None:
        self.settings = settings
        self.origin = origin
        self._data_only = data_only
        self._look_at = look_at
        self._output = Output(carrier, show_output)
        scheduler = Scheduler(silence_s=settings.silence_s, feeding=settings.feeding)
        self._lender = Lender()
        self._decisions = Decisions(scheduler, carrier, self._lender, data_only=data_only)
        self._lock = threading.Lock()
        self._has_joined = threading.Condition(self._lock)
        self._all_answered = threading.Condition(self._lock)
        self._turn = _Turn(self)
        self._sender = Sender(self._decisions, self._lock, self._turn, self._lender)
        self._being_answered = 0
        self._handing_over = threading.local()
        self._ended = False
        self._kicks: SimpleQueue[bool] = SimpleQueue()
        self._is_kicked = False
        self.blobs = Blobs(partial(self._kicks.put, True))
        self._clock = threading.Thread(target=self._keep_time, name="farm clock", daemon=True)

    def start(self) -> None:
        """Start the clock."""
        self._clock.start()

    def close(self) -> None:
        """Tell the slaves that the farm has ended, and stop. Blocks until the clock has stopped."""
        with self._turn as decisions:
            self._ended = True
            self._has_joined.notify_all()
            polls = [take_poll(seat) for seat in decisions.seats.values()]
            for seat in decisions.seats.values():
                decisions.errands.end(seat, decisions.answers.append)
        for poll in polls:
            answer(poll, _ENDED)
        self._kicks.put(False)
        if self._clock.is_alive():
            self._clock.join()
        self._lender.close()

    # What the script wants.

    def put(self, submission: Submission) -> None:
        """Take in a task, or a span; ``look`` has to follow. Takes no lock.

        Raises:
            FarmBroken: The initializer has failed at a slave.
        """
        if self._decisions.broken is not None:
            raise self._decisions.broken.again()
        self._decisions.inbox.append(submission)

    def look(self, submission: Submission) -> None:
        """Hand out what was put in, at once where slots are free, else soon."""
        decisions = self._decisions
        if decisions.book.open < decisions.slots or submission.is_span:
            with self._turn:
                pass
        elif not self._is_kicked:
            self._is_kicked = True
            self._kicks.put(True)

    def cancel(self, singles: Sequence[Single]) -> None:
        """Drop single tasks that have no answer yet, all in one step: what runs is stopped."""
        with self._turn as decisions:
            decisions.cancel([single.number for single in singles])

    def cancel_spans(self, spans: Sequence[Span]) -> None:
        """Drop the items of spans that have no answer yet."""
        with self._turn as decisions:
            for span in spans:
                if span.number < 0:  # it was not submitted: its stream was interrupted
                    continue
                decisions.cancel(range(span.number, span.number + span.count))

    def cancel_waiting(self) -> None:
        """Drop the tasks that are not handed out."""
        with self._turn as decisions:
            # What follows others comes before them: so it is cancelled, and does not fail.
            rows = decisions.scheduler.state.unstarted()
            for tasks in sorted(rows, key=_first, reverse=True):
                decisions.cancel(tasks)

    def cancel_all(self) -> int:
        """Drop everything that has no answer yet; returns how many tasks that were."""
        with self._turn as decisions:
            dropped = decisions.book.open
            for tasks in reversed(decisions.all_open()):
                decisions.cancel(tasks)
        return dropped

    def wait_until_answered(self) -> None:
        """Wait until no task is without its answer."""
        with self._turn:
            pass
        with self._lock:
            self._all_answered.wait_for(self._is_all_answered)

    def is_handing_over(self) -> bool:
        """Tell whether the caller is called with an answer, and so would wait for itself."""
        return getattr(self._handing_over, "here", False)

    def view(self, look: Callable[[Decisions], _View]) -> _View:
        """Return what *look* sees, under the lock."""
        with self._turn as decisions:
            return look(decisions)

    def errand(self, slave: str, kind: ErrandKind) -> Answered:
        """Ask a slave, by its name at the scheduler, for something beside tasks.

        Raises:
            SlaveGone: It is not here.
        """
        with self._turn as decisions:
            seat = None if self._ended else decisions.seats.get(slave)
            if seat is None:
                raise missing(slave, decisions.former)
            decisions.due.append(seat)
            return decisions.errands.make(seat, kind)

    def release(self, slave: str) -> None:
        """End the quarantine of a slave, by its name at the scheduler, if it is in one.

        Raises:
            SlaveGone: It is not here.
        """
        with self._turn as decisions:
            if slave not in decisions.seats:
                raise missing(slave, decisions.former)
            decisions.handle(SlaveReleased(slave))

    def wait_for_slaves(self, timeout_s: float) -> bool:
        """Wait until a slave has joined, at most *timeout_s*; tells whether one has."""
        with self._lock:
            return self._has_joined.wait_for(
                lambda: self._decisions.joined > 0 or self._ended, timeout_s
            )

    def add_duty(self, duty: Duty) -> None:
        """Give each slave a task, and each that joins."""
        with self._turn as decisions:
            if decisions.broken is not None:
                raise decisions.broken.again()
            decisions.submit(decisions.duties.add(duty, list(decisions.seats.values())))

    def drop_duty(self, duty: Duty) -> None:
        """Give it to nobody who joins from now on."""
        with self._turn as decisions:
            decisions.duties.drop(duty)

    # What the slaves say.

    def join(self, introduction: Introduction, peer: str, *, is_own: bool = False) -> Seat:
        """Give a slave a seat; *is_own*: the farm has started it on this machine."""
        with self._turn as decisions:
            seat = decisions.seat(introduction, peer, is_own=is_own)
            former = decisions.by_token.get(introduction.formerly)
            for digest in former.blobs if former is not None else ():
                if self.blobs.find(digest) is not None:
                    seat.blobs.add(digest)
                else:  # dropped meanwhile
                    seat.mailbox.drop(digest)
            self._has_joined.notify_all()
        return seat

    def leave(self, slave: str, reason: str, *, in_peace: bool = False) -> None:
        """A slave is gone; nothing happens if it is no more at the table."""
        with self._turn as decisions:
            poll = decisions.leave(slave, reason, in_peace=in_peace or self._ended)
        answer(poll, _ENDED if self._ended else _UNKNOWN)

    def next_instructions(self, ask: Ask) -> Poll:
        """Return what will hold what there is for the slave, a heartbeat from now at the latest."""
        now = time.monotonic()
        poll = Poll(now + self.settings.heartbeat_s)
        outcomes = self._sort_out(ask.slave, ask.outcomes) if ask.outcomes else ()
        to_retry = self._find_retries(outcomes) if outcomes else _NONE
        old = None
        decisions = self._turn.begin()
        try:
            seat = decisions.hear(ask.slave, ask.slots, ask.acknowledged, now)
            if outcomes:
                decisions.take_outcomes(ask.slave, ask.sequence, outcomes, to_retry)
            if seat is None or self._ended:
                poll.set(_ENDED if self._ended else _UNKNOWN)
            else:
                old = take_poll(seat)  # it asks anew: that answer would be lost
                seat.mailbox.has_come_back()
                seat.poll = poll
                if seat.mailbox.has_mail():
                    decisions.due.append(seat)
        finally:
            answers = self._turn.end()
            if answers:
                poll.afterwards = partial(self._hand_over, answers)
        answer(old, _NOTHING)
        return poll

    def take_delivery(self, delivery: Delivery) -> bytes:
        """Take outcomes in; returns instructions, packed: what there is for the slave just now.

        Those of a slave that was given up are taken all the same: the first outcome of any attempt
        is the task's answer.
        """
        slave, sequence = delivery.slave, delivery.sequence
        outcomes = self._sort_out(slave, delivery.outcomes)
        to_retry = self._find_retries(outcomes)
        with self._turn as decisions:
            seat = decisions.hear(slave, delivery.slots, delivery.acknowledged, time.monotonic())
            if delivery.lines and slave in decisions.by_token:  # their tasks are known now
                sender = decisions.by_token[slave]
                self._output.take(delivery.lines, delivery.line, sender, decisions.book)
            decisions.take_outcomes(slave, sequence, outcomes, to_retry)
            parcel = None
            if seat is not None and not delivery.leaving:
                parcel = decisions.give_along(seat)
        if seat is not None and parcel is not None:
            return self._sender.pack(seat, parcel)
        if seat is not None and delivery.leaving:
            self.leave(seat.slave, "it was told to leave", in_peace=True)
        if seat is None and not delivery.leaving:
            return _UNKNOWN
        return encode(Instructions(delivered=sequence))

    def ask_for_blob(self, slave: str, digest: bytes) -> tuple[Seat, Blob] | None:
        """Note that a slave needs a blob; None if it has no seat, or there is no such blob."""
        with self._lock:
            seat = self._decisions.by_token.get(slave)
            blob = self.blobs.find(digest)
            if seat is None or seat.is_gone or blob is None:
                return None
            seat.blobs.add(digest)
            return seat, blob

    def is_seated(self, slave: str) -> bool:
        """Tell whether there is a slave of this name at the table."""
        with self._lock:
            seat = self._decisions.by_token.get(slave)
            return seat is not None and not seat.is_gone

    def _sort_out(self, token: str, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        """Look for what says more of the slave than of its task; without the lock."""
        for outcome in outcomes:
            if outcome.kind in _RAISING:
                break
        else:
            return outcomes
        with self._lock:
            seat = self._decisions.by_token.get(token)
        if seat is None:
            return outcomes
        who = seat.introduction
        outcomes, lacks = self._look_at(outcomes, who.name, who.host)
        if lacks:
            seat.lacks = tuple(dict.fromkeys((*seat.lacks, *lacks)))
        return outcomes

    def _find_retries(self, outcomes: Sequence[Outcome]) -> frozenset[int]:
        """Ask the submissions what is to be run again; without the lock, as it unpacks errors."""
        tasks: set[int] = set()
        for outcome in outcomes:
            if outcome.kind in _RAISING:
                with self._lock:
                    submission = self._decisions.book.find(outcome.task)
                if submission is not None and submission.terms.retries:
                    tasks |= submission.will_retry(outcome, data_only=self._data_only)
        return frozenset(tasks) if tasks else _NONE

    # After a turn: the lock is not held.

    def _hand_over(self, answers: list[HandOver]) -> None:
        exits: list[BaseException] = []
        outer, self._handing_over.here = self.is_handing_over(), True
        for settle, arguments in answers:
            try:
                settle(*arguments)
            except Exception:  # the others have their answers all the same
                log.exception("an answer could not be handed over")
            except BaseException as error:  # sys.exit() in a callback of who cancels
                exits.append(error)
        self._handing_over.here = outer
        with self._lock:
            self._being_answered -= len(answers)
            if self._is_all_answered():
                self._all_answered.notify_all()
        if exits:
            raise exits[0]

    def _is_all_answered(self) -> bool:
        decisions = self._decisions
        return not (
            decisions.book.open or decisions.inbox or decisions.answers or self._being_answered
        )

    # Time.

    def _keep_time(self) -> None:
        """Wake the scheduler when it has named a deadline, and take turns that submitters left."""
        goes_on = True
        while goes_on:
            with contextlib.suppress(Empty):
                goes_on = self._kicks.get(timeout=self._seconds_to_deadline())
            try:
                self._look_at_the_clock()
            except Exception:  # the clock goes on, whatever one moment has brought
                log.exception("the farm's clock met a fault")

    def _look_at_the_clock(self) -> None:
        polls = []
        with self._turn as decisions:
            now = time.monotonic()
            deadline = decisions.scheduler.next_deadline()
            if deadline is not None and deadline <= now:
                decisions.handle(TimePassed())
            for seat in decisions.seats.values():
                if seat.poll is not None and seat.poll.until <= now:
                    polls.append((take_poll(seat), seat.delivered))
        for poll, delivered in polls:
            answer(poll, encode(Instructions(delivered=delivered)))

    def _seconds_to_deadline(self) -> float:
        # Who asks while this sleeps is to be answered a heartbeat later, so it wakes by then.
        with self._lock:
            seats = self._decisions.seats.values()
            deadlines = [seat.poll.until for seat in seats if seat.poll]
            deadline = self._decisions.scheduler.next_deadline()
        if deadline is not None:
            deadlines.append(deadline)
        longest_s = self.settings.heartbeat_s
        if not deadlines:
            return longest_s
        return min(max(min(deadlines) - time.monotonic(), 0.001), longest_s)


class _Turn:
    """Holds the master's lock; at the end, without it, sends parcels and hands answers over."""

    __slots__ = ("_master",)

    def __init__(self, master: Master) -> None:
        self._master = master

    def __enter__(self) -> Decisions:
        return self.begin()

    def __exit__(self, *_: object) -> None:
        answers = self.end()
        if answers:
            self._master._hand_over(answers)

    def begin(self) -> Decisions:
        """Take the lock; ``end`` has to follow."""
        master = self._master
        master._lock.acquire()
        decisions = master._decisions
        if decisions.inbox:
            master._is_kicked = False
            decisions.empty_inbox()
        if master.blobs.dropped:
            decisions.tell_dropped(master.blobs.dropped)
        return decisions

    def end(self) -> list[HandOver]:
        """Let the lock go and send parcels; returns the answers, for ``_hand_over``."""
        master = self._master
        decisions = master._decisions
        parcels, called = [], []
        due, decisions.due = decisions.due, []
        for seat in due:
            poll = seat.poll
            if poll is not None and seat.mailbox.is_along:  # asking anew, it says what it has
                seat.poll = None
                called.append((poll, seat.delivered))
            elif poll is not None:
                parcel = seat.mailbox.give_out()
                if parcel.number:
                    seat.poll = None
                    parcels.append((seat, poll, parcel))
        answers, decisions.answers = decisions.answers, []
        master._being_answered += len(answers)
        master._lock.release()
        for poll, delivered in called:
            answer(poll, encode(Instructions(delivered=delivered)))
        interrupts: list[BaseException] = []
        for seat, poll, parcel in parcels:
            try:
                master._sender.send(seat, poll, parcel)
            except BaseException as error:  # Ctrl-C: the others get theirs all the same
                interrupts.append(error)
        if interrupts:
            master._hand_over(answers)
            raise interrupts[0]
        return answers
