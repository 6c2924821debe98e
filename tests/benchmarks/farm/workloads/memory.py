"""What the script's process holds; the workers' memory is not counted."""

from __future__ import annotations

import gc
import time

from tests.benchmarks.farm.proc import peak_bytes, reset_peak, resident_bytes
from tests.benchmarks.farm.sample import Job, Sample, await_workers
from tests.benchmarks.farm.tasks import nothing, wait_for

__all__ = ["in_flight", "streamed"]

WORKERS = 2
_HELD_S = 5.0


def in_flight(job: Job) -> Sample:
    """Bytes for one null task, at the peak, where both workers are held until all are handed in."""
    pool = job.open(WORKERS)
    await_workers(pool, WORKERS)
    opened = job.folder / "opened"
    started = [job.folder / f"started-{number}" for number in range(WORKERS)]
    held = [pool.submit(wait_for, str(path), str(opened)) for path in started]
    deadline = time.monotonic() + _HELD_S
    while not all(path.exists() for path in started) and time.monotonic() < deadline:
        time.sleep(0.01)
    keeps = sum(path.exists() for path in started)
    gc.collect()
    reset_peak()
    before = resident_bytes()
    start = time.perf_counter()
    handles = [pool.submit(nothing) for _ in range(job.count)]
    submitted = resident_bytes()
    opened.touch()
    pool.results(handles)
    took_s = time.perf_counter() - start
    pool.results(held)
    facts = {
        "KB when all are handed in": (submitted - before) / job.count / 1e3,
        "s": took_s,
        "MB before": before / 1e6,
    }
    flaw = "" if keeps == WORKERS else f"{keeps} of {WORKERS} workers could be held"
    return Sample((peak_bytes() - before) / job.count / 1e3, facts, flaw)


def streamed(job: Job) -> Sample:
    """Growth in MB while many null items stream through."""
    pool = job.open(WORKERS)
    await_workers(pool, WORKERS)
    for _ in pool.stream(nothing, range(2000)):
        pass
    gc.collect()
    reset_peak()
    before = resident_bytes()
    start = time.perf_counter()
    taken, flaw = 0, ""
    for _ in pool.stream(nothing, range(job.count)):
        taken += 1
        if taken % 1000 == 0 and time.perf_counter() - start > job.patience_s:
            flaw = f"{taken:,} of {job.count:,} items within {job.patience_s:g} s"
            break
    rate = taken / (time.perf_counter() - start)
    return Sample((peak_bytes() - before) / 1e6, {"items/s": rate}, flaw)
