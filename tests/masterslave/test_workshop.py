"""The slots of a slave: children that are stopped, that die, and that cannot be started."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
import pytest

from masterslave.protocol.hand_outs import Stop, WireTask
from masterslave.protocol.joining import Welcome
from masterslave.protocol.outcomes import (
    GIVEN_BACK,
    LOST,
    RAISED,
    TIMED_OUT,
    VALUE,
    Outcome,
    PostMortem,
)
from masterslave.slave.child.frames import Ready, Run, Unstarted
from masterslave.slave.children import Child, Frame, Told, Verdict
from masterslave.slave.equipment import Equipment
from masterslave.slave.load import AHEAD_S, Load
from masterslave.slave.work import MAX_DEATHS, FarmWork
from masterslave.slave.workshop import Workshop
from tests.conftest import eventually


class ByHand(Child):
    """A child whose words and death a test decides on."""

    def __init__(
        self,
        on_frame: Callable[[Child, Frame], None],
        on_death: Callable[[Child, PostMortem], None],
        on_lines: object = None,
    ) -> None:
        self.say = partial(on_frame, self)
        self._on_death = on_death
        self.is_ready = self.is_doomed = self.is_overdue = self.is_killed = False
        self.heard_at = 0.0
        self.load = Load()
        self.equipment = Equipment()
        self.runs = (-1, -1)
        self.runs_on: list[int] = []
        self.reclaimed: list[int] = []
        self.nudges = 0
        self.on_sent: Callable[[], object] = lambda: None

    def runs_now(self) -> tuple[int, int]:
        return self.runs

    def post(self, frames: list[msgspec.Struct], tail: bytes = b"") -> None:
        for frame in frames:
            if isinstance(frame, Run):
                self.runs_on += range(frame.first, frame.first + len(frame.calls))

    def flush(self) -> None:
        self.on_sent()

    def nudge(self) -> None:
        self.nudges += 1

    def reclaim(self, numbers: Any) -> None:
        self.reclaimed += numbers

    def finish(self, *numbers: int, seconds: float = 0.0001) -> None:
        """Say that calls have ended."""
        jobs = [self.load.jobs[number].task for number in numbers]
        outcomes = [
            Outcome(job.task, job.attempt, job.count, VALUE, b"D\xc0", seconds) for job in jobs
        ]
        self.say(Told([*numbers], outcomes))

    def die(self) -> None:
        self._on_death(self, PostMortem("killed"))

    def last_words(self, task: int) -> str:
        return ""

    def kill(self) -> None:
        self.is_killed = True

    def kill_and_ask(self) -> None:
        self.kill()

    def wait(self) -> None:
        pass


class Shop(Workshop):
    """A workshop with children by hand."""

    def __init__(self, slots: int = 1) -> None:
        self.children: list[ByHand] = []
        super().__init__(slots, make_child=self._make)
        self.open()

    def _make(self, *callbacks: Any) -> ByHand:
        self.children.append(ByHand(*callbacks))
        return self.children[-1]


@pytest.fixture
def shop() -> Iterator[Shop]:
    made = Shop()
    yield made
    made.close()


def work_of(count: int, function: bytes = b"f") -> FarmWork:
    """A farm that has sent so many tasks, numbered from 0."""
    work = FarmWork()
    tasks = [WireTask(number, 1, 1, 0, function, b"") for number in range(count)]
    work.take_in(1, tasks, {function: pickle.dumps(abs)})
    return work


def outcomes(work: FarmWork) -> dict[int, int]:
    return {outcome.task: outcome.kind for outcome in work.to_deliver(10**6)[1]}


def add(shop: Workshop, work: FarmWork, **welcome: Any) -> None:
    shop.add(work, Welcome(**welcome), lambda child: None)


def test_a_child_is_given_one_task_until_its_time_is_known(shop: Shop) -> None:
    (child,) = shop.children
    work = work_of(1000)
    add(shop, work)
    child.say(Ready())
    assert child.runs_on == [0]
    child.finish(0, seconds=0.001)
    ahead = round(1000 * AHEAD_S)
    assert child.runs_on[1:] == [*range(1, ahead + 1)], "the running one, and so many ms"
    half = ahead // 2
    for number in range(1, half - 2):
        child.finish(number, seconds=0.001)
    assert child.runs_on[-1] == ahead, "more than half of that is left"
    for number in range(half - 2, half + 2):
        child.finish(number, seconds=0.001)
    assert child.runs_on[-1] > ahead + half - 5


def test_of_longer_tasks_one_is_given_ahead_and_of_long_ones_none(shop: Shop) -> None:
    (child,) = shop.children
    work = work_of(1000)
    add(shop, work)
    child.say(Ready())
    child.finish(0, seconds=AHEAD_S)
    assert child.runs_on == [0, 1, 2]
    child.finish(1, seconds=0.9)
    child.finish(2, seconds=0.9)
    assert child.runs_on == [0, 1, 2, 3]


def test_children_share_what_there_is() -> None:
    shop = Shop(2)
    work = work_of(2)
    add(shop, work)
    for child in shop.children:
        child.say(Ready())
    for child in shop.children:
        child.finish(*child.runs_on)
    tasks = [WireTask(number, 1, 1, 0, b"f", b"") for number in range(2, 12)]
    work.take_in(2, tasks, {})
    shop.assign()
    assert [len(child.load.jobs) for child in shop.children] == [5, 5]
    shop.close()


def test_a_kill_that_was_meant_for_one_task_does_not_hit_the_next(shop: Shop) -> None:
    (child,) = shop.children
    work = work_of(2)
    add(shop, work)
    child.say(Ready())
    child.runs = (0, 0)
    shop.stop(work, [Stop(0, 1)])
    eventually(lambda: child.is_killed, "it is killed after a moment")
    child.finish(0)  # it was written before the kill
    child.die()
    assert not outcomes(work), "task 1 was with nobody, so nothing of it is lost"
    shop.children[1].say(Ready())
    assert [job.task.task for job in shop.children[1].load.jobs.values()] == [1]


def test_a_task_that_has_just_finished_is_not_stopped(shop: Shop) -> None:
    (child,) = shop.children
    work = work_of(2)
    add(shop, work)
    child.say(Ready())
    child.runs = (0, 0)
    child.finish(0)
    shop.stop(work, [Stop(0, 1)])
    assert not child.reclaimed
    assert not child.is_killed


def test_a_task_that_waits_in_a_child_is_taken_back_and_not_killed(shop: Shop) -> None:
    (child,) = shop.children
    work = work_of(4)
    add(shop, work)
    child.say(Ready())
    child.runs = (0, 0)
    child.finish(0)
    child.runs = (1, 0)
    shop.stop(work, [Stop(2, 1)])
    shop.recall(work, [Stop(1, 1), Stop(3, 1)])
    assert child.reclaimed == [2, 1, 3]
    child.say(Unstarted([2, 3]))
    assert outcomes(work) == {0: VALUE, 3: GIVEN_BACK}
    child.finish(1)
    assert not child.is_killed


def test_who_is_silent_is_asked_and_given_nothing_ahead(shop: Shop) -> None:
    (child,) = shop.children
    work = work_of(1000)
    add(shop, work)
    child.say(Ready())
    child.finish(0)
    held = len(child.load.jobs)
    eventually(lambda: child.nudges, "it is asked")
    child.say(Unstarted([child.runs_on[-1]]))
    assert len(child.load.jobs) == held - 1
    assert child.nudges == 1
    given = len(child.runs_on)
    for number in range(1, 2 + held // 2):
        child.finish(number)
    assert len(child.runs_on) > given, "it speaks again, and half of what it had is done"


def test_who_is_silent_with_all_taken_back_is_given_something(shop: Shop) -> None:
    (child,) = shop.children
    work = work_of(3)
    add(shop, work)
    child.say(Ready())
    child.finish(0)
    eventually(lambda: child.nudges, "it is asked")
    child.say(Unstarted([1, 2]))
    assert [job.task.task for job in child.load.jobs.values()] == [1, 2]


def test_a_hand_out_that_kills_whoever_reads_it_is_lost_in_the_end(shop: Shop) -> None:
    work = work_of(1)
    add(shop, work)
    for number in range(MAX_DEATHS):
        assert not outcomes(work)
        shop.children[number].say(Ready())
        shop.children[number].die()
    assert outcomes(work) == {0: LOST}


def test_a_hundred_deaths_cost_what_ran_and_one_in_vain_is_not_answered_at_once(
    shop: Shop,
) -> None:
    work = work_of(101)
    add(shop, work)
    shop.children[0].say(Ready())
    shop.children[0].finish(0, seconds=0.001)  # so that each is given a hundred
    for number in range(100):
        child = shop.children[-1]
        child.say(Ready())
        child.runs = (child.runs_on[0] if number else 1, 0)
        child.die()
    kinds = outcomes(work)
    assert kinds.pop(0) == VALUE
    assert kinds == dict.fromkeys(range(1, 101), LOST)
    assert len(shop.children) == 101
    shop.children[-1].say(Ready())
    shop.children[-1].die()
    assert len(shop.children) == 101, "it had nothing to do: processes are not started in a circle"


def test_what_a_limit_hits_is_told_and_what_has_just_begun_is_run_again(shop: Shop) -> None:
    (child,) = shop.children
    work = work_of(3)
    add(shop, work)
    child.say(Ready())
    child.finish(0, seconds=0.001)
    child.runs = (2, 0)
    child.is_doomed, child.verdict = True, Verdict(1, TIMED_OUT, "too long", 0.5)
    child.die()
    assert outcomes(work) == {0: VALUE}, "1 had ended, and nobody knows how"
    second = shop.children[1]
    second.say(Ready())
    second.runs = (0, 0)
    second.is_doomed, second.verdict = True, Verdict(0, TIMED_OUT, "too long", 0.5)
    second.die()
    assert outcomes(work) == {0: VALUE, 1: RAISED}


def test_a_child_that_cannot_be_started_is_tried_again() -> None:
    failures = iter([OSError("no memory")])

    def make(*callbacks: Any) -> Child:
        for failure in failures:
            raise failure
        return Child(*callbacks)

    shop = Workshop(1, make_child=make)
    shop.open()
    work = FarmWork()
    task = WireTask(1, 1, 1, 0, b"f", pickle.dumps(((-1,), {})))
    work.take_in(1, [task], {b"f": pickle.dumps(abs)})
    add(shop, work)
    eventually(lambda: outcomes(work), "the task is run")
    assert outcomes(work) == {1: VALUE}
    shop.close()


def test_a_child_that_dies_at_once_is_not_replaced_at_once(shop: Shop) -> None:
    start = time.monotonic()
    shop.children[0].die()
    assert len(shop.children) == 1
    eventually(lambda: len(shop.children) == 2, "it is replaced")
    assert time.monotonic() - start > 0.9
