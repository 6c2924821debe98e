"""A farm that is asked for all sorts of things in a random order, while its children are killed.

``ACTS=5000`` makes a run longer; a seed that fails is in the test's name.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from masterslave import Farm, FarmSettings
from tests.conftest import children_of

ACTS = int(os.environ.get("ACTS", "80"))


def times_7(number: int, seconds: float = 0.0) -> int:
    if seconds:
        time.sleep(seconds)
    return 7 * number


def tell(number: int) -> Iterator[int]:
    yield number
    return 7 * number


class Mix:
    """What can be asked of a farm; each act checks its own answers.

    Pauses are drawn, too: they decide whether a lane is open, a child idle, a task begun. No answer
    depends on them.
    """

    def __init__(self, farm: Farm, seed: int) -> None:
        self.farm, self.random = farm, random.Random(seed)

    def one_by_one(self) -> None:
        for number in range(self.random.randrange(1, 60)):
            assert self.farm.submit(times_7, number).result(timeout=20) == 7 * number

    def many_at_once(self) -> None:
        futures = [
            self.farm.submit(times_7, number) for number in range(self.random.randrange(2, 200))
        ]
        assert [future.result(timeout=20) for future in futures] == [
            7 * number for number in range(len(futures))
        ]

    def a_map(self) -> None:
        count = self.random.randrange(1, 500)
        assert list(self.farm.map(times_7, range(count))) == [*range(0, 7 * count, 7)]

    def a_stream(self) -> None:
        assert dict(self.farm.imap_unordered(times_7, range(50))) == {n: 7 * n for n in range(50)}

    def a_longer_one(self) -> None:
        seconds = self.random.choice([0.001, 0.004, 0.01, 0.05])
        assert self.farm.submit(times_7, 3, seconds).result(timeout=20) == 21

    def a_cancelled_one(self) -> None:
        future = self.farm.submit(times_7, 1, self.random.choice([0.0005, 0.005, 0.05, 3.0]))
        time.sleep(self.random.choice([0, 0.001, 0.004, 0.02]))
        is_cancelled = future.cancel()
        with pytest.raises(CancelledError) if is_cancelled else contextlib.nullcontext():
            assert future.result(timeout=20) == 7

    def large_ones(self) -> None:
        size = self.random.choice([10_000, 60_000, 66_000, 300_000])
        assert self.farm.submit(len, bytes(size)).result(timeout=20) == size
        assert self.farm.submit(bytes, size).result(timeout=20) == bytes(size)

    def parts(self) -> None:
        future = self.farm.submit(tell, 5)
        assert list(future.parts()) == [5]
        assert future.result(timeout=20) == 35

    def a_pause(self) -> None:
        time.sleep(self.random.choice([0.005, 0.03, 0.6]))

    def a_killed_child(self) -> None:
        children = [child for slave in self.farm.slaves for child in children_of(slave.pid)]
        if children:
            killer = threading.Timer(
                self.random.uniform(0.0, 0.006), _kill, [self.random.choice(children)]
            )
            killer.start()
            self.one_by_one()
            killer.join()


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(("seed", "slaves"), [(1, 1), (2, 2)])
def test_everything_is_answered(own_machine: Path, seed: int, slaves: int) -> None:
    settings = FarmSettings(max_attempts=50, heartbeat_s=0.5)
    with Farm("mix", local_slaves=slaves, settings=settings) as farm:
        mix = Mix(farm, seed)
        acts: list[Callable[[], None]] = [
            *[mix.one_by_one] * 6,
            mix.many_at_once,
            mix.a_map,
            mix.a_stream,
            mix.a_longer_one,
            mix.a_cancelled_one,
            mix.large_ones,
            mix.parts,
            mix.a_pause,
            mix.a_killed_child,
        ]
        for _ in range(ACTS):
            mix.random.choice(acts)()
        counts = farm.statistics()
    assert counts.done + counts.cancelled == counts.submitted
    assert counts.given_up == counts.failed == counts.slaves_lost == 0
