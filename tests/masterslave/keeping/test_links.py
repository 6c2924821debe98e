"""A slave's link with a farm that is kept: its master dies, another one comes. Real children."""

from __future__ import annotations

import ctypes
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from masterslave import Farm
from masterslave.protocol.hand_outs import RUN_BITS
from masterslave.protocol.joining import VERSION, Hold, Introduction
from masterslave.protocol.outcomes import GIVEN_BACK, PART, PROGRESS, VALUE, Outcome
from masterslave.slave.link import Link
from masterslave.slave.succession import Successor
from masterslave.slave.workshop import Workshop
from remoteobj import expose
from tests.conftest import PATIENCE_S, eventually
from tests.masterslave.slave.acts import act, note
from tests.masterslave.slave.fake_master import FakeMaster, value_of

MINE = "00112233aabbccdd"
OTHER = "ddccbbaa33221100"
FIRST, SECOND = 1 << RUN_BITS, 2 << RUN_BITS

MakeMaster = Callable[..., FakeMaster]


class Slave:
    """A slave with children, and a link that runs in a thread."""

    def __init__(self, master: FakeMaster, *, slots: int = 1, **options: Any) -> None:
        me = Introduction(VERSION, "hand", "here", 1, slots, sys.version_info[:2])
        self.said: list[str] = []
        self.useless: list[FakeMaster] = []
        self.workshop = Workshop(slots)
        self.workshop.open()
        options = {"patience_s": 10.0, "keeps": True, **options}
        self.link = Link(
            master.uri, self.workshop, me, identity=None, report=self.said.append, **options
        )
        self.how = ""
        self._thread = threading.Thread(target=self._run, name="link")
        self._thread.start()

    def _run(self) -> None:
        self.how = self.link.run()

    def offer(self, master: FakeMaster, *, is_same: bool = False, epoch: int = 0) -> None:
        """Find another master of the farm, as soon as one is wanted."""
        wants = self.link.wants_master
        eventually(lambda: wants(is_same=is_same, epoch=epoch), "another master is wanted")
        joined = threading.Event()
        useless = threading.Event()
        successor = Successor(master.uri, None, is_same, "next.py", joined.set, useless.set)
        self.link.offer(successor)
        eventually(lambda: joined.is_set() or useless.is_set(), "it has answered")
        if useless.is_set():
            self.useless.append(master)

    def keeps(self) -> bool:
        """Tell whether it waits for another master, and has said so."""
        return any("kept for the next one" in line for line in self.said)

    def wait(self) -> str:
        """Wait until the link has ended, and return how."""
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the link did not end"
        return self.how

    def close(self) -> None:
        self.link.leave_now()
        self.wait()
        self.workshop.close()


@pytest.fixture
def make_master() -> Iterator[MakeMaster]:
    made: list[FakeMaster] = []

    def make(first: int = FIRST, **options: Any) -> FakeMaster:
        options = {"farm_id": MINE, "keep_s": 60.0, "label": "test", **options}
        made.append(FakeMaster(first=first, **options))
        return made[-1]

    yield make
    for master in made:
        master.close()


@pytest.fixture
def serve(make_master: MakeMaster) -> Iterator[Callable[..., Slave]]:
    slaves: list[Slave] = []

    def start(master: FakeMaster, **options: Any) -> Slave:
        slaves.append(Slave(master, **options))
        return slaves[-1]

    yield start
    for slave in slaves:
        slave.close()


Serve = Callable[..., Slave]


def hang(master: FakeMaster, gate: Path) -> int:
    """Have a task run until there is a gate; returns its number."""
    task = master.submit(act, "wait", gate=str(gate))
    eventually(Path(f"{gate}.started").exists, "it runs")
    return task


def ended(master: FakeMaster) -> dict[int, Outcome]:
    with master.changed:
        return {one.task: one for one in master.outcomes if one.kind not in (PART, PROGRESS)}


def wait_for(master: FakeMaster, *tasks: int) -> list[Outcome]:
    """Wait for outcomes of tasks that another master has handed out."""
    eventually(lambda: ended(master).keys() >= set(tasks), f"it hears of {tasks[:3]}...")
    return [ended(master)[task] for task in tasks]


