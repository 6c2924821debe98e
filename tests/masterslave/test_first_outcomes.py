"""The first outcome counts, in the corners: whoever comes with it, by whatever name, and once."""

from __future__ import annotations

import sys
from typing import cast

from masterslave.master.answers import Answers
from masterslave.master.book import TaskBook
from masterslave.master.claims import Claims
from masterslave.master.inherited import Inherited
from masterslave.master.recording import Recording
from masterslave.master.seats import Seat
from masterslave.protocol.hand_outs import RUN_BITS
from masterslave.protocol.joining import VERSION, Hold, Introduction
from masterslave.protocol.outcomes import GIVEN_BACK, VALUE, Outcome
from masterslave.scheduler import (
    HandOut,
    Scheduler,
    SlaveJoined,
    SlaveLeft,
    SpanSubmitted,
    TasksReturned,
    Terms,
)

FIRST, SECOND = (1 << RUN_BITS) + 5, (2 << RUN_BITS) + 2
KEY = b"k" * 16


def seat(name: str, *former: str) -> Seat:
    python = sys.version_info[:2]
    who = Introduction(VERSION, name.partition("#")[0], "here", 1, 1, python)
    return Seat(name, "a token", who, "played", names=(name, *former))


def test_items_that_were_out_together_have_a_holder_though_the_first_has_its_answer() -> None:
    scheduler = Scheduler(silence_s=10.0)
    scheduler.handle(SlaveJoined("a#1", 1), 0.0)
    scheduler.handle(SpanSubmitted(0, 2, Terms(0, chunk=2)), 0.0)
    scheduler.handle(SlaveLeft("a#1", "its connection closed"), 0.0)
    scheduler.handle(SlaveJoined("b#2", 1), 0.0)
    scheduler.handle(TasksReturned("b#2", [HandOut(0, 2)], [0.1]), 0.0)
    claims = Claims(TaskBook(), scheduler.state)
    late = Outcome(0, 1, 2, VALUE, b"")
    assert claims.name_of(seat("a#3", "a#1"), late) == "a#1"
    assert claims.name_of(seat("a#3", "a#2"), late) == "a#3"


class Written:
    """A recording that keeps what it is to write."""

    def __init__(self) -> None:
        self.settled: list[HandOut] = []

    def note_settled(
        self, hand_out: HandOut, slave: str, outcome: Outcome, *, is_item: bool
    ) -> None:
        self.settled.append(hand_out)


def inheriting(written: Written) -> Inherited:
    """Return what a third master knows of a task that two before it have handed out."""
    recording = cast(Recording, written)
    answers = Answers(TaskBook(), recording, data_only=False)
    keys = {FIRST: (KEY, False), SECOND: (KEY, False)}
    return Inherited(keys, answers, recording, until=10.0)


def test_a_task_that_two_masters_have_handed_out_is_settled_once() -> None:
    written = Written()
    inherited = inheriting(written)
    one, other = seat("a#1"), seat("b#2")
    inherited.joined(one, [Hold(FIRST, 1, 1)])
    inherited.joined(other, [Hold(SECOND, 1, 1)])
    assert inherited.take(other, Outcome(SECOND, 1, 1, VALUE, b"second"))
    assert not inherited.take(one, Outcome(FIRST, 1, 1, VALUE, b"first"))
    assert written.settled == [HandOut(SECOND, 1, 1)]
    assert inherited.may_have(KEY), "it waits for the script to ask"


def test_it_waits_for_the_other_slave_when_one_has_given_it_back() -> None:
    written = Written()
    inherited = inheriting(written)
    one, other = seat("a#1"), seat("b#2")
    inherited.joined(one, [Hold(FIRST, 1, 1)])
    inherited.joined(other, [Hold(SECOND, 1, 1)])
    assert inherited.take(other, Outcome(SECOND, 1, 1, GIVEN_BACK, b""))
    assert inherited.may_have(KEY)
    inherited.left(one)
    assert not inherited.may_have(KEY)
    assert not written.settled
