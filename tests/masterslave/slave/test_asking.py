"""Tasks that come one by one are asked for by the thread that has the last one's result."""

from __future__ import annotations

import pickle
import time

import pytest

from masterslave.slave.workshop import Workshop
from tests.conftest import eventually
from tests.masterslave.slave.acts import act
from tests.masterslave.slave.conftest import MakeMaster, Serve, Slave
from tests.masterslave.slave.fake_master import FakeMaster, value_of


def one_by_one(master: FakeMaster, count: int) -> list[int]:
    return [value_of(master.wait_for(master.submit(act, n))[0]) for n in range(count)]


def test_a_lone_task_takes_one_call(master: FakeMaster) -> None:
    one_by_one(master, 50)
    asks, deliveries = len(master.asks), master.deliveries
    assert one_by_one(master, 100) == [*range(100)]
    assert master.deliveries - deliveries < 20, "results come with the next question"
    assert len(master.asks) - asks < 130


def test_a_task_that_takes_longer_than_expected_does_not_hide_the_slave(
    master: FakeMaster,
) -> None:
    one_by_one(master, 30)
    stubborn = master.submit(act, "stubborn")
    eventually(master.is_taken_in, "it has it, and says so while it runs")
    master.stop(stubborn)
    assert one_by_one(master, 3) == [0, 1, 2]


def test_after_a_lull_a_long_task_does_not_hide_the_slave(make_master: MakeMaster) -> None:
    for _ in range(3):
        master = make_master(heartbeat_s=30.0)
        workshop = Workshop(1)
        workshop.open()
        slave = Slave(workshop, master.uri)
        one_by_one(master, 30)
        asker = slave.link._session.asker
        eventually(lambda: asker._sleeps, "the poll's thread is asleep")  # noqa: B023
        master.submit(act, "stubborn")
        eventually(master.is_taken_in, "it is awake at once", timeout_s=0.5)
        slave.link.leave_now()
        slave.wait()
        workshop.close()


def test_many_after_one_are_all_done(master: FakeMaster) -> None:
    for _ in range(20):
        one_by_one(master, 5)
        calls = [pickle.dumps(((n,), {})) for n in range(300)]
        tasks = master.submit_many(act, calls)
        assert [value_of(outcome) for outcome in master.wait_for(*tasks)] == [*range(300)]


def test_after_a_lull_the_slave_is_there(make_master: MakeMaster, serve: Serve) -> None:
    master = make_master(heartbeat_s=0.05)
    serve(master)
    for _ in range(5):
        one_by_one(master, 5)
        master.asks.clear()
        eventually(lambda: len(master.asks) > 3, "it goes on asking")


def test_another_farm_is_served_while_one_is_asked(make_master: MakeMaster) -> None:
    first, second = make_master(heartbeat_s=20.0), make_master(heartbeat_s=0.2)
    workshop = Workshop(1)
    workshop.open()
    one = Slave(workshop, first.uri)
    one_by_one(first, 30)  # and now the thread of the only child waits for the first master
    other = Slave(workshop, second.uri)
    start = time.monotonic()
    assert one_by_one(second, 30) == [*range(30)]
    assert time.monotonic() - start < 10
    assert one_by_one(first, 3) == [0, 1, 2]
    for slave in (one, other):
        slave.link.leave_now()
    for slave in (one, other):
        slave.wait()
    workshop.close()


@pytest.mark.parametrize("how", ["drain", "leave_now"])
def test_who_is_asking_leaves_when_told_to(make_master: MakeMaster, serve: Serve, how: str) -> None:
    master = make_master(heartbeat_s=20.0)
    slave = serve(master)
    one_by_one(master, 30)
    getattr(slave.link, how)()
    assert slave.wait() == "was left"


def test_a_master_that_ends_while_it_is_asked_is_left(
    make_master: MakeMaster, serve: Serve
) -> None:
    master = make_master(heartbeat_s=20.0)
    slave = serve(master)
    one_by_one(master, 30)
    master.end()
    assert slave.wait() == "has ended"


def test_a_slave_that_is_forgotten_while_it_asks_joins_anew(master: FakeMaster) -> None:
    one_by_one(master, 30)
    master.forget()
    assert one_by_one(master, 3) == [0, 1, 2]
    assert master.joined > 1000
