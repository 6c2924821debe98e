"""The slots of a slave: children that are stopped, that die, and that cannot be started."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from masterslave import FarmSettings
from masterslave.protocol import LOST, VALUE, KnownFunctions, Outcome, Stop, WireTask
from masterslave.slave.child import Finished, Ready
from masterslave.slave.children import Child
from masterslave.slave.work import FarmWork
from masterslave.slave.workshop import Workshop
from tests.conftest import eventually


class ByHand(Child):
    """A child whose words and death a test decides on."""

    def __init__(
        self,
        on_frame: Callable[[Child, Ready | Finished], None],
        on_death: Callable[[Child, str], None],
    ) -> None:
        self.say = partial(on_frame, self)
        self.die = partial(on_death, self)
        self.is_ready = self.is_doomed = self.is_killed = False
        self.known_functions = KnownFunctions()
        self.known_paths = set()
        self.on_sent: Callable[[], object] = lambda: None

    def send(self, *frames: object) -> None:
        self.on_sent()

    def kill(self) -> None:
        self.is_killed = True


class Shop(Workshop):
    """A workshop of one slot, with children by hand."""

    def __init__(self) -> None:
        self.children: list[ByHand] = []
        super().__init__(1, make_child=self._make)
        self.open()

    def _make(self, *callbacks: Any) -> ByHand:
        self.children.append(ByHand(*callbacks))
        return self.children[-1]


@pytest.fixture
def one_slot() -> Iterator[Workshop]:
    """A real one."""
    shop = Workshop(1)
    shop.open()
    yield shop
    shop.close()


def work_of(*calls: tuple[object, tuple[object, ...]]) -> FarmWork:
    """A farm that has sent these calls, as tasks 0, 1, ..."""
    work = FarmWork(1, FarmSettings())
    pickled = [pickle.dumps(function) for function, _ in calls]
    tasks = [
        WireTask(number, 1, function, pickle.dumps((args, {})))
        for number, (function, (_, args)) in enumerate(zip(pickled, calls, strict=True))
    ]
    work.take_in(1, tasks, {function: function for function in pickled})
    return work


def outcomes(work: FarmWork) -> list[Outcome]:
    return list(work.to_deliver(10**6)[1])


def test_a_kill_that_was_meant_for_one_task_does_not_hit_the_next() -> None:
    shop = Shop()
    (child,) = shop.children
    work = work_of((abs, (-1,)), (abs, (-2,)))
    shop.add(work, ())
    child.say(Ready())
    assert work.stop([Stop(0, 1)]) == [(0, 1)]
    shop.stop(work, [(0, 1)])
    assert child.is_killed
    child.say(Finished(0, 1, False, pickle.dumps(1), 0.1))  # it was written before the kill
    child.die("killed")
    assert not outcomes(work), "task 1 was with nobody, so nothing of it is lost"
    assert work.waiting == 1
    shop.children[1].say(Ready())
    assert work.running == {(1, 1)}


def test_a_task_that_has_just_finished_is_not_stopped() -> None:
    shop = Shop()
    (child,) = shop.children
    work = work_of((abs, (-1,)), (abs, (-2,)))
    shop.add(work, ())
    child.say(Ready())
    child.say(Finished(0, 1, False, pickle.dumps(1), 0.1))
    shop.stop(work, [(0, 1)])
    assert not child.is_killed
    assert work.running == {(1, 1)}


def test_a_child_that_cannot_be_started_is_tried_again() -> None:
    failures = iter([OSError("no memory")])

    def make(*callbacks: Any) -> Child:
        for failure in failures:
            raise failure
        return Child(*callbacks)

    shop = Workshop(1, make_child=make)
    shop.open()
    work = work_of((abs, (-1,)))
    shop.add(work, ())
    eventually(lambda: outcomes(work), "the task is run")
    assert outcomes(work)[0].kind == VALUE
    shop.close()


def fork_and_finish(path: str, way: str) -> None:
    """Leave a process behind that lives on, and end in one way or another."""
    forked = os.fork()
    if forked == 0:
        while True:
            signal.pause()
    Path(path).write_text(str(forked))
    if way == "by itself":
        os._exit(3)
    while True:
        signal.pause()


@pytest.mark.parametrize("way", ["by itself", "stopped"])
def test_a_process_that_a_task_forked_keeps_no_slot(
    one_slot: Workshop, tmp_path: Path, way: str
) -> None:
    pid = tmp_path / "pid"
    work = work_of((fork_and_finish, (str(pid), way)), (abs, (-1,)))
    one_slot.add(work, (str(Path(__file__).parents[2]),))
    one_slot.assign()
    eventually(lambda: pid.exists() and pid.read_text(), "the task has forked")
    if way == "stopped":
        one_slot.stop(work, work.stop([Stop(0, 1)]))
    eventually(lambda: any(o.kind == VALUE for o in outcomes(work)), "the next task is run")
    assert [o.task for o in outcomes(work) if o.kind == LOST] == [0] * (way == "by itself")
    eventually(lambda: not is_alive(int(pid.read_text())), "what it forked ends with it")


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
