"""A second worker joins while tasks run."""

from __future__ import annotations

import time

from tests.benchmarks.farm.sample import Job, Sample, await_workers
from tests.benchmarks.farm.tasks import burn, trace

__all__ = ["registered_to_first_task", "second_worker"]

_TICK_S = 0.001
_REGISTERED_S = 15.0


def second_worker(job: Job) -> Sample:
    """Seconds for all tasks, where a second worker is asked for while they run."""
    pool = job.open(1)
    await_workers(pool, 1)
    start = time.perf_counter()
    handles = [pool.submit(burn, job.ms) for _ in range(job.count)]
    time.sleep(max(0.0, start + job.at_s - time.perf_counter()))
    asked_s = time.perf_counter() - start
    pool.add_worker()
    pool.results(handles)
    facts = {"s ideal": (job.count * job.ms / 1e3 + asked_s) / 2, "s when asked": asked_s}
    return Sample(time.perf_counter() - start, facts)


def registered_to_first_task(job: Job) -> Sample:
    """Seconds from the moment when a new slave is listed to the start of its first task."""
    pool = job.open(1)
    pool.agents()
    await_workers(pool, 1)
    before = set(pool.agents())
    handles = [pool.submit(trace, job.ms) for _ in range(job.count)]
    pool.add_worker()
    asked = time.monotonic()
    while not (fresh := set(pool.agents()) - before):
        if time.monotonic() > asked + _REGISTERED_S:
            return Sample(None, flaw=f"no new slave within {_REGISTERED_S:g} s")
        time.sleep(_TICK_S)
    listed = time.monotonic()
    runs = pool.results(handles)
    starts = [began for began, pids in runs if fresh & set(pids)]
    facts = {"s to register": listed - asked}
    if not starts:
        return Sample(None, facts, "the new slave ran no task")
    return Sample(max(0.0, min(starts) - listed), facts)
