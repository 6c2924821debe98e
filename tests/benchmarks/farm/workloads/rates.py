"""How many tasks get done in a time."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator

from tests.benchmarks.farm.sample import Job, Sample, await_workers
from tests.benchmarks.farm.systems.pool import Pool
from tests.benchmarks.farm.tasks import burn, first_of, nothing, rest

__all__ = ["arrays", "busy", "computing", "each_by_submit", "mapped", "one_at_a_time"]

WORKERS = 2
_MIB = 1024 * 1024
_SPIN = """
import time; from tests.benchmarks.farm.tasks import burn
input(); began = time.perf_counter(); burn(150); print(0.15 / (time.perf_counter() - began))
"""


def _ready(job: Job) -> Pool:
    pool = job.open(WORKERS)
    await_workers(pool, WORKERS)
    return pool


def each_by_submit(job: Job) -> Sample:
    pool = _ready(job)
    start = time.perf_counter()
    pool.results([pool.submit(nothing) for _ in range(job.count)])
    return Sample(job.count / (time.perf_counter() - start))


def mapped(job: Job) -> Sample:
    pool = _ready(job)
    deque(pool.map(nothing, range(100)), maxlen=0)
    start = time.perf_counter()
    answered = sum(1 for _ in pool.map(nothing, range(job.count)))
    value = job.count / (time.perf_counter() - start)
    return Sample(value, flaw="" if answered == job.count else f"{answered} of {job.count} answers")


def _cores() -> float:
    """Return how much of two cores two processes get that only compute, right now."""
    spinners = [
        subprocess.Popen(
            [sys.executable, "-c", _SPIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(WORKERS)
    ]
    for spinner in spinners:
        assert spinner.stdin
        spinner.stdin.write("\n")
        spinner.stdin.flush()
    return sum(float(spinner.communicate()[0]) for spinner in spinners) / WORKERS


def busy(job: Job) -> Sample:
    """Efficiency: tasks that burn CPU time of their thread, ideal time / actual time."""
    cores = _cores()
    pool = _ready(job)
    pool.results([pool.submit(burn, 1.0) for _ in range(10)])
    start = time.perf_counter()
    pool.results([pool.submit(burn, job.ms) for _ in range(job.count)])
    ideal = job.count * job.ms / 1e3 / WORKERS
    return Sample(ideal / (time.perf_counter() - start), {"of two cores then": cores})


def arrays(job: Job) -> Sample:
    import numpy as np

    made = [np.full(_MIB // 8, float(number)) for number in range(job.count)]
    pool = _ready(job)
    pool.results([pool.submit(first_of, array) for array in made[:4]])
    start = time.perf_counter()
    answers = pool.results([pool.submit(first_of, array) for array in made])
    value = job.count / (time.perf_counter() - start)
    right = answers == [float(number) for number in range(job.count)]
    return Sample(value, flaw="" if right else "wrong answers")


def one_at_a_time(job: Job) -> Sample:
    pool = _ready(job)
    start = time.perf_counter()
    for _ in range(job.count):
        pool.result(pool.submit(nothing))
    return Sample((time.perf_counter() - start) / job.count * 1e6)


def computing(job: Job) -> Sample:
    """Efficiency while the main thread computes in Python, which holds the interpreter's lock.

    The tasks sleep: three processes that compute cannot all have a core of two.
    """
    pool = _ready(job)
    pool.results([pool.submit(rest, 1.0) for _ in range(10)])
    start = time.perf_counter()
    handles = iter([pool.submit(rest, job.ms) for _ in range(job.count)])
    for _ in _slices_until(pool, handles):
        sum(number * number for number in range(10_000))
    ideal = job.count * job.ms / 1e3 / WORKERS
    return Sample(ideal / (time.perf_counter() - start))


def _slices_until(pool: Pool, handles: Iterator[object]) -> Iterator[None]:
    for handle in handles:
        while not pool.is_done(handle):
            yield
