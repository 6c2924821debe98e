"""The two verbs: replies that get lost, deliveries that come twice, slaves that are strangers."""

from __future__ import annotations

import contextlib
import pickle
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from masterslave import Farm
from masterslave.master.mailbox import Mailbox
from masterslave.protocol import (
    GIVEN_BACK,
    LOST,
    VALUE,
    VERSION,
    Ask,
    Delivery,
    Instructions,
    Introduction,
    KnownFunctions,
    Outcome,
    Receipt,
    Stop,
    Welcome,
    WireTask,
    decode,
    encode,
)
from masterslave.settings import FarmSettings
from masterslave.slave.work import FarmWork, choose_farm
from remoteobj import Proxy, WireError, release

Join = Callable[..., "ByHand"]


class ByHand:
    """A slave that speaks by hand."""

    def __init__(self, farm: Farm, name: str) -> None:
        self.door = Proxy(farm.uri)
        me = Introduction(VERSION, name, "here", 1, 1, sys.version_info[:2])
        self.slave = decode(self.door.join(encode(me)), Welcome).slave

    def ask(self, credit: int, acknowledged: int) -> Instructions:
        return decode(self.door.next(encode(Ask(self.slave, credit, acknowledged))), Instructions)

    def deliver(self, sequence: int, *outcomes: Outcome, leaving: bool = False) -> Receipt:
        delivery = Delivery(self.slave, sequence, outcomes, 0, 99, leaving)
        return decode(self.door.deliver(encode(delivery)), Receipt)


SHORT = FarmSettings(heartbeat_s=0.1)


class _Over(Exception):
    """Leaves a farm's block without waiting for what is open."""


@pytest.fixture
def lonely_farm() -> Iterator[Farm]:
    """A farm without slaves, with short heartbeats; what is open at the end is dropped."""
    with contextlib.suppress(_Over), Farm("test", local_slaves=0, settings=SHORT) as farm:
        yield farm
        raise _Over


@pytest.fixture
def join(lonely_farm: Farm) -> Iterator[Callable[..., ByHand]]:
    """Let a slave join that speaks by hand."""
    joined: list[ByHand] = []

    def join_by_hand(name: str = "hand") -> ByHand:
        joined.append(ByHand(lonely_farm, name))
        return joined[-1]

    yield join_by_hand
    for slave in joined:
        release(slave.door)


def value(task: WireTask, result: object) -> Outcome:
    return Outcome(task.task, task.attempt, VALUE, pickle.dumps(result))


def test_a_reply_that_was_lost_is_given_again(lonely_farm: Farm, join: Join) -> None:
    future = lonely_farm.submit(abs, -7)
    slave = join()
    lost = slave.ask(credit=1, acknowledged=0)
    again = slave.ask(credit=1, acknowledged=0)
    assert again == lost
    assert len(again.tasks) == 1
    assert again.tasks[0].function in again.functions
    assert slave.ask(credit=0, acknowledged=again.batch).tasks == ()
    slave.deliver(1, value(again.tasks[0], 7))
    assert future.result(timeout=5) == 7


def test_a_function_travels_once(lonely_farm: Farm, join: Join) -> None:
    for number in range(2):
        lonely_farm.submit(abs, number)
    slave = join()
    first = slave.ask(1, 0)
    second = slave.ask(1, first.batch)
    assert first.functions.keys() == {first.tasks[0].function}
    assert second.tasks[0].function in first.functions
    assert not second.functions


def test_a_delivery_that_comes_twice_settles_once(lonely_farm: Farm, join: Join) -> None:
    future = lonely_farm.submit(abs, -7)
    slave = join()
    (task,) = slave.ask(1, 0).tasks
    assert slave.deliver(1, value(task, 7)).acknowledged == 1
    assert slave.deliver(1, value(task, 8)).acknowledged == 1
    assert slave.deliver(2, value(task, 9)).acknowledged == 2
    assert future.result(timeout=5) == 7
    assert lonely_farm.statistics().done == 1
    assert lonely_farm.statistics().late == 1


