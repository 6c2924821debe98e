"""The two verbs: replies that get lost, deliveries that come twice, slaves that are strangers."""

from __future__ import annotations

import contextlib
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec import structs

from masterslave import Farm, FarmBroken, NotPicklable
from masterslave.packed import pack_value
from masterslave.protocol.encoding import decode, encode
from masterslave.protocol.fetching import BlobAnswer, BlobAsk
from masterslave.protocol.hand_outs import Stop, WireTask
from masterslave.protocol.joining import VERSION, Introduction, Welcome
from masterslave.protocol.outcomes import (
    BROKEN,
    GIVEN_BACK,
    LOST,
    MIXED,
    RAISED,
    VALUE,
    ItemOutcome,
    Outcome,
    PostMortem,
    Raised,
)
from masterslave.protocol.verbs import Ask, Delivery, Instructions
from masterslave.settings import FarmSettings
from remoteobj import Proxy, RemoteObjError, WireError, release
from tests.conftest import eventually

Join = Callable[..., "ByHand"]


class ByHand:
    """A slave that speaks by hand."""

    def __init__(self, farm: Farm, name: str, formerly: str = "") -> None:
        self.door = Proxy(farm.uri)
        me = Introduction(VERSION, name, "here", 1, 1, sys.version_info[:2], formerly)
        self.slave = decode(self.door.join(encode(me)), Welcome).slave

    def ask(
        self, slots: int, acknowledged: int, sequence: int = 0, *outcomes: Outcome
    ) -> Instructions:
        ask = Ask(self.slave, slots, acknowledged, sequence, outcomes)
        return decode(self.door.next(encode(ask)), Instructions)

    def deliver(
        self, sequence: int, *outcomes: Outcome, leaving: bool = False, acknowledged: int = 99
    ) -> Instructions:
        slots = 0 if leaving else 1
        delivery = Delivery(self.slave, sequence, outcomes, slots, acknowledged, leaving)
        return decode(self.door.deliver(encode(delivery)), Instructions)


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

    def join_by_hand(name: str = "hand", formerly: str = "") -> ByHand:
        joined.append(ByHand(lonely_farm, name, formerly))
        return joined[-1]

    yield join_by_hand
    for slave in joined:
        release(slave.door)


def value(task: WireTask, result: object) -> Outcome:
    return Outcome(task.task, task.attempt, task.count, VALUE, pack_value(result))


def raised(error: Exception) -> bytes:
    return encode(Raised(type(error).__name__, str(error), "", pickle.dumps(error)))


def test_a_reply_that_was_lost_is_given_again(lonely_farm: Farm, join: Join) -> None:
    future = lonely_farm.submit(abs, -7)
    slave = join()
    lost = slave.ask(1, 0)
    again = slave.ask(1, 0)
    assert again == lost
    assert len(again.tasks) == 1
    assert again.tasks[0].function in again.functions
    assert slave.ask(0, again.batch).tasks == ()
    slave.deliver(1, value(again.tasks[0], 7))
    assert future.result(timeout=5) == 7


def test_a_function_travels_once(lonely_farm: Farm, join: Join) -> None:
    for number in range(2):
        lonely_farm.submit(abs, number)
    slave = join()
    first = slave.ask(1, 0)
    second = slave.ask(1, first.batch, 1, value(first.tasks[0], 0))
    assert second.delivered == 1
    assert first.functions.keys() == {first.tasks[0].function}
    assert second.tasks[0].function in first.functions
    assert not second.functions


