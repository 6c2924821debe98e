"""Calls that are taken back: each is run, or said to be unstarted, and never both."""

from __future__ import annotations

import random
import threading

from masterslave.slave.child.frames import Call, Unstarted
from masterslave.slave.child.loop import Pending


class Said:
    """Stands for an outbox."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def say(self, frame: Unstarted) -> None:
        self.numbers += frame.numbers


def calls(count: int) -> list[Call]:
    return [Call(0, 1, 1, 0, b"f", b"") for _ in range(count)]


def test_a_call_that_is_taken_back_before_it_is_read_is_not_started() -> None:
    said = Said()
    pending = Pending(said)
    pending.reclaim([1, 4])
    assert pending.is_contested
    take = pending.add(0, calls(3))
    assert said.numbers == [1]
    assert [number for number in range(3) if take(number, None)] == [0, 2]
    pending.add(3, calls(3))
    assert said.numbers == [1, 4]
    assert not pending.is_contested


def test_a_call_that_was_started_is_not_said_to_be_unstarted() -> None:
    said = Said()
    pending = Pending(said)
    take = pending.add(0, calls(3))
    assert take(0, None)
    pending.reclaim([0, 1, 2])
    assert said.numbers == [1, 2]
    pending.add(3, calls(1))
    assert not pending.is_contested, "the one that was started is forgotten"


def test_who_runs_and_who_takes_back_never_both_have_a_call() -> None:
    draw = random.Random(7)
    for _ in range(30):
        said = Said()
        pending = Pending(said)
        started: list[int] = []
        wanted = draw.sample(range(400), 200)

        def run(pending: Pending = pending, started: list[int] = started) -> None:
            for first in range(0, 400, 10):
                take = pending.add(first, calls(10))
                started += [n for n in range(first, first + 10) if take(n, None)]

        runner = threading.Thread(target=run)
        runner.start()
        for start in range(0, 200, 5):
            pending.reclaim(wanted[start : start + 5])
        runner.join()
        assert sorted(started + said.numbers) == [*range(400)]
        assert set(said.numbers) <= set(wanted)