def test_the_first_result_counts_even_of_a_slave_that_was_given_up(
    lonely_farm: Farm, join: Join
) -> None:
    future = lonely_farm.submit(abs, -7)
    first = join("first")
    (task,) = first.ask(1, 0).tasks
    dead = first.slave
    lonely_farm._master.leave(dead, "declared dead")
    second = join("second")
    (again,) = second.ask(1, 0).tasks
    assert (again.task, again.attempt) == (task.task, task.attempt + 1)
    receipt = first.deliver(1, value(task, 7))
    assert receipt.unknown, "it has to join anew"
    assert future.result(timeout=5) == 7
    assert second.ask(0, 1).stops == (Stop(again.task, again.attempt),)
    second.deliver(1, value(again, 8))
    assert lonely_farm.statistics().late == 1


def test_a_stranger_is_told_to_join(lonely_farm: Farm, join: Join) -> None:
    slave = join()
    slave.slave = "nobody#99"
    assert slave.ask(1, 0).unknown
    assert slave.deliver(1, Outcome(0, 1, VALUE, b"")).unknown


def test_what_is_given_back_or_lost_goes_to_the_next(lonely_farm: Farm, join: Join) -> None:
    future = lonely_farm.submit(abs, -7)
    slave = join()
    (task,) = slave.ask(1, 0).tasks
    slave.deliver(1, Outcome(task.task, task.attempt, LOST, b"killed by SIGKILL"))
    (task,) = slave.ask(1, 1).tasks
    slave.deliver(2, Outcome(task.task, task.attempt, GIVEN_BACK, b""), leaving=True)
    (task,) = join().ask(1, 0).tasks
    assert task.attempt == 3
    lonely_farm._master.leave(slave.slave, "gone")
    assert lonely_farm.statistics().slaves_left == 1
    future.cancel()


@pytest.mark.parametrize("verb", ["join", "next", "deliver"])
@pytest.mark.parametrize("junk", [b"", b"junk", b"\x93\x01", encode({"slave": 3})])
def test_junk_is_refused_in_words(lonely_farm: Farm, verb: str, junk: bytes) -> None:
    with Proxy(lonely_farm.uri) as door, pytest.raises(WireError, match="farm's protocol"):
        getattr(door, verb)(junk)


F = {b"f": b"pickled"}
FAST = FarmSettings(feed_ahead_s=0.1, max_ahead=8)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.booleans(), st.booleans()), max_size=30),
    st.integers(0, 40),
)
def test_every_task_is_taken_in_exactly_once_over_a_line_that_loses_replies(
    exchanges: list[tuple[int, bool, bool]], tasks: int
) -> None:
    mailbox, work = Mailbox(), FarmWork(1, FAST)
    posted = iter(range(tasks))
    functions = {b"f": b"pickled"}
    taken: list[int] = []

    def exchange(reply_is_lost: bool) -> None:
        mailbox.acknowledge(work.acknowledged)
        batch = mailbox.give_out(functions)
        if not reply_is_lost:
            work.take_in(batch.batch, batch.tasks, batch.functions)
            while (task := work.start_next()) is not None:
                taken.append(task.task)

    for count, reply_is_lost, twice in exchanges:
        mailbox.post_tasks(WireTask(number, 1, b"f", b"") for number in islice(posted, count))
        exchange(reply_is_lost)
        if twice:
            exchange(False)
    mailbox.post_tasks(WireTask(number, 1, b"f", b"") for number in posted)
    for _ in range(3):
        exchange(False)
    assert taken == list(range(tasks))
    assert mailbox.unacknowledged == 0


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=60))
def test_both_ends_agree_about_which_functions_the_slave_has(uses: list[tuple[int, bool]]) -> None:
    few = partial(KnownFunctions, 3, 100)
    mailbox, work = Mailbox(known=few()), FarmWork(1, FAST, known=few())
    functions = {bytes([n]): bytes([n]) * (1 + 12 * n) for n in range(10)}
    for number, (function, is_taken) in enumerate(uses):
        mailbox.post_tasks([WireTask(number, 1, bytes([function]), b"")])
        if is_taken or number == len(uses) - 1:
            mailbox.acknowledge(work.acknowledged)
            batch = mailbox.give_out(functions)
            work.take_in(batch.batch, batch.tasks, batch.functions)
    jobs = list(iter(work.start_next, None))
    assert [job.task for job in jobs] == list(range(len(uses)))
    assert all(job.pickled == functions[job.function] for job in jobs)
    assert len(work._functions) <= 3