@pytest.mark.parametrize("arrives", [True, False])
def test_the_answer_to_a_delivery_brings_what_is_next(arrives: bool) -> None:
    patient = FarmSettings(heartbeat_s=10.0)
    with (
        contextlib.suppress(_Over),
        Farm("test", local_slaves=0, settings=patient) as farm,
        ThreadPoolExecutor(1) as aside,
    ):
        slave = ByHand(farm, "hand")
        futures = [farm.submit(abs, -number) for number in (7, 8)]
        first = slave.ask(1, 0)
        poll = aside.submit(slave.ask, 1, first.batch)
        eventually(lambda: _is_polled(farm), "its poll waits")
        told = slave.deliver(1, value(first.tasks[0], 7), acknowledged=first.batch)
        assert (told.delivered, len(told.tasks)) == (1, 1)
        assert not poll.done(), "it needs no answer"
        assert futures[1].cancel()
        assert poll.result(timeout=5).batch == 0, "it only tells it to ask anew"
        if not arrives:
            again = slave.ask(1, first.batch)
            assert again.batch == told.batch
            assert again.tasks[0].task == told.tasks[0].task
        assert slave.ask(1, told.batch).stops == (Stop(told.tasks[0].task, 1),)
        release(slave.door)
        raise _Over


def _is_polled(farm: Farm) -> bool:
    return farm._master.view(lambda d: any(seat.poll for seat in d.table.seats.values()))


def test_a_delivery_that_comes_twice_settles_once(lonely_farm: Farm, join: Join) -> None:
    future = lonely_farm.submit(abs, -7)
    slave = join()
    (task,) = slave.ask(1, 0).tasks
    assert slave.deliver(1, value(task, 7)).delivered == 1
    assert slave.deliver(1, value(task, 8)).delivered == 1
    assert slave.deliver(2, value(task, 9)).delivered == 2
    assert future.result(timeout=5) == 7
    assert lonely_farm.statistics().done == 1
    assert lonely_farm.statistics().late == 1


def test_the_first_result_counts_even_of_a_slave_that_was_given_up(
    lonely_farm: Farm, join: Join
) -> None:
    future = lonely_farm.submit(abs, -7)
    first = join("first")
    (task,) = first.ask(1, 0).tasks
    lonely_farm._master.conversation.leave("first#1", "declared dead")
    second = join("second")
    (again,) = second.ask(1, 0).tasks
    assert (again.task, again.attempt) == (task.task, task.attempt + 1)
    receipt = first.deliver(1, value(task, 7))
    assert receipt.unknown, "it has to join anew"
    assert future.result(timeout=5) == 7
    assert second.ask(0, 1).stops == (Stop(again.task, again.attempt),)
    second.deliver(1, value(again, 8))
    assert lonely_farm.statistics().late == 1


def test_the_first_result_counts_also_of_a_slave_that_has_joined_anew(
    lonely_farm: Farm, join: Join
) -> None:
    futures = [lonely_farm.submit(abs, -7) for _ in range(2)]
    first = join("first")
    (task,) = first.ask(1, 0).tasks
    lonely_farm._master.conversation.leave("first#1", "declared dead")
    assert first.ask(1, 1).unknown
    anew = join("first", first.slave)
    other = join("other")
    (again,) = anew.ask(1, 0).tasks
    assert (again.task, again.attempt) == (task.task, task.attempt + 1)
    (second,) = other.ask(1, 0).tasks
    assert other.deliver(1, value(task, 8)).delivered == 1, "it was not handed that"
    assert not futures[0].done()
    anew.deliver(1, value(task, 7))
    assert futures[0].result(timeout=5) == 7
    other.deliver(2, value(second, 9))
    assert futures[1].result(timeout=5) == 9


def test_a_stranger_is_told_to_join(lonely_farm: Farm, join: Join) -> None:
    slave = join()
    slave.slave = "nobody#99"
    assert slave.ask(1, 0).unknown
    assert slave.deliver(1, Outcome(0, 1, 1, VALUE, b"")).unknown


def test_what_is_given_back_or_lost_goes_to_the_next(lonely_farm: Farm, join: Join) -> None:
    future = lonely_farm.submit(abs, -7)
    slave = join()
    (task,) = slave.ask(1, 0).tasks
    dead = encode(PostMortem("killed by SIGKILL", "its last words"))
    slave.deliver(1, Outcome(task.task, task.attempt, 1, LOST, dead))
    (task,) = slave.ask(1, 1).tasks
    slave.deliver(2, Outcome(task.task, task.attempt, 1, GIVEN_BACK, b""), leaving=True)
    (task,) = join().ask(1, 0).tasks
    assert task.attempt == 3
    lonely_farm._master.conversation.leave("hand#1", "gone")
    assert lonely_farm.statistics().slaves_left == 1
    future.cancel()


