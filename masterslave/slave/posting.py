"""From jobs to frames: what a child is sent for them, and what it has to know before."""

from __future__ import annotations

from typing import Any

from masterslave.protocol.joining import Welcome
from masterslave.slave.child.frames import LARGE_BYTES, Call, Define, Forget, Prepare, Run
from masterslave.slave.children import Child
from masterslave.slave.offer import NamedTasks
from masterslave.slave.work import Job

__all__ = ["post_farm", "post_jobs", "says_the_same"]


_KNOWN_OF_A_FARM = (
    "search_path",
    "initializer",
    "data_only",
    "no_code",
    "log_levels",
    "handlers",
)


def post_farm(child: Child, number: int, said: Welcome, named: NamedTasks) -> None:
    """Post what a child has to know of a farm before its first task."""
    farm = Prepare(
        number,
        said.search_path,
        said.initializer,
        said.data_only,
        said.no_code,
        named.by_name,
        named.folder,
        said.log_levels,
        said.handlers.tasks,
        said.handlers.classes,
    )
    child.post([farm])


def says_the_same(one: Welcome, other: Welcome) -> bool:
    """Tell whether children that know of the one need not hear of the other."""
    return all(getattr(one, name) == getattr(other, name) for name in _KNOWN_OF_A_FARM)


def post_jobs(child: Child, farm: int, first: int, jobs: list[Job]) -> None:
    """Post calls of one farm, numbered from *first* on, with the functions that the child lacks."""
    load, start = child.load, 0
    for index, job in enumerate(jobs):
        function = job.task.function
        if function == load.last_function:
            continue
        load.last_function = function
        is_known = function in load.known
        forgotten = load.known.use(function, len(job.pickled))
        if is_known and not forgotten:
            continue
        if start < index:
            _post_calls(child, farm, first + start, jobs[start:index])
            start = index
        if not is_known:
            child.post([Define(function, job.pickled)])
        if forgotten:
            child.post([Forget(forgotten)])
    _post_calls(child, farm, first + start, jobs[start:] if start else jobs)


def _post_calls(child: Child, farm: int, first: int, jobs: list[Job]) -> None:
    calls: list[Any] = [job.task for job in jobs]  # which are written as a Call is
    last = calls[-1]
    tail = b""
    if len(last.arguments) >= LARGE_BYTES:
        tail = last.arguments
        calls[-1] = Call(last.task, last.attempt, last.count, last.form, last.function, b"")
    child.post([Run(first, farm, calls)], tail)
