"""What a slave holds: every hand-out has one outcome, kept until it is acknowledged."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from masterslave.protocol.hand_outs import Stop, WireTask
from masterslave.protocol.outcomes import GIVEN_BACK, VALUE, Outcome
from masterslave.slave.work import FarmWork, Job


class Held(RuleBasedStateMachine):
    """A slave among a master and children that do anything in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.work = FarmWork()
        self.tasks = 0
        self.batch = 0
        self.running: list[Job] = []
        self.stopped: set[int] = set()
        self.told: list[int] = []
        self.taken = 0

    @rule(count=st.integers(0, 5), again=st.booleans())
    def take_in(self, count: int, again: bool) -> None:
        if again and self.batch:
            self.work.take_in(self.batch, [WireTask(-1, 1, 1, 0, b"f", b"")], {})
            return
        self.batch += 1
        new = [WireTask(self.tasks + n, 1, 1, 0, b"f", b"") for n in range(count)]
        self.tasks += count
        self.work.take_in(self.batch, new, {b"f": b"pickled"})

    @rule(count=st.integers(1, 3))
    def start(self, count: int) -> None:
        for _ in range(min(count, len(self.work.waiting))):
            self.running.append(self.work.waiting.popleft())
            self.work.running += 1

    @rule(index=st.integers(0, 100))
    def finish(self, index: int) -> None:
        if self.running:
            job = self.running.pop(index % len(self.running))
            outcome = Outcome(job.task.task, 1, 1, VALUE, b"", 0.1)
            self.work.hear([] if job.is_unwanted else [outcome], 1)

    @rule(index=st.integers(0, 100))
    def put_back(self, index: int) -> None:
        if self.running:
            job = self.running.pop(index % len(self.running))
            self.work.put_back([job])
            if not (job.is_recalled or job.is_unwanted or self.work.draining):
                assert self.work.waiting[0] is job

    @rule(task=st.integers(0, 30))
    def stop(self, task: int) -> None:
        if task in self.open_tasks():
            self.stopped.add(task)
        is_meant = self.work.stop([Stop(task, 1)])
        for job in filter(is_meant, self.running):
            job.is_unwanted = True

    @rule(task=st.integers(0, 30))
    def recall(self, task: int) -> None:
        is_meant = self.work.recall([Stop(task, 1)])
        for job in filter(is_meant, self.running):
            job.is_recalled = True

    @rule(most=st.integers(0, 10))
    def deliver(self, most: int) -> None:
        last, outcomes = self.work.to_deliver(most)
        assert last - len(outcomes) <= self.taken <= last or not outcomes
        new = last - self.taken
        if outcomes and new > 0:
            self.told += [outcome.task for outcome in outcomes[-new:]]
            self.taken = last

    @rule()
    def acknowledge(self) -> None:
        self.work.acknowledge(self.taken)

    @rule()
    def drain(self) -> None:
        self.work.draining = True
        self.work.give_back_waiting()

    def open_tasks(self) -> set[int]:
        waiting = {job.task.task for job in self.work.waiting}
        return waiting | {job.task.task for job in self.running if not job.is_unwanted}

    @invariant()
    def each_has_one_outcome(self) -> None:
        _, left = self.work.to_deliver(1 << 60)
        first = self.work._sequence - len(left)
        untold = [outcome.task for outcome in left[max(0, self.taken - first) :]]
        ended = self.told + untold
        assert len(ended) == len(set(ended))
        assert set(ended).isdisjoint(self.open_tasks())
        assert set(ended) | self.open_tasks() | self.stopped == set(range(self.tasks))

    @invariant()
    def counts_agree(self) -> None:
        assert self.work.running == len(self.running)
        assert not (self.work.draining and self.work.waiting)


TestHeld = Held.TestCase
TestHeld.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)


def test_a_function_that_is_forgotten_is_still_there_for_who_waits() -> None:
    work = FarmWork()
    for number in range(600):
        function = b"%d" % number
        work.take_in(
            number + 1,
            [WireTask(number, 1, 1, 0, function, b"")],
            {function: b"pickled " + function},
        )
    assert work.waiting[0].pickled == b"pickled 0"
    assert len(work._functions) == 256


def test_joining_anew_keeps_what_is_held() -> None:
    work = FarmWork()
    work.take_in(5, [WireTask(1, 1, 1, 0, b"f", b"")], {b"f": b"x"})
    work.tell([Outcome(0, 1, 1, GIVEN_BACK, b"")])
    work.join_anew()
    assert work.acknowledged == 0
    assert len(work.waiting) == 1
    assert work.to_deliver(10)[0] == 1
