"""A worker, or its agent, is killed while tasks run."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.benchmarks.farm.proc import descendants, is_alive
from tests.benchmarks.farm.sample import Job, Sample, await_workers
from tests.benchmarks.farm.systems.pool import Pool
from tests.benchmarks.farm.tasks import burn

__all__ = ["agent_killed", "child_killed"]

WORKERS = 2
_GONE_S = 5.0


@dataclass(frozen=True, slots=True)
class _Run:
    seconds: float
    lost: int
    why: str

    def flaw(self, count: int) -> str:
        return f"{self.lost} of {count} tasks lost: {self.why}" if self.lost else ""


def _run(pool: Pool, job: Job, strike: Callable[[], None] | None, patience_s: float) -> _Run:
    """Run the tasks, and do something to the workers meanwhile; see which are answered."""
    start = time.perf_counter()
    timer = threading.Timer(job.at_s, strike or (lambda: None))
    timer.start()
    faults: Counter[str] = Counter()
    handles: list[object] = []
    try:
        handles += [pool.submit(burn, job.ms, number) for number in range(job.count)]
        for number, handle in enumerate(handles):
            left = patience_s - (time.perf_counter() - start)
            try:
                wrong = pool.result(handle, max(0.001, left)) != number
            except TimeoutError:
                faults[f"no answer within {patience_s:.0f} s"] += 1
            except Exception as fault:
                faults[type(fault).__name__] += 1
            else:
                faults.update(["wrong answer"] * wrong)
    except Exception as fault:  # it takes no more
        faults[type(fault).__name__] += job.count - len(handles)
    seconds = time.perf_counter() - start
    timer.join()
    return _Run(seconds, faults.total(), ", ".join(faults))


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _compare(pool: Pool, job: Job, victim: int) -> Sample:
    calm = _run(pool, job, None, job.patience_s)
    if calm.lost:
        return Sample(None, flaw=f"undisturbed, {calm.flaw(job.count)}")
    struck = _run(pool, job, lambda: _kill(victim), 3 * calm.seconds + 5.0)
    facts = {"s undisturbed": calm.seconds}
    if struck.lost:
        return Sample(None, facts, struck.flaw(job.count))
    return Sample(struck.seconds - calm.seconds, {**facts, "lost": 0.0})


def child_killed(job: Job) -> Sample:
    """Seconds beyond undisturbed, when a process that runs tasks is killed by SIGKILL."""
    pool = job.open(WORKERS)
    workers = await_workers(pool, WORKERS)
    try:
        agents = pool.agents()
    except NotImplementedError:
        agents = ()
    if agents:  # it is a child that is killed, never an agent
        workers &= set().union(*(descendants(agent) for agent in agents))
    return _compare(pool, job, min(workers))


def agent_killed(job: Job) -> Sample:
    """Seconds beyond undisturbed, when the agent of a slave is killed; its children have to go."""
    pool = job.open(WORKERS)
    await_workers(pool, WORKERS)
    agent = min(pool.agents())
    children = descendants(agent)
    sample = _compare(pool, job, agent)
    deadline = time.monotonic() + _GONE_S
    while (left := [pid for pid in children if is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    if not children:
        left = [agent]  # it had none: whatever ran the tasks was not looked at
    stay = f"{len(left)} of {len(children)} children live on" if left else ""
    flaw = "; ".join(part for part in (sample.flaw, stay) if part)
    facts = {**sample.facts, "children left": float(len(left)), "agents then": len(pool.agents())}
    return Sample(sample.value, facts, flaw)