def run_all(work: FarmWork, seconds: float) -> None:
    while (task := work.start_next()) is not None:
        work.finish(Outcome(task.task, task.attempt, VALUE, b"", seconds))


@pytest.mark.parametrize(
    ("seconds", "ahead"), [(0.001, 8), (0.02, 5), (0.05, 2), (0.11, 0), (600.0, 0)]
)
def test_how_far_ahead_follows_the_task_time(seconds: float, ahead: int) -> None:
    work = FarmWork(2, FAST)
    assert work.credit() == 2, "nothing is known yet: one a slot"
    work.take_in(1, [WireTask(0, 1, b"f", b"")], F)
    run_all(work, seconds)
    assert work.ahead() == ahead
    assert work.credit() == 2 * (1 + ahead)


def test_outcomes_are_kept_until_acknowledged() -> None:
    work = FarmWork(1, FAST)
    work.take_in(1, [WireTask(number, 1, b"f", b"") for number in range(3)], F)
    run_all(work, 0.1)
    assert work.to_deliver(10**6)[0] == 3
    work.acknowledge(2)
    last, outcomes = work.to_deliver(10**6)
    assert (last, [outcome.task for outcome in outcomes]) == (3, [2])
    work.acknowledge(3)
    assert work.is_empty()


def test_a_stopped_task_has_no_outcome() -> None:
    work = FarmWork(1, FAST)
    work.take_in(1, [WireTask(number, 1, b"f", b"") for number in range(3)], F)
    running = work.start_next()
    assert running is not None
    assert work.stop([Stop(0, 1), Stop(2, 1), Stop(7, 1)]) == [(0, 1)]
    work.finish(Outcome(0, 1, LOST, b"killed"))
    assert work.to_deliver(100) == (0, ())
    assert work.waiting == 1


def test_draining_gives_back_what_waits_and_what_still_comes() -> None:
    work = FarmWork(1, FAST)
    work.take_in(1, [WireTask(0, 1, b"f", b""), WireTask(1, 1, b"f", b"")], F)
    work.start_next()
    work.draining = True
    work.give_back_waiting()
    work.take_in(2, [WireTask(2, 1, b"f", b"")], F)
    assert [o.task for o in work.to_deliver(100)[1] if o.kind == GIVEN_BACK] == [1, 2]
    assert work.credit() == 0
    assert work.give_back_running() == [(0, 1)]


def test_farms_take_turns() -> None:
    farms = [FarmWork(2, FAST), FarmWork(2, FAST)]
    for farm in farms:
        farm.take_in(1, [WireTask(number, 1, b"f", b"") for number in range(4)], F)
    order = []
    choose: Callable[[], FarmWork | None] = lambda: choose_farm(farms)  # noqa: E731
    while (farm := choose()) is not None:
        farm.start_next()
        order.append(farms.index(farm))
    assert order == [0, 1] * 4


def test_a_batch_stays_within_its_size_but_holds_one_task() -> None:
    mailbox, mib = Mailbox(), 2**20
    sizes = [1, 15, 30, 1, 1]
    functions = {b"f": bytes(3 * mib), b"g": bytes(14 * mib)}
    mailbox.post_tasks(
        WireTask(number, 1, b"g" if number == 3 else b"f", bytes(size * mib))
        for number, size in enumerate(sizes)
    )
    batches = []
    while mailbox.has_mail():
        batch = mailbox.give_out(functions)
        mailbox.acknowledge(batch.batch)
        batches.append(([task.task for task in batch.tasks], [*batch.functions]))
    assert batches == [([0], [b"f"]), ([1], []), ([2], []), ([3, 4], [b"g"])]
