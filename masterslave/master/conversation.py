"""What the slaves say, and what they are told: the other side of ``masterslave.protocol``.

Each verb takes one turn; what looks into outcomes, or packs instructions, does so without the lock.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from masterslave.master.arrivals import Arrivals
from masterslave.master.decisions import Decisions
from masterslave.master.inbox import Inbox
from masterslave.master.mailbox import Parcel
from masterslave.master.output import Output
from masterslave.master.seats import (
    ENDED,
    NOTHING,
    UNKNOWN,
    Poll,
    Seat,
    answer,
    offers_of,
    take_poll,
)
from masterslave.master.sharing import Blob, Blobs
from masterslave.master.turns import Turn
from masterslave.protocol.encoding import encode
from masterslave.protocol.joining import Introduction
from masterslave.protocol.outcomes import MIXED, RAISED, Outcome
from masterslave.protocol.verbs import Ask, Delivery, Instructions
from masterslave.scheduler import SlaveAsked, SlaveJoined
from remoteobj import DeferredReply

__all__ = ["Conversation", "LookAt"]

LookAt = Callable[[Sequence[Outcome], str, str], tuple[Sequence[Outcome], tuple[str, ...]]]
"""Takes what a slave says, its name and its host; returns outcomes, and what the slave lacks."""

_ALONG_BYTES = 64 * 1024
"""The answer to a delivery is waited for: it takes no time to speak of up to this size."""

_TELL_AGAIN_S = 0.1
_NONE: frozenset[int] = frozenset()
_RAISING = (RAISED, MIXED)


class Conversation:
    """Answers the slaves of one farm, each known by its token.

    Args:
        output: Takes what tasks print.
        heartbeat_s: How long a poll waits at most.
        data_only: Whether results that only pickle can read are refused.

    Threads: any; every method is short, and none waits for a slave, but ``wait_for_slaves``.
    """

    def __init__(
        self,
        turn: Turn,
        decisions: Decisions,
        inbox: Inbox,
        blobs: Blobs,
        output: Output,
        *,
        heartbeat_s: float,
        data_only: bool,
        look_at: LookAt,
    ) -> None:
        self._turn = turn
        self._decisions = decisions
        self._table = decisions.table
        self._inbox = inbox
        self._arrivals = Arrivals(decisions)
        self._blobs = blobs
        self._output = output
        self._heartbeat_s = heartbeat_s
        self._data_only = data_only
        self._look_at = look_at
        self._has_joined = threading.Condition(turn.lock)

    def join(self, introduction: Introduction, peer: str, *, is_own: bool = False) -> Seat:
        """Give a slave a seat; *is_own*: the farm has started it on this machine."""
        with self._turn as decisions:
            former = self._table.by_token.get(introduction.formerly)
            seat = self._table.add(introduction, peer, is_own=is_own)
            self._arrivals.note_holds(seat, introduction.holds)
            self._inbox.submit(decisions.duties.welcome(seat))  # before: it is handed them first
            offers = offers_of(introduction)
            decisions.handle(SlaveJoined(seat.slave, introduction.slots, offers, seat.tags))
            decisions.log(logging.INFO, "slave %s joined from %s", introduction.name, peer)
            for digest in former.blobs if former is not None else ():
                if self._blobs.find(digest) is not None:
                    seat.blobs.add(digest)
                else:  # dropped meanwhile
                    seat.mailbox.drop(digest)
            self._has_joined.notify_all()
        return seat

    def wait_for_slaves(self, timeout_s: float) -> bool:
        """Wait until a slave has joined, at most *timeout_s*; tells whether one has."""
        with self._turn.lock:
            return self._has_joined.wait_for(
                lambda: self._table.joined > 0 or self._decisions.has_ended, timeout_s
            )

    def leave(self, slave: str, reason: str, *, in_peace: bool = False) -> None:
        """A slave is gone, by its name at the scheduler; nothing happens if it is no more here."""
        with self._turn as decisions:
            has_ended = decisions.has_ended
            poll = decisions.leave(slave, reason, in_peace=in_peace or has_ended)
        answer(poll, ENDED if has_ended else UNKNOWN)

    def fall_silent(self) -> None:
        """Answer no slave any more, and hand nothing out: another master may act for the farm."""
        with self._turn.lock:
            self._decisions.is_silent = True
            for seat in self._table.seats.values():
                take_poll(seat)

    def end(self) -> None:
        """Tell the slaves that the farm has ended."""
        with self._turn as decisions:
            decisions.has_ended = True
            self._has_joined.notify_all()
            seats = self._table.seats.values()
            polls = [take_poll(seat) for seat in seats]
            for seat in seats:
                decisions.errands.end(seat, decisions.answers.waiting.append)
        for poll in polls:
            answer(poll, ENDED)

    # The two verbs that carry the work.

    def next_instructions(self, ask: Ask) -> Poll:
        """Return what will hold what there is for the slave, a heartbeat from now at the latest."""
        now = time.monotonic()
        poll = Poll(now + self._heartbeat_s)
        if self._decisions.is_silent:
            return poll  # which nobody sets
        outcomes = self._sort_out(ask.slave, ask.outcomes) if ask.outcomes else ()
        to_retry = self._find_retries(outcomes) if outcomes else _NONE
        old = None
        decisions = self._turn.begin()
        try:
            seat = self._hear(ask.slave, ask.slots, ask.acknowledged, now)
            if outcomes:
                self._arrivals.take(ask.slave, ask.sequence, outcomes, to_retry)
            if outcomes and seat is not None and decisions.recording is not None:
                decisions.recording.after(partial(self._wait, ask.slave, poll, ask.sequence))
            else:
                old = self._have_wait(seat, poll)
        finally:
            answers = self._turn.end()
            if answers:
                poll.afterwards = partial(self._turn.hand_over, answers)
        answer(old, NOTHING)
        return poll

    def _have_wait(self, seat: Seat | None, poll: Poll) -> Poll | None:
        """Have a slave wait for what there is for it; returns what it waited with before."""
        if self._decisions.is_silent:
            return None
        decisions = self._decisions
        if seat is None or decisions.has_ended:
            poll.set(ENDED if decisions.has_ended else UNKNOWN)
            return None
        old = take_poll(seat)  # it asks anew: that answer would be lost
        seat.mailbox.has_come_back()
        seat.poll = poll
        if seat.mailbox.has_mail():
            decisions.due.append(seat)
        return old

    def _wait(self, token: str, poll: Poll, sequence: int) -> None:
        """What a slave has brought with its question is on the disk: now it may wait."""
        with self._turn:
            seat = self._table.seated(token)
            if seat is not None:
                seat.note_recorded(sequence)
            old = self._have_wait(seat, poll)
        answer(old, NOTHING)

    def deliver(self, delivery: Delivery) -> bytes | DeferredReply:
        """``take_delivery``; with a journal, the answer comes when the outcomes are on the disk."""
        if self._decisions.is_silent:
            return DeferredReply()  # which nobody sets
        instructions = self.take_delivery(delivery)
        if self._decisions.is_silent:
            return DeferredReply()
        recording = self._decisions.recording
        if recording is None or not delivery.outcomes:
            return instructions
        reply = DeferredReply()
        recording.after(partial(self._acknowledge, delivery, reply, instructions))
        return reply

    def _acknowledge(self, delivery: Delivery, reply: DeferredReply, instructions: bytes) -> None:
        with self._turn.lock:
            seat = self._table.seated(delivery.slave)
            if seat is not None:
                seat.note_recorded(delivery.sequence)
        reply.set(instructions)

    def take_delivery(self, delivery: Delivery) -> bytes:
        """Take outcomes in; returns instructions, packed: what there is for the slave just now.

        Those of a slave that was given up are taken all the same: the first outcome of any attempt
        is the task's answer.
        """
        slave, sequence = delivery.slave, delivery.sequence
        outcomes = self._sort_out(slave, delivery.outcomes)
        to_retry = self._find_retries(outcomes)
        with self._turn as decisions:
            seat = self._hear(slave, delivery.slots, delivery.acknowledged, time.monotonic())
            if delivery.lines and slave in self._table.by_token:  # their tasks are known now
                sender = self._table.by_token[slave]
                self._output.take(delivery.lines, delivery.line, sender, decisions.book)
            self._arrivals.take(slave, sequence, outcomes, to_retry)
            parcel = None
            if seat is not None and not delivery.leaving:
                parcel = self._give_along(seat)
        if seat is not None and parcel is not None:
            return self._turn.sender.pack(seat, parcel, sequence)
        if seat is not None and delivery.leaving:
            self.leave(seat.slave, "it was told to leave", in_peace=True)
        if seat is None and not delivery.leaving:
            return UNKNOWN
        return encode(Instructions(delivered=sequence))

    def _hear(self, token: str, slots: int, acknowledged: int, now: float) -> Seat | None:
        """A slave says how much it would take and what it has; None if it has no seat."""
        seat = self._table.seated(token)
        if seat is None:
            return None
        seat.mailbox.acknowledge(acknowledged)
        if slots != seat.slots or now - seat.told_at > _TELL_AGAIN_S:
            seat.slots, seat.told_at = slots, now
            self._decisions.handle(SlaveAsked(seat.slave, slots))
        return seat

    def _give_along(self, seat: Seat) -> Parcel | None:
        """Return what is due for a slave that has delivered, if that is to go with the answer.

        What went along with the last answer and is not acknowledged goes again: that was lost.
        """
        decisions, mailbox = self._decisions, seat.mailbox
        if seat.poll is None or not mailbox.has_mail():
            return None
        parcel = mailbox.give_along(_ALONG_BYTES)
        if parcel is not None and not mailbox.has_more():  # else the poll is told to ask anew
            decisions.due = [one for one in decisions.due if one is not seat]
        return parcel

    def _sort_out(self, token: str, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        """Look for what says more of the slave than of its task; without the lock."""
        for outcome in outcomes:
            if outcome.kind in _RAISING:
                break
        else:
            return outcomes
        with self._turn.lock:
            seat = self._table.by_token.get(token)
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
                with self._turn.lock:
                    submission = self._decisions.book.find(outcome.task)
                if submission is not None and submission.terms.retries:
                    tasks |= submission.will_retry(outcome, data_only=self._data_only)
        return frozenset(tasks) if tasks else _NONE

    # What was shared.

    def ask_for_blob(self, slave: str, digest: bytes) -> tuple[Seat, Blob | None] | None:
        """Note that a slave needs a blob, which may be gone; None if that slave has no seat."""
        with self._turn.lock:
            seat, blob = self._table.seated(slave), self._blobs.find(digest)
            if seat is None:
                return None
            if blob is not None:
                seat.blobs.add(digest)
            return seat, blob

    def is_seated(self, slave: str) -> bool:
        """Tell whether there is a slave of this name at the table."""
        with self._turn.lock:
            return self._table.seated(slave) is not None