def test_what_runs_when_the_master_dies_is_delivered_to_the_next(
    make_master: MakeMaster, serve: Serve, tmp_path: Path
) -> None:
    gate, first = tmp_path / "gate", make_master()
    slave = serve(first)
    task = hang(first, gate)
    first.die()
    eventually(slave.keeps, "it keeps what it has")
    second = make_master(SECOND)
    slave.offer(second)
    assert second.introductions[-1].farm_id == MINE
    assert second.introductions[-1].holds == (Hold(task, 1, 1),)
    gate.touch()
    (outcome,) = wait_for(second, task)
    assert value_of(outcome) == "wait"
    assert value_of(second.wait_for(second.submit(act, 7))[0]) == 7
    assert [line for line in slave.said if "kept for the next one" in line] == [
        "farm 'test': its master has ended; kept for the next one, for 60 s: 1 task (1 at work)"
    ]


def test_what_ends_meanwhile_is_kept_and_what_waits_is_run(
    make_master: MakeMaster, serve: Serve, tmp_path: Path
) -> None:
    gate, first = tmp_path / "gate", make_master()
    (tmp_path / "ran").mkdir()
    slave = serve(first)
    hanging = hang(first, gate)
    calls = [pickle.dumps(((str(tmp_path / "ran"), number), {})) for number in range(100)]
    tasks = first.submit_many(note, calls)
    eventually(first.is_taken_in, "a hundred wait at the slave")
    first.die()
    eventually(slave.keeps, "it keeps what it has")
    assert "101 tasks (1 at work, 100 waiting)" in slave.said[-1]
    gate.touch()
    eventually(lambda: "101 ended" in slave.link.what_is_dropped(), "all of them have ended")
    second = make_master(SECOND)
    slave.offer(second)
    holds = second.introductions[-1].holds
    assert {each.task for each in holds} == {hanging, *tasks}
    assert [value_of(one) for one in wait_for(second, *tasks)] == [*range(100)]
    ran = {path.name: path.read_text() for path in (tmp_path / "ran").iterdir()}
    assert ran == {str(number): "x" for number in range(100)}, "each was run once"


def test_what_waits_is_run_for_the_next_master(
    make_master: MakeMaster, serve: Serve, tmp_path: Path
) -> None:
    gate, first = tmp_path / "gate", make_master()
    slave = serve(first)
    hanging = hang(first, gate)
    tasks = first.submit_many(act, [pickle.dumps(((number,), {})) for number in range(20)])
    eventually(first.is_taken_in, "they wait at the slave")
    first.die()
    second = make_master(SECOND, initializer=pickle.dumps((note, (str(tmp_path), 1))))
    slave.offer(second)
    ours = second.submit(act, "ours")
    second.stop(tasks[3])
    eventually(second.is_taken_in, "it is told that one is wanted no more")
    gate.touch()
    assert value_of(second.wait_for(ours)[0]) == "ours"
    left = [task for task in tasks if task != tasks[3]]
    assert [value_of(one) for one in wait_for(second, hanging, *left)][:2] == ["wait", 0]
    assert tasks[3] not in ended(second)
    assert (tmp_path / "1").read_text() == "x", "its initializer was called once"


def test_tasks_that_come_one_by_one_are_kept_too(
    make_master: MakeMaster, serve: Serve, tmp_path: Path
) -> None:
    gate, first = tmp_path / "gate", make_master(heartbeat_s=30.0)
    slave = serve(first)
    for number in range(40):  # the child asks the master itself by now
        first.wait_for(first.submit(act, number))
    task = hang(first, gate)
    first.die()
    eventually(slave.keeps, "it keeps what it has")
    second = make_master(SECOND)
    slave.offer(second)
    assert second.introductions[-1].holds == (Hold(task, 1, 1),)
    gate.touch()
    (outcome,) = wait_for(second, task)
    assert value_of(outcome) == "wait"
    for number in range(40):
        assert value_of(second.wait_for(second.submit(act, number))[0]) == number


def hold_or_not(path: str, number: int = 7) -> int:
    if path:
        Path(path).touch()
        ctypes.PyDLL(None).sleep(5)  # it holds Python's lock
    return number


def test_a_lane_that_cannot_be_closed_yet_is_told_of(
    make_master: MakeMaster, serve: Serve, tmp_path: Path
) -> None:
    path, first = tmp_path / "holds", make_master(heartbeat_s=30.0)
    slave = serve(first)
    for number in range(40):  # the child asks the master itself by now
        first.wait_for(first.submit(hold_or_not, "", number))
    task = first.submit(hold_or_not, str(path))
    eventually(path.exists, "it runs")
    first.die()
    eventually(slave.keeps, "it keeps what it has")
    second = make_master(SECOND)
    slave.offer(second)
    assert second.introductions[-1].holds == (Hold(task, 1, 1),)
    assert value_of(wait_for(second, task)[0]) == 7