@pytest.mark.parametrize("verb", ["join", "next", "deliver"])
@pytest.mark.parametrize("junk", [b"", b"junk", b"\x93\x01", encode({"slave": 3})])
def test_junk_is_refused_in_words(lonely_farm: Farm, verb: str, junk: bytes) -> None:
    with Proxy(lonely_farm.uri) as door, pytest.raises(WireError, match="farm's protocol"):
        getattr(door, verb)(junk)


def test_outcomes_may_come_with_the_poll_and_are_dropped_when_they_come_again(
    lonely_farm: Farm, join: Join
) -> None:
    futures = [lonely_farm.submit(abs, -number) for number in range(3)]
    slave = join()
    one = slave.ask(1, 0)
    two = slave.ask(1, one.batch, 1, value(one.tasks[0], 10))
    again = slave.ask(1, one.batch, 1, value(one.tasks[0], 11))
    assert again == two, "the reply was lost: it is given again, and the outcome is dropped"
    both = value(one.tasks[0], 12), value(two.tasks[0], 20)
    assert slave.ask(1, two.batch, 2, *both).delivered == 2
    slave.deliver(3, value(two.tasks[1], 30))
    assert [future.result(timeout=5) for future in futures] == [10, 20, 30]
    assert lonely_farm.statistics().late == 0


def feed_until_known(farm: Farm, slave: ByHand) -> Instructions:
    """Answer the first item of a span, of which one is handed out; return what comes then."""
    (task,) = slave.ask(1, 0).tasks
    assert task.count == 1, "how long an item takes is not known yet"
    return slave.ask(1, 1, 1, value(task, pickle.loads(task.arguments)))


def test_items_of_a_span_settle_one_by_one(lonely_farm: Farm, join: Join) -> None:
    results = lonely_farm.imap_unordered(abs, range(100), limit=400)
    results._refill()
    slave = join()
    chunks = feed_until_known(lonely_farm, slave).tasks
    assert sum(task.count for task in chunks) == 99, "it is fed ahead"
    assert max(task.count for task in chunks) > 20
    outcomes = []
    for task in chunks:
        items = tuple(
            ItemOutcome(RAISED, raised(ValueError(str(item))))
            if item % 10 == 3
            else ItemOutcome(VALUE, pack_value(item))
            for item in pickle.loads(task.arguments)
        )
        outcomes.append(Outcome(task.task, task.attempt, task.count, MIXED, encode(items)))
    slave.deliver(1 + len(outcomes), *outcomes)
    seen, failed = set(), set()
    for _ in range(100):
        try:
            item, result = next(results)
            assert item == result
            seen.add(item)
        except ValueError as error:
            failed.add(int(str(error)))
    assert failed == set(range(3, 100, 10))
    assert seen == set(range(100)) - failed


def test_the_culprit_of_a_span_is_told_and_the_others_run_again(
    lonely_farm: Farm, join: Join
) -> None:
    results = lonely_farm.imap_unordered(abs, range(100), limit=400)
    results._refill()
    slave = join()
    told = feed_until_known(lonely_farm, slave)
    lost = max(told.tasks, key=lambda task: task.count)
    culprit = pickle.loads(lost.arguments)[1]
    dead = encode(PostMortem("its process was killed by SIGSEGV"))
    slave.deliver(2, Outcome(lost.task, lost.attempt, lost.count, LOST, dead, 0.0, 1))
    attempts: dict[int, int] = {}
    waiting = [task for task in told.tasks if task != lost]
    sequence, batch = 2, told.batch
    while len(attempts) < 99:
        for task in waiting:
            attempts |= dict.fromkeys(pickle.loads(task.arguments), task.attempt)
            sequence += 1
            slave.deliver(sequence, value(task, pickle.loads(task.arguments)))
        told = slave.ask(1, batch)
        batch, waiting = told.batch or batch, list(told.tasks)
    again = pickle.loads(lost.arguments)
    assert {item for item, attempt in attempts.items() if attempt == 2} == set(again)
    assert culprit in attempts
    assert sorted(results) == [(number, number) for number in range(100)]
    assert lonely_farm.statistics().given_up == 0


