"""Tasks that come one by one: the child asks the master itself, and nothing is lost then."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from masterslave import Farm, FarmSettings
from tests.conftest import children_of, eventually, processes_of

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="connections are handed over there")

ENOUGH = 40
"""So many tasks in a row are enough for a lane."""


def double(number: int) -> int:
    return 2 * number


def sockets_of(pid: int) -> int:
    """How many Unix sockets a process has."""
    found = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found += os.readlink(descriptor).startswith("socket:")
    return found


class Alone:
    """A farm with one slave of one slot, and its child."""

    def __init__(self, farm: Farm) -> None:
        self.farm = farm
        self.number = 0

    @property
    def child(self) -> int:
        (agent,) = (slave.pid for slave in self.farm.slaves)
        (child,) = children_of(agent)
        return child

    def ask_one_by_one(self, count: int = ENOUGH) -> None:
        for _ in range(count):
            self.number += 1
            assert self.farm.submit(double, self.number).result(timeout=10) == 2 * self.number

    def ask_until_there_is_a_lane(self) -> None:
        """A child that has a lane has a connection beside the one that brings them."""
        for _ in range(100):
            self.ask_one_by_one()
            if sockets_of(self.child) > 1:
                return
        raise AssertionError("the child is never handed a connection")


@pytest.fixture
def alone(own_machine: Path) -> Iterator[Alone]:
    settings = FarmSettings(heartbeat_s=0.5)
    with Farm("alone", local_slaves=1, settings=settings) as farm:
        eventually(lambda: farm.slaves, "the slave joins")
        yield Alone(farm)
        counts = farm.statistics()
        assert counts.slaves_lost == 0, "its connection has ended"
        assert counts.done + counts.failed + counts.cancelled >= counts.submitted


def test_what_comes_one_by_one_comes_over_a_lane(alone: Alone) -> None:
    alone.ask_until_there_is_a_lane()
    child = alone.child
    eventually(lambda: sockets_of(child) == 1, "it is closed when nothing comes")
    alone.ask_until_there_is_a_lane()
    assert alone.farm.statistics().handed_out_again == 0


def test_many_at_once_after_one_by_one(alone: Alone) -> None:
    for _ in range(5):
        alone.ask_until_there_is_a_lane()
        futures = [alone.farm.submit(double, number) for number in range(300)]
        assert [future.result(timeout=10) for future in futures] == [*range(0, 600, 2)]
        alone.ask_until_there_is_a_lane()
        assert list(alone.farm.map(double, range(1000))) == [*range(0, 2000, 2)]
    assert alone.farm.statistics().handed_out_again == 0


def test_another_function_in_a_lane(alone: Alone) -> None:
    alone.ask_until_there_is_a_lane()
    for number in range(50):
        factor = 3 if number % 10 else 4
        assert alone.farm.submit(lambda n, f=factor: n * f, number).result(10) == number * factor
    alone.ask_until_there_is_a_lane()
    assert alone.farm.submit(os.getpid).result(timeout=10) == alone.child


def test_large_arguments_and_results_in_a_lane(alone: Alone) -> None:
    for size in (1000, 60_000, 70_000, 200_000, 3_000_000):
        alone.ask_until_there_is_a_lane()
        assert alone.farm.submit(len, bytes(size)).result(timeout=10) == size
        alone.ask_until_there_is_a_lane()
        assert alone.farm.submit(bytes, size).result(timeout=10) == bytes(size)


def test_errors_and_what_cannot_be_sent_in_a_lane(alone: Alone) -> None:
    alone.ask_until_there_is_a_lane()
    with pytest.raises(ZeroDivisionError):
        alone.farm.submit(divmod, 1, 0).result(timeout=10)
    for _ in range(ENOUGH):
        with pytest.raises(ZeroDivisionError):
            alone.farm.submit(divmod, 1, 0).result(timeout=10)
    with pytest.raises(Exception, match="cannot be sent back"):
        alone.farm.submit(threading.Lock).result(timeout=10)
    alone.ask_one_by_one()


def test_parts_and_progress_in_a_lane(alone: Alone, tmp_path: Path) -> None:
    def count(path: str) -> Iterator[int]:
        yield 1
        while not os.path.exists(path):
            time.sleep(0.001)
        yield 2

    alone.ask_until_there_is_a_lane()
    parts = alone.farm.submit(count, str(tmp_path / "go")).parts()
    assert next(parts) == 1, "at once, while the task runs"
    (tmp_path / "go").touch()
    assert list(parts) == [2]

    def work(path: str) -> int:
        Farm.progress(3, 7)
        while not os.path.exists(path):
            time.sleep(0.001)
        return 5

    alone.ask_until_there_is_a_lane()
    future = alone.farm.submit(work, str(tmp_path / "on"))
    eventually(lambda: future.progress == (3, 7), "it is told while the task runs")
    (tmp_path / "on").touch()
    assert future.result(timeout=10) == 5


def test_a_long_task_in_a_lane_can_be_cancelled(alone: Alone, tmp_path: Path) -> None:
    def hang(path: str) -> None:
        open(path, "w").close()
        while True:
            pass

    alone.ask_until_there_is_a_lane()
    future = alone.farm.submit(hang, str(tmp_path / "runs"))
    eventually((tmp_path / "runs").exists, "it runs")
    begun = time.monotonic()
    child = alone.child
    assert future.cancel()
    eventually(lambda: not os.path.exists(f"/proc/{child}/task"), "it is stopped")
    assert time.monotonic() - begun < 1.0
    alone.ask_one_by_one()


def test_a_task_that_holds_the_interpreter_in_a_lane(alone: Alone, tmp_path: Path) -> None:
    def block(path: str, rounds: int) -> int:
        open(path, "w").close()
        return len(str(sum(range(rounds))))

    alone.ask_until_there_is_a_lane()
    future = alone.farm.submit(block, str(tmp_path / "runs"), 60_000_000)
    eventually((tmp_path / "runs").exists, "it runs")
    behind = alone.farm.submit(double, 4)
    assert future.result(timeout=60) == 16
    assert behind.result(timeout=10) == 8
    alone.ask_one_by_one()

    future = alone.farm.submit(block, str(tmp_path / "again"), 10**10)
    eventually((tmp_path / "again").exists, "it runs")
    assert future.cancel()
    assert alone.farm.submit(double, 5).result(timeout=5) == 10, "it was killed"


def test_children_killed_in_lanes_cost_an_attempt_and_nothing_else(alone: Alone) -> None:
    chance = random.Random(7)
    for _ in range(12):
        alone.ask_until_there_is_a_lane()
        child = alone.child
        killer = threading.Timer(chance.uniform(0.0, 0.004), os.kill, (child, signal.SIGKILL))
        killer.start()
        while killer.is_alive():
            alone.ask_one_by_one(1)
        eventually(lambda child=child: not os.path.exists(f"/proc/{child}/task"), "it is gone")
        alone.ask_one_by_one(3)
    counts = alone.farm.statistics()
    assert counts.given_up == 0
    assert counts.done == counts.submitted


def test_an_agent_killed_while_its_child_has_a_lane(own_machine: Path) -> None:
    with Farm("short", local_slaves=1) as farm:
        eventually(lambda: farm.slaves, "the slave joins")
        alone = Alone(farm)
        alone.ask_until_there_is_a_lane()
        child, (agent,) = alone.child, (slave.pid for slave in farm.slaves)
        os.kill(agent, signal.SIGKILL)
        alone.ask_one_by_one(5)
        eventually(lambda: not os.path.exists(f"/proc/{child}/task"), "its child ends")
        assert farm.statistics().slaves_lost == 1


def test_a_farm_that_ends_while_a_lane_is_open(own_machine: Path) -> None:
    for count in (0, 1):
        with Farm("ends", local_slaves=1) as farm:
            eventually(lambda farm=farm: farm.slaves, "the slave joins")
            Alone(farm).ask_until_there_is_a_lane()
            last = [farm.submit(time.sleep, 0.05) for _ in range(count)]
        assert all(future.done() for future in last)
        eventually(lambda: not processes_of(own_machine), "nobody is left")
