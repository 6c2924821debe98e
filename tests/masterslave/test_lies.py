"""Slaves that lie, or speak nonsense: no task hangs."""

from __future__ import annotations

from typing import Any

import pytest

from masterslave import NotPicklable, TaskFailed
from masterslave.master.decisions import Decisions
from masterslave.packed import pack_value
from masterslave.protocol.encoding import decode, encode
from masterslave.protocol.outcomes import (
    BROKEN,
    GIVEN_BACK,
    LOST,
    MIXED,
    PART,
    PROGRESS,
    RAISED,
    VALUE,
    ItemOutcome,
    Outcome,
)
from masterslave.protocol.verbs import Ask
from remoteobj import WireError, release
from tests.masterslave.test_conversation import ByHand

ITEM = ItemOutcome(VALUE, pack_value(7))
NO_TEXT = b"\x94\xa2\xff\xfe" + b"\xa2\xff\xfe" * 3
"""What reads as texts, and is no UTF-8."""
NO_LISTS = [
    (VALUE, b""),
    (VALUE, b"junk"),
    (VALUE, pack_value(7)),
    (VALUE, pack_value("ab")),
    (VALUE, pack_value([1])),
    (VALUE, pack_value([1, 2, 3])),
    (MIXED, b"junk"),
    (MIXED, encode((ITEM,))),
    (MIXED, encode((ITEM, ITEM, ITEM))),
    (MIXED, encode((ItemOutcome(77, b""), ItemOutcome(RAISED, b"junk")))),
    (MIXED, b"\x92" + b"\x92\x01" + NO_TEXT[1:4] + b"\xc0"),
    (MIXED, encode((ItemOutcome(RAISED, NO_TEXT), ItemOutcome(RAISED, NO_TEXT)))),
    (MIXED, b"\x91" * 100_000),
    (RAISED, b"junk"),
    (RAISED, NO_TEXT),
]


@pytest.mark.parametrize(("kind", "payload"), NO_LISTS)
def test_items_whose_results_are_nonsense_raise_one_by_one(
    meet: Any, kind: int, payload: bytes
) -> None:
    farm, slave = meet()
    results = farm.options(retries=1).map(abs, [-1, -2], chunksize=2)
    stream = farm.imap(abs, [])
    assert list(stream) == []
    sequence, batch = 0, 0
    while farm.statistics().done < 2:
        told = slave.ask(1, batch)
        batch = told.batch or batch
        for task in told.tasks:
            sequence += 1
            slave.deliver(sequence, Outcome(task.task, task.attempt, task.count, kind, payload))
    with pytest.raises((NotPicklable, TaskFailed)):
        list(results)


@pytest.mark.parametrize("nonsense", [b"junk", NO_TEXT, b"\x91" * 100_000])
@pytest.mark.parametrize("retries", [0, 1])
def test_an_exception_that_is_nonsense_is_the_answer(
    meet: Any, retries: int, nonsense: bytes
) -> None:
    farm, slave = meet()
    future = farm.options(retries=retries).submit(abs, -1)
    for number in range(retries + 1):
        (task,) = slave.ask(1, number).tasks
        slave.deliver(number + 1, Outcome(task.task, task.attempt, 1, RAISED, nonsense))
    with pytest.raises(TaskFailed, match="unreadable"):
        future.result(timeout=5)


@pytest.mark.parametrize("nonsense", [b"junk", NO_TEXT, b"\x92" + NO_TEXT])
def test_how_far_a_task_is_may_be_nonsense(meet: Any, nonsense: bytes) -> None:
    farm, slave = meet()
    future = farm.submit(abs, -1)
    (task,) = slave.ask(1, 0).tasks
    slave.deliver(1, Outcome(task.task, task.attempt, 1, PROGRESS, nonsense))
    slave.deliver(2, Outcome(task.task, task.attempt, 1, VALUE, pack_value(1)))
    assert future.result(timeout=5) == 1
    assert future.progress is None


@pytest.mark.parametrize("nonsense", [b"junk", NO_TEXT, b"\x91" * 100_000])
def test_a_message_that_is_nonsense_is_refused_in_words(nonsense: bytes) -> None:
    with pytest.raises(WireError, match="no Ask of the farm's protocol"):
        decode(nonsense, Ask)


@pytest.mark.parametrize("count", [0, -1, 2, 2**62])
@pytest.mark.parametrize("task", [-1, 0, 1, 2**62])
def test_outcomes_of_what_was_never_handed_out_change_nothing(
    meet: Any, task: int, count: int
) -> None:
    farm, slave = meet()
    future = farm.submit(abs, -1)
    (mine,) = slave.ask(1, 0).tasks
    assert (mine.task, mine.attempt) == (0, 1)
    slave.deliver(1, Outcome(task, 1, count, VALUE, pack_value(99), float("nan")))
    assert not future.done()
    slave.deliver(2, Outcome(0, 1, 1, VALUE, pack_value(1), float("nan")))
    assert future.result(timeout=5) == 1
    again = farm.submit(abs, -2)
    (mine,) = slave.ask(1, 1).tasks
    slave.deliver(3, Outcome(mine.task, 1, 1, VALUE, pack_value(2)))
    assert again.result(timeout=5) == 2


@pytest.mark.parametrize("kind", [VALUE, RAISED, LOST, GIVEN_BACK, BROKEN, PART, PROGRESS])
def test_what_a_slave_says_of_what_another_was_handed_changes_nothing(meet: Any, kind: int) -> None:
    farm, honest = meet()
    future = farm.submit(abs, -1)
    (task,) = honest.ask(1, 0).tasks
    liar = ByHand(farm, "liar")
    payload = pack_value((1.0, 2.0)) if kind in (VALUE, PART) else encode((1.0, 2.0))
    for number, attempt in enumerate((task.attempt, task.attempt + 1), 1):
        liar.deliver(number, Outcome(task.task, attempt, 1, kind, payload, 0.0, 0))
    assert not future.done()
    assert future.progress is None
    assert honest.ask(1, 1).stops == ()
    honest.deliver(1, Outcome(task.task, task.attempt, 1, VALUE, pack_value(1)))
    assert future.result(timeout=5) == 1
    assert list(future.parts()) == []
    assert farm.submit(abs, -2).cancel(), "it is not broken"
    statistics = farm.statistics()
    assert (statistics.done, statistics.handed_out_again) == (1, 0)
    release(liar.door)


def test_no_slave_can_speak_for_another(meet: Any) -> None:
    farm, honest = meet()
    future = farm.submit(abs, -1)
    (task,) = honest.ask(1, 0).tasks
    token, liar = honest.slave, ByHand(farm, "liar")
    assert len(token) == 32
    assert token != liar.slave
    seen = (
        repr(farm.slaves)
        + repr(farm)
        + repr(honest.door.status())
        + repr(farm._master.view(repr_of))
    )
    assert token not in seen
    for guess in ("liar#1", "liar", "", token[:-1], token.upper() + "x"):
        liar.slave = guess
        assert liar.ask(1, 0).unknown
        assert liar.deliver(9, Outcome(task.task, 1, 1, VALUE, pack_value(99))).unknown
        liar.deliver(10, leaving=True)
    assert not future.done()
    assert [slave.state for slave in farm.slaves] == ["busy", "idle"]
    honest.deliver(1, Outcome(task.task, 1, 1, VALUE, pack_value(1)))
    assert future.result(timeout=5) == 1
    release(liar.door)


def repr_of(decisions: Decisions) -> str:
    return repr(list(decisions.table.seats.values()))