def test_an_item_that_cannot_be_sent_costs_no_other(lonely_farm: Farm, join: Join) -> None:
    slave = join()
    results = lonely_farm.imap_unordered(str, [1, threading.Lock(), 3])
    results._refill()
    sequence, batch, seen = 0, 0, []
    while len(seen) < 2:
        told = slave.ask(1, batch)
        batch = told.batch or batch
        for task in told.tasks:
            seen += pickle.loads(task.arguments)
            sequence += 1
            slave.deliver(sequence, value(task, pickle.loads(task.arguments)))
    assert seen == [1, 3]
    outcomes = []
    for _ in range(3):
        try:
            outcomes.append(next(results))
        except NotPicklable as error:
            outcomes.append(str(error).partition(":")[0])
    expected = {(1, 1), (3, 3), "an item for str() cannot be sent to a slave"}
    assert set(outcomes) == expected


def test_a_loss_that_is_told_in_no_words_is_a_loss(lonely_farm: Farm, join: Join) -> None:
    future = lonely_farm.submit(abs, -7)
    slave = join()
    (task,) = slave.ask(1, 0).tasks
    slave.deliver(1, Outcome(task.task, task.attempt, 1, LOST, b"junk"))
    (again,) = slave.ask(1, 1).tasks
    assert again.attempt == 2
    slave.deliver(2, value(again, 7))
    assert future.result(timeout=5) == 7


def test_a_broken_initializer_breaks_the_farm(lonely_farm: Farm, join: Join) -> None:
    futures = [lonely_farm.submit(abs, -number) for number in range(3)]
    slave = join()
    (task,) = slave.ask(1, 0).tasks
    slave.deliver(1, Outcome(task.task, 1, 1, BROKEN, raised(OSError("no licence"))))
    for future in futures:
        with pytest.raises(FarmBroken, match="no licence"):
            future.result(timeout=5)
    with pytest.raises(FarmBroken, match="no licence"):
        lonely_farm.submit(abs, 1)


def test_a_slave_that_was_given_up_is_not_told_that_what_it_needs_is_gone(
    lonely_farm: Farm, join: Join
) -> None:
    slave, handle = join(), lonely_farm.share(list(range(10_000)))
    (blob,) = lonely_farm._master.blobs._blobs.values()
    ask = BlobAsk("given up", blob.digest, lonely_farm._master.origin)
    assert decode(slave.door.blob(encode(ask)), BlobAnswer) == BlobAnswer()
    seated = structs.replace(ask, slave=slave.slave)
    assert decode(slave.door.blob(encode(seated)), BlobAnswer).parts
    gone = structs.replace(seated, digest=b"no such one")
    assert "keep its handle" in decode(slave.door.blob(encode(gone)), BlobAnswer).refused
    del handle


def test_a_slave_that_is_lost_by_a_farm_that_has_abandoned_all_is_no_trouble(
    lonely_farm: Farm, join: Join
) -> None:
    lonely_farm.submit(abs, -7)
    slave, other = join("slave"), join("other")
    assert len(slave.ask(1, 0).tasks) == 1
    threading.Thread(target=_ask_in_vain, args=(other,)).start()
    eventually(lambda: _polls(lonely_farm), "the other slave waits for tasks")
    lonely_farm._master.abandon()
    release(slave.door)
    eventually(lambda: "slave" not in _names(lonely_farm), "it is lost")


def _ask_in_vain(slave: ByHand) -> None:
    with contextlib.suppress(RemoteObjError):
        slave.ask(1, 0)


def _polls(farm: Farm) -> int:
    return farm._master.view(lambda d: sum(s.poll is not None for s in d.table.seats.values()))


def _names(farm: Farm) -> list[str]:
    return [slave.name for slave in farm.slaves]
