"""The first outcome counts, in the corners: whoever comes with it, by whatever name, and once."""

from __future__ import annotations

import sys
from typing import cast

import pytest

from masterslave.journal.fold import Out
from masterslave.master.again import Again
from masterslave.master.answers import Answers
from masterslave.master.book import TaskBook
from masterslave.master.claims import Claims
from masterslave.master.early import Early
from masterslave.master.inherited import Inherited
from masterslave.master.recording import Recording
from masterslave.master.seats import Seat
from masterslave.master.submission import Answer, Function, Single
from masterslave.protocol.encoding import encode
from masterslave.protocol.hand_outs import RUN_BITS, run_of
from masterslave.protocol.joining import VERSION, Hold, Introduction
from masterslave.protocol.outcomes import (
    GIVEN_BACK,
    LOST,
    PART,
    PROGRESS,
    RAISED,
    VALUE,
    Outcome,
    PostMortem,
)
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
        self.again = Again()

    def note_settled(
        self, hand_out: HandOut, slave: str, outcome: Outcome, *, is_item: bool
    ) -> None:
        self.settled.append(hand_out)

    def note_lost(self, *args: object) -> None:
        """It does not matter here."""


def inheriting(written: Written, out: dict[int, Out] | None = None) -> Inherited:
    """Return what a third master knows of a task that two before it have handed out."""
    recording = cast(Recording, written)
    answers = Answers(TaskBook(), recording, data_only=False)
    if out is None:
        out = {number: Out(KEY, 1, 0, run_of(number)) for number in (FIRST, SECOND)}
    return Inherited(out, answers, recording, until=10.0)


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


TWICE = {FIRST: Out(KEY, 2, 8, 1, others=((1, 7),))}
"""A task that one master has handed out twice: the first attempt took long."""

NO_MORE = [LOST, GIVEN_BACK]


def ends_without(inherited: Inherited, seat: Seat, attempt: int, kind: int) -> None:
    """A slave says of an attempt that nothing comes of it."""
    payload = encode(PostMortem("killed")) if kind == LOST else b""
    assert inherited.take(seat, Outcome(FIRST, attempt, 1, kind, payload))


@pytest.mark.parametrize("kind", NO_MORE)
def test_what_one_slave_has_lost_may_come_from_one_that_has_not_come_yet(kind: int) -> None:
    written = Written()
    inherited = inheriting(written, TWICE)
    early, late = seat("a#1"), seat("b#2")
    inherited.joined(early, [Hold(FIRST, 1, 1)])
    ends_without(inherited, early, 1, kind)
    assert inherited.may_have(KEY), "the second attempt is at a slave that may come"
    inherited.joined(late, [Hold(FIRST, 2, 1)])
    assert inherited.take(late, Outcome(FIRST, 2, 1, VALUE, b"value"))
    assert written.settled == [HandOut(FIRST, 2, 1)]


@pytest.mark.parametrize("kind", NO_MORE)
def test_what_one_slave_has_lost_may_come_from_another_one_or_itself(kind: int) -> None:
    one = seat("a#1")
    for other in (seat("b#2"), one):
        inherited = inheriting(Written(), TWICE)
        inherited.joined(other, [Hold(FIRST, 2, 1)])
        inherited.joined(one, [Hold(FIRST, 1, 1)])
        ends_without(inherited, one, 1, kind)
        inherited.tick(10.0)
        assert inherited.may_have(KEY), "somebody has the second attempt"
        ends_without(inherited, other, 2, kind)
        assert not inherited.may_have(KEY)


def test_a_task_is_handed_out_again_at_once_when_no_attempt_may_come() -> None:
    inherited = inheriting(Written(), TWICE)
    one, other = seat("a#1"), seat("b#2")
    inherited.joined(one, [Hold(FIRST, 1, 1)])
    inherited.joined(other, [Hold(FIRST, 2, 1)])
    inherited.left(one)
    assert inherited.may_have(KEY)
    ends_without(inherited, other, 2, LOST)
    assert not inherited.may_have(KEY)
    assert inherited.lost == 1


def test_an_attempt_that_nobody_comes_with_is_waited_for_until_the_time_is_over() -> None:
    inherited = inheriting(Written(), TWICE)
    one = seat("a#1")
    inherited.joined(one, [Hold(FIRST, 1, 1)])
    inherited.left(one)
    assert inherited.may_have(KEY)
    inherited.tick(10.0)
    assert not inherited.may_have(KEY)


