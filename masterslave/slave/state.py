"""What a slave says of itself: to the farms that ask, and to its own user."""

from __future__ import annotations

import os
import platform
import time
from functools import cache

from msgspec import structs

from masterslave.errands import Report, Running
from masterslave.slave.children import Child
from masterslave.slave.work import FarmWork
from masterslave.slave.workshop import Workshop

__all__ = ["count_busy", "count_running", "memory_of", "report_of"]


def report_of(workshop: Workshop, work: FarmWork | None, state: str) -> Report:
    """Return how the slave is now.

    Args:
        work: For whose farm: tasks of others are told without their numbers. None: for the slave's
            own user.
        state: Why it takes nothing now, or empty.
    """
    now = time.monotonic()
    with workshop.lock:
        labels = workshop.labels
        children = [child.pid for child in workshop.all_children]
        runs = [_running_in(workshop, labels, child, work, now) for child in workshop.all_children]
    return Report(
        state=state,
        uptime_s=now - workshop.opened_at,
        slots=workshop.slots,
        python=platform.python_version(),
        release=_release(),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else -1.0,
        memory_bytes=sum(map(memory_of, [os.getpid(), *children])),
        farms=tuple(labels.values()),
        runs=tuple(structs.replace(one, memory_bytes=memory_of(one.pid)) for one in runs if one),
    )


def count_busy(workshop: Workshop) -> int:
    """Count the slots that have something to do."""
    with workshop.lock:
        lanes = workshop.lanes
        return sum(bool(child.load.jobs) or child in lanes for child in workshop.all_children)


def count_running(workshop: Workshop, work: FarmWork) -> int:
    """Count the tasks that run for a farm."""
    with workshop.lock:
        labels = workshop.labels
        running = [_running_in(workshop, labels, one, work, 0.0) for one in workshop.all_children]
    return sum(one is not None and one.task >= 0 for one in running)


def memory_of(pid: int) -> int:
    """Return what a process holds in memory, in bytes; 0 where the system does not say (Linux)."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _running_in(
    workshop: Workshop,
    labels: dict[FarmWork, str],
    child: Child,
    work: FarmWork | None,
    now: float,
) -> Running | None:
    """Return what a child runs, if it does; the workshop's lock is held."""
    lane = workshop.lanes.work_of(child)
    if lane is not None:
        mark = child.lane_mark
        if mark.runs < 0:
            return None
        return Running(child.pid, labels.get(lane, ""), mark.task if lane is work else -1, 0.0, 0)
    jobs = child.load.jobs
    if not jobs:
        return None
    number, item = child.runs_now()
    if number not in jobs:  # it has just been given them
        number, item = next(iter(jobs)), 0
    job = jobs[number]
    task = job.task.task + max(0, item) if job.work is work else -1
    since_s = max(0.0, now - child.heard_at)
    return Running(child.pid, labels.get(job.work, ""), task, since_s, len(jobs) - 1)


@cache
def _release() -> str:
    from importlib import metadata  # with email and zipfile: 1.4 MiB in each agent

    try:
        return metadata.version("remoteobj-farm")
    except metadata.PackageNotFoundError:  # run from a folder
        return ""