def test_another_farm_gets_nothing_of_it(
    make_master: MakeMaster, serve: Serve, tmp_path: Path
) -> None:
    gate, first = tmp_path / "gate", make_master()
    slave = serve(first)
    task = hang(first, gate)
    first.die()
    foreign, refusing = make_master(SECOND, farm_id=OTHER), make_master(SECOND, refused="no room")
    slave.offer(foreign)
    slave.offer(refusing)
    gone = make_master(SECOND)
    gone.die()
    slave.offer(gone)
    assert slave.useless == [foreign, refusing, gone]
    assert "next.py is another farm's master" in slave.said[1]
    assert "next.py refuses this slave: no room" in slave.said[2]
    gate.touch()
    second = make_master(SECOND)
    slave.offer(second)
    wait_for(second, task)
    assert not foreign.outcomes


def test_after_keep_s_it_is_dropped_and_said(
    make_master: MakeMaster, serve: Serve, tmp_path: Path
) -> None:
    first = make_master(keep_s=0.3)
    slave = serve(first)
    hang(first, tmp_path / "gate")
    first.die()
    assert slave.wait() == (
        "has ended, and no other master of it came within 0.3 s; dropped: 1 task (1 at work)"
    )
    eventually(lambda: slave.workshop.all_children[0].is_ready, "another child is up")
    assert not slave.link.wants_master(is_same=False)


def test_a_farm_that_has_ended_is_not_kept(
    make_master: MakeMaster, serve: Serve, tmp_path: Path
) -> None:
    first = make_master()
    slave = serve(first)
    hang(first, tmp_path / "gate")
    first.end()
    assert slave.wait() == "has ended"
    assert slave.said == []


@pytest.mark.parametrize("options", [{"farm_id": ""}, {"keep_s": 0.0}])
def test_a_farm_that_is_not_kept_is_dropped_at_once(
    make_master: MakeMaster, serve: Serve, tmp_path: Path, options: dict[str, Any]
) -> None:
    first = make_master(**options)
    slave = serve(first)
    hang(first, tmp_path / "gate")
    first.die()
    assert slave.wait() == "has ended"


def test_nothing_is_kept_where_nothing_is_held(make_master: MakeMaster, serve: Serve) -> None:
    first = make_master()
    slave = serve(first)
    first.wait_for(first.submit(act, 1))
    first.die()
    assert slave.wait() == "has ended"
    assert slave.said == []


def test_who_is_told_to_leave_waits_with_what_is_kept(
    make_master: MakeMaster, serve: Serve, tmp_path: Path
) -> None:
    gate, first = tmp_path / "gate", make_master()
    slave = serve(first)
    hanging = hang(first, gate)
    waiting = first.submit_many(act, [pickle.dumps(((number,), {})) for number in range(3)])
    eventually(first.is_taken_in, "they wait at the slave")
    first.die()
    eventually(slave.keeps, "it keeps what it has")
    slave.link.drain()
    assert slave.said[-1] == (
        "farm 'test': waits for its next master, to deliver 4 tasks (3 ended, 1 at work); Ctrl-C "
        "again drops that"
    )
    gate.touch()
    second = make_master(SECOND)
    slave.offer(second)
    assert value_of(wait_for(second, hanging)[0]) == "wait"
    assert [one.kind for one in wait_for(second, *waiting)] == [GIVEN_BACK] * 3
    assert second.has_left or slave.wait()
    assert slave.wait() == "has ended"


def test_who_is_told_to_leave_at_once_says_what_is_dropped(
    make_master: MakeMaster, serve: Serve, tmp_path: Path
) -> None:
    first = make_master()
    slave = serve(first)
    hang(first, tmp_path / "gate")
    first.die()
    eventually(slave.keeps, "it keeps what it has")
    slave.link.leave_now()
    assert slave.wait() == ("was left before its next master came; dropped: 1 task (1 at work)")


def test_who_is_told_to_leave_at_once_as_the_next_master_comes_gives_back(
    make_master: MakeMaster, serve: Serve, tmp_path: Path
) -> None:
    first, told = make_master(), threading.Event()

    class Hesitant(FakeMaster):
        @expose
        def join(self, message: bytes) -> bytes:
            slave.link.leave_now()
            told.set()
            return super().join(message)

    slave = serve(first)
    task = hang(first, tmp_path / "gate")
    first.die()
    eventually(slave.keeps, "it keeps what it has")
    second = Hesitant(first=SECOND, farm_id=MINE, keep_s=60.0, label="test")
    slave.offer(second)
    assert told.is_set()
    assert wait_for(second, task)[0].kind == GIVEN_BACK
    assert slave.wait() == "was left"
    second.close()


