"""Turns: what happens under the master's lock, and what comes after it.

::

    begin      the lock is taken; what was submitted goes to the scheduler
    the turn   what has happened does, too; orders go into mailboxes, answers into a list
    end        the lock is let go; parcels are packed and sent
    hand_over  answers go to futures and streams

Whoever has taken the lock does all of it, in its own thread: so a task that is submitted alone
passes through no other thread, and nothing under the lock waits for a socket or runs a user's code.
A parcel repeats itself until it is acknowledged, and each slave has one poll, so a stop never
overtakes its hand-out.
"""

from __future__ import annotations

import threading
from collections import deque
from functools import partial

from masterslave.lent import Lender
from masterslave.master.answers import HandOver
from masterslave.master.decisions import Decisions
from masterslave.master.handing_over import hand_over_each
from masterslave.master.inbox import Inbox
from masterslave.master.interrupts import Interrupts
from masterslave.master.seats import answer
from masterslave.master.sending import Sender
from masterslave.protocol.encoding import encode
from masterslave.protocol.verbs import Instructions

__all__ = ["Turn"]


class Turn:
    """Holds the master's lock; at the end, without it, sends parcels and hands answers over.

    Attributes:
        lock: For who wants to look, and changes nothing.
        sender: Packs what goes to slaves.

    Args:
        dropped: Hashes of blobs that are gone, and slaves have to be told.
        lender: Lends slaves memory.
    """

    __slots__ = (
        "_all_answered",
        "_being_answered",
        "_decisions",
        "_dropped",
        "_handing_over",
        "_inbox",
        "_interrupts",
        "lock",
        "sender",
    )

    def __init__(
        self, decisions: Decisions, inbox: Inbox, dropped: deque[bytes], lender: Lender
    ) -> None:
        self.lock = threading.Lock()
        self.sender = Sender(decisions, self.lock, self, lender)
        self._decisions = decisions
        self._inbox = inbox
        self._interrupts = Interrupts()
        self._dropped = dropped
        self._all_answered = threading.Condition(self.lock)
        self._being_answered = 0
        self._handing_over = threading.local()

    def __enter__(self) -> Decisions:
        self._interrupts.hold()
        try:
            return self.begin()
        except BaseException:
            self._interrupts.let_go()
            raise

    def __exit__(self, *_: object) -> None:
        try:
            answers = self.end()
            if answers:
                self.hand_over(answers)
        finally:
            is_interrupted = self._interrupts.let_go()
        if is_interrupted:
            self._interrupts.heed()

    def begin(self) -> Decisions:
        """Take the lock; ``end`` has to follow."""
        self.lock.acquire()
        decisions = self._decisions
        inbox = self._inbox
        if inbox.waiting or inbox.is_announced:  # which somebody may have taken meanwhile
            inbox.empty()
        inherited = decisions.inherited
        if inherited is not None and inherited.released:
            inbox.hand_out_released()
        if self._dropped:
            decisions.tell_dropped(self._dropped)
        return decisions

    def end(self) -> list[HandOver]:
        """Let the lock go and send parcels; returns the answers, for ``hand_over``."""
        decisions = self._decisions
        parcels, called = [], []
        due, decisions.due = decisions.due, []
        for seat in due:
            poll = seat.poll
            if poll is not None and seat.mailbox.is_along:  # asking anew, it says what it has
                seat.poll = None
                called.append((poll, seat.recorded))
            elif poll is not None:
                parcel = seat.mailbox.give_out()
                if parcel.number:
                    seat.poll = None
                    parcels.append((seat, poll, parcel))
        answers, decisions.answers.waiting = decisions.answers.waiting, []
        recorded, decisions.answers.recorded = decisions.answers.recorded, []
        self._being_answered += len(answers) + len(recorded)
        if recorded and decisions.recording is not None:
            decisions.recording.after(partial(self.hand_over, recorded))
        self.lock.release()
        for poll, delivered in called:
            answer(poll, encode(Instructions(delivered=delivered)))
        interrupts: list[BaseException] = []
        for seat, poll, parcel in parcels:
            try:
                self.sender.send(seat, poll, parcel)
            except BaseException as error:  # Ctrl-C: the others get theirs all the same
                interrupts.append(error)
        if interrupts:
            self.hand_over(answers)
            raise interrupts[0]
        return answers

    def hand_over(self, answers: list[HandOver]) -> None:
        """Hand answers over, without the lock: each of them, whatever the others' callbacks do."""
        outer, self._handing_over.here = self.is_handing_over(), True
        try:
            hand_over_each(answers)
        finally:
            self._handing_over.here = outer
            with self.lock:
                self._being_answered -= len(answers)
                if self._is_all_answered():
                    self._all_answered.notify_all()

    def is_handing_over(self) -> bool:
        """Tell whether the caller is called with an answer, and so would wait for itself."""
        return getattr(self._handing_over, "here", False)

    def wait_until_answered(self) -> None:
        """Wait until no task is without its answer."""
        with self:
            pass
        with self.lock:
            self._all_answered.wait_for(self._is_all_answered)

    def _is_all_answered(self) -> bool:
        decisions = self._decisions
        return not (
            decisions.book.open
            or self._inbox.waiting
            or decisions.answers.waiting
            or decisions.answers.recorded
            or self._being_answered
        )