def test_what_slaves_have_of_a_task() -> None:
    out = TWICE[FIRST]
    assert out.attempts == (1, 2)
    assert out.at({7, 8}) == out
    assert out.at({7}) == Out(KEY, 1, 7, 1), "the slave of the other one ended with the script"
    assert out.at({8}) == Out(KEY, 2, 8, 1)
    assert out.at({}) is None


class Heard(Single):
    """A task that the script waits for in this run, and what it hears of it."""

    def __init__(self, retries: int = 0) -> None:
        self.function, self.terms = Function(b"f", b"f", "f", "f"), Terms(0, retries=retries)
        self.number, self.keys, self.arguments = (3 << RUN_BITS) + 1, KEY, b""
        self.heard: list[object] = []

    def settle(self, answer: Answer, slave: str) -> None:
        """It does not matter here."""

    def note_part(self, item: int, payload: bytes) -> None:
        self.heard.append((item, payload))

    def note_progress(self, payload: bytes) -> None:
        self.heard.append(payload)


ONE = {FIRST: Out(KEY, 1, 8, 1)}


def part(item: int, attempt: int = 1) -> Outcome:
    return Outcome(FIRST, attempt, 1, PART, b"part %d" % item, 0.0, item)


def progress(payload: bytes) -> Outcome:
    return Outcome(FIRST, 1, 1, PROGRESS, payload)


@pytest.mark.parametrize("told", [part(0), progress(b"half")])
def test_a_task_that_tells_something_is_at_its_slave_still(told: Outcome) -> None:
    written, task = Written(), Heard()
    inherited = inheriting(written, ONE)
    slave = seat("a#1")
    inherited.joined(slave, [Hold(FIRST, 1, 1)])
    assert inherited.has(task)
    inherited.tick(10.0)
    assert inherited.take(slave, told)
    assert not inherited.released
    assert inherited.take(slave, Outcome(FIRST, 1, 1, VALUE, b"value"))
    assert written.settled == [HandOut(FIRST, 1, 1)]
    assert len(task.heard) == 1


@pytest.mark.parametrize("submitted", range(6))
def test_what_a_task_tells_is_heard_once_whenever_the_script_submits_it(submitted: int) -> None:
    inherited, task = inheriting(Written(), ONE), Heard()
    slave = seat("a#1")
    inherited.joined(slave, [Hold(FIRST, 1, 1)])
    told = [part(4), progress(b"half"), part(5), progress(b"most")]
    told += [Outcome(FIRST, 1, 1, VALUE, b"value")]
    for number, outcome in enumerate([*told, None]):
        if number == submitted:
            assert inherited.has(task)
        if outcome is not None:
            assert inherited.take(slave, outcome)
    assert [one for one in task.heard if isinstance(one, tuple)] == [
        (4, b"part 4"), (5, b"part 5"),
    ]  # fmt: skip
    assert [one for one in task.heard if isinstance(one, bytes)][-1] == b"most"


def test_only_who_has_a_task_tells_how_far_it_is() -> None:
    inherited, task = inheriting(Written(), ONE), Heard()
    slave, other = seat("a#1"), seat("b#2")
    inherited.joined(slave, [Hold(FIRST, 1, 1)])
    inherited.has(task)
    assert inherited.take(other, part(0))
    assert inherited.take(slave, part(1, attempt=2))
    assert not inherited.take(slave, Outcome(FIRST + 1, 1, 1, PART, b"", 0.0, 0))
    assert task.heard == []


def test_what_was_told_of_a_task_that_is_handed_out_again_is_forgotten() -> None:
    for end in (LOST, RAISED):
        inherited, task = inheriting(Written(), ONE), Heard(retries=1)
        slave = seat("a#1")
        inherited.joined(slave, [Hold(FIRST, 1, 1)])
        inherited.take(slave, part(0))
        if end == LOST:
            ends_without(inherited, slave, 1, LOST)
        else:
            inherited.take(slave, Outcome(FIRST, 1, 1, RAISED, b"raised"))
        assert not inherited.has(task), "it is handed out again, and tells all of it again"
        assert task.heard == []
        assert inherited._early.forget(KEY) == []


def test_what_is_told_early_has_a_bound() -> None:
    early, task = Early(most_bytes=20), Heard()
    for item in range(5):
        early.note(KEY, part(item))
        early.note(KEY, part(item))
        early.note(b"another", progress(b"%d" % item))
    early.tell(KEY, task)
    assert task.heard == [(item, b"part %d" % item) for item in (2, 3, 4)], "the last ones"
    early.note(KEY, part(-2))
    assert early.forget(KEY) == []
    assert early.forget(b"another") == [progress(b"4")]
    assert early._bytes == 0