def big(count: int) -> str:
    return "x" * count


def test_what_is_kept_has_a_bound(make_master: MakeMaster, serve: Serve, tmp_path: Path) -> None:
    gate, first = tmp_path / "gate", make_master()
    slave = serve(first, most_kept_bytes=100_000)
    hang(first, gate)
    tasks = first.submit_many(big, [pickle.dumps(((30_000,), {})) for _ in range(100)])
    eventually(first.is_taken_in, "they wait at the slave")
    first.die()
    eventually(slave.keeps, "it keeps what it has")
    gate.touch()
    eventually(lambda: "(101 ended)" in slave.link.what_is_dropped(), "all is settled")
    second = make_master(SECOND)
    slave.offer(second)
    kinds = [one.kind for one in wait_for(second, *tasks)]
    assert kinds.count(VALUE) < 20
    assert set(kinds) == {VALUE, GIVEN_BACK}
    ours = second.submit(big, 3)
    assert value_of(second.wait_for(ours)[0]) == "xxx", "it takes more again"


def spill(gate: str) -> Iterator[str]:
    act("wait", gate)
    while True:
        yield "x" * 50_000


def test_a_task_that_yields_without_end_is_given_up(
    make_master: MakeMaster, serve: Serve, tmp_path: Path
) -> None:
    gate, first = tmp_path / "gate", make_master()
    slave = serve(first, most_kept_bytes=200_000)
    task = first.submit(spill, str(gate))
    eventually(Path(f"{gate}.started").exists, "it runs")
    first.die()
    eventually(slave.keeps, "it keeps what it has")
    gate.touch()
    eventually(lambda: "(1 ended)" in slave.link.what_is_dropped(), "it is ended")
    second = make_master(SECOND)
    slave.offer(second)
    assert wait_for(second, task)[0].kind == GIVEN_BACK


def tell(gate: str, times: int) -> Iterator[int]:
    for number in range(times):
        Farm.progress(number, times)
        time.sleep(0.05)  # of what follows at once, only the latest is told
        yield number
    act("wait", gate)


def test_parts_are_kept_and_the_latest_progress(
    make_master: MakeMaster, serve: Serve, tmp_path: Path
) -> None:
    begin, gate, first = tmp_path / "begin", tmp_path / "gate", make_master()
    slave = serve(first)
    hang(first, begin)
    task = first.submit(tell, str(gate), 20)
    eventually(first.is_taken_in, "it waits at the slave")
    first.die()
    eventually(slave.keeps, "it keeps what it has")
    begin.touch()
    eventually(Path(f"{gate}.started").exists, "it has told all that it tells")
    second = make_master(SECOND)
    slave.offer(second)

    def told(kind: int) -> list[Outcome]:
        with second.changed:
            return [one for one in second.outcomes if (one.task, one.kind) == (task, kind)]

    eventually(lambda: told(PROGRESS), "it hears how far the task is, which goes on")
    assert [one.item for one in told(PART)] == [*range(20)]
    progress = [msgspec.msgpack.decode(one.payload) for one in told(PROGRESS)]
    assert progress[0][0] > 10
    assert len(progress) == 1
    gate.touch()
    wait_for(second, task)


def test_the_same_master_again_goes_on(
    make_master: MakeMaster, serve: Serve, tmp_path: Path
) -> None:
    """It did not answer for a while, and has given the slave up."""
    gate, first = tmp_path / "gate", make_master()
    slave = serve(first, patience_s=0.3)
    task = hang(first, gate)
    with first.changed:  # no verb gets through
        eventually(slave.keeps, "it keeps what it has", timeout_s=20.0)
    first.forget()
    slave.offer(first, is_same=True)
    assert first.introductions[-1].holds == (Hold(task, 1, 1),)
    assert first.introductions[-1].formerly, "what it was handed by that name is still its own"
    gate.touch()
    assert value_of(first.wait_for(task)[0]) == "wait"


def test_a_master_that_is_silent_is_left_when_another_one_comes(
    make_master: MakeMaster, serve: Serve, tmp_path: Path
) -> None:
    gate, first = tmp_path / "gate", make_master(heartbeat_s=0.2)
    slave = serve(first)
    task = hang(first, gate)
    assert not slave.link.wants_master(is_same=False), "this one answers"
    second = make_master(SECOND)
    with first.changed:  # no verb gets through
        begin = time.monotonic()
        slave.offer(second)
        assert time.monotonic() - begin < 4.0
        gate.touch()
        assert value_of(wait_for(second, task)[0]) == "wait"
