"""What one repetition of one workload is told, and what came out of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.farm.systems.pool import Pool

__all__ = ["Job", "Sample", "await_workers"]

_ALL_AT_WORK_S = 30.0


@dataclass(frozen=True, slots=True)
class Job:
    """What a process that measures is told.

    Attributes:
        count: How many tasks.
        ms: How long one of them takes.
        at_s: When something happens to the workers, after the first task is handed in.
        patience_s: How long it may take.
        began_s: When the process was started, on the machine's clock.
        folder: For files of its own.
        open: Starts the system's workers; they are ended after the answer.
    """

    count: int
    ms: float
    at_s: float
    patience_s: float
    began_s: float
    folder: Path
    open: Callable[[int], Pool]


@dataclass(frozen=True, slots=True)
class Sample:
    """One repetition.

    Attributes:
        value: In the measure's unit; None where there is none, and then *flaw* says why.
        facts: Further numbers, by their name in the table.
        flaw: Why it does not count, whatever the value.
    """

    value: float | None
    facts: dict[str, float] = field(default_factory=dict)
    flaw: str = ""


def await_workers(pool: Pool, workers: int) -> set[int]:
    """Keep them busy until so many processes have run a task; return their ids."""
    from tests.benchmarks.farm.tasks import nothing, say_who

    deadline = time.monotonic() + _ALL_AT_WORK_S
    seen: set[int] = set()
    while len(seen) < workers:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(seen)} of {workers} workers within {_ALL_AT_WORK_S:g} s")
        seen |= set(pool.results([pool.submit(say_who, 5.0) for _ in range(2 * workers)]))
    pool.results([pool.submit(nothing) for _ in range(10 * workers)])
    return seen
