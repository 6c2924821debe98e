"""Everything at once: threads that submit and cancel, slaves that are killed and join."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from concurrent.futures import Future, wait
from typing import Any

from masterslave import Farm, FarmSettings
from tests.conftest import eventually
from tests.masterslave.conftest import StartSlave

THREADS = 16
SECONDS = 4.0


def work(number: int, loops: int) -> int:
    sum(range(loops))
    return number * number


class Submitter(threading.Thread):
    """Submits waves of tasks and cancels some, as its own seed says, until the time is up."""

    def __init__(self, farm: Farm, seed: int) -> None:
        super().__init__()
        self._farm = farm
        self._random = random.Random(seed)
        self.futures: list[tuple[int, Future[int]]] = []
        self.cancelled: set[Future[int]] = set()
        self.settled: list[Future[Any]] = []

    def run(self) -> None:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            wave = [self._submit() for _ in range(self._random.randrange(1, 40))]
            for future in self._random.sample(wave, self._random.randrange(len(wave))):
                if self._random.random() < 0.4 and future.cancel():
                    self.cancelled.add(future)
            wait(wave[: len(wave) // 2], timeout=30)

    def _submit(self) -> Future[int]:
        number = self._random.randrange(10**6)
        future = self._farm.submit(work, number, self._random.choice([10, 1000, 200_000]))
        future.add_done_callback(self.settled.append)
        self.futures.append((number, future))
        return future


def test_sixteen_threads_while_slaves_are_killed_and_join(start_slave: StartSlave) -> None:
    # Chance may kill every slave that a task is handed to, so that three would be too few.
    settings = FarmSettings(max_attempts=50, heartbeat_s=0.2)
    chance = random.Random(4711)
    external: list[subprocess.Popen[str]] = []
    with Farm("weather", local_slaves=2, settings=settings) as farm:
        external.append(start_slave("weather", "--slots", "2"))
        submitters = [Submitter(farm, seed) for seed in range(THREADS)]
        for submitter in submitters:
            submitter.start()
        kills = 0
        while any(submitter.is_alive() for submitter in submitters):
            done = farm.statistics().done
            at = done + chance.randrange(100, 400)
            eventually(
                lambda at=at: (
                    farm.statistics().done >= at
                    or not any(submitter.is_alive() for submitter in submitters)
                ),
                "work goes on",
            )
            victim = chance.choice(farm.slaves or [None])
            if victim is None:
                continue
            os.kill(victim.pid, chance.choice([signal.SIGKILL, signal.SIGTERM]))
            kills += 1
            if victim.pid == external[-1].pid:
                external.append(start_slave("weather", "--slots", "2"))
            else:
                farm.add_local_slaves(1)
        for submitter in submitters:
            submitter.join()
            for number, future in submitter.futures:
                if future in submitter.cancelled:
                    assert future.cancelled()
                else:
                    assert future.result(timeout=30) == number * number
        eventually(lambda: all(s.held == 0 for s in farm.slaves), "no slave holds anything")
        counts = farm.statistics()
    assert kills >= 3
    submitted = [future for submitter in submitters for _, future in submitter.futures]
    cancelled = set[Future[int]]().union(*(submitter.cancelled for submitter in submitters))
    settled = [future for submitter in submitters for future in submitter.settled]
    assert len(settled) == len(set(settled)) == len(submitted) == counts.submitted
    assert counts.waiting == counts.given_up == counts.failed == 0
    # A task may be answered in the moment in which its future is cancelled.
    assert 0 <= counts.done - (len(submitted) - len(cancelled)) <= len(cancelled)
    assert counts.done + counts.cancelled == counts.submitted
