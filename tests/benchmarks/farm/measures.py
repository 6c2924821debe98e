"""What is measured: one table of the page each."""

from __future__ import annotations

from dataclasses import dataclass

from tests.benchmarks.farm.systems import SYSTEMS, System

__all__ = ["MEASURES", "START", "Measure", "Scale", "told"]

_ALL = tuple(system.key for system in SYSTEMS)
_STANDARD = ("farm", "ppe", "pool", "loky")
_MAPS = (*_STANDARD, "mpi4py", "ray", "dask", "ipyparallel")
_GROWS = ("farm", "ray", "dask", "ipyparallel")


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is done: a full run, a quick one, or a test's.

    Attributes:
        repeat: Repetitions.
        share: Of the tasks, and of the time until something happens to the workers.
    """

    repeat: int = 5
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Measure:
    """One table.

    Attributes:
        key: Its name on the command line.
        workload: Module, in ``workloads/``, and function.
        unit: Of the value.
        is_rate: More is better.
        count: Tasks.
        ms: Of one task.
        at_s: When something happens to the workers.
        least: Tasks that it makes no sense without, on any scale.
        seconds: For how long slow systems are given tasks; None gives them all of them.
        patience_s: How long one run of the workload may take.
        is_log: How its axis is drawn.
    """

    key: str
    title: str
    workload: str
    systems: tuple[str, ...]
    unit: str
    is_rate: bool
    count: int = 1
    ms: float = 0.0
    at_s: float = 0.0
    least: int = 1
    seconds: float | None = 2.0
    patience_s: float = 60.0
    is_log: bool = True


START = Measure(
    "start",
    "Start of the script to the first result",
    "start:first_result",
    _ALL,
    "s",
    is_rate=False,
)
MEASURES = (
    Measure(
        "submit",
        "20,000 null tasks, each by submit",
        "rates:each_by_submit",
        _ALL,
        "tasks/s",
        is_rate=True,
        count=20_000,
    ),
    Measure(
        "map",
        "map of 200,000 null items; the farm chooses its chunks, the others take 64 items in one",
        "rates:mapped",
        _MAPS,
        "items/s",
        is_rate=True,
        count=200_000,
        seconds=6.0,
    ),
    Measure(
        "efficiency-1ms",
        "2,000 tasks of 1 ms of CPU time",
        "rates:busy",
        _ALL,
        "ideal / actual time",
        is_rate=True,
        count=2000,
        ms=1.0,
        is_log=False,
    ),
    Measure(
        "efficiency-10ms",
        "1,000 tasks of 10 ms of CPU time",
        "rates:busy",
        _ALL,
        "ideal / actual time",
        is_rate=True,
        count=1000,
        ms=10.0,
        is_log=False,
    ),
    Measure(
        "arrays",
        "200 tasks, each with an array of 1 MiB",
        "rates:arrays",
        tuple(key for key in _ALL if key != "dispy"),
        "tasks/s",
        is_rate=True,
        count=200,
    ),
    Measure(
        "memory",
        "The script's memory for a task, 100,000 null tasks in flight",
        "memory:in_flight",
        _MAPS,
        "KB a task",
        is_rate=False,
        count=100_000,
        seconds=5.0,
        patience_s=120.0,
    ),
    Measure(
        "one",
        "One task at a time: submit(null).result()",
        "rates:one_at_a_time",
        _ALL,
        "us a task",
        is_rate=False,
        count=1000,
    ),
    Measure(
        "computing",
        "The script computes in Python while 400 tasks of 10 ms run",
        "rates:computing",
        (*_STANDARD, "ray", "dask"),
        "ideal / actual time",
        is_rate=True,
        count=400,
        ms=10.0,
        is_log=False,
    ),
    Measure(
        "stream",
        "Growth of the script's memory while 1,000,000 null items stream through",
        "memory:streamed",
        _STANDARD,
        "MB",
        is_rate=False,
        count=1_000_000,
        patience_s=60.0,
    ),
    START,
    Measure(
        "child-killed",
        "One of 2 workers killed at 0.7 s of 400 tasks of 10 ms",
        "losses:child_killed",
        tuple(key for key in _ALL if key != "dispy"),  # it has a process for each task
        "s more than undisturbed",
        is_rate=False,
        count=400,
        ms=10.0,
        at_s=0.7,
        seconds=None,
        is_log=False,
    ),
    Measure(
        "agent-killed",
        "One of 2 agents killed at 0.7 s of 400 tasks of 10 ms",
        "losses:agent_killed",
        ("farm",),
        "s more than undisturbed",
        is_rate=False,
        count=400,
        ms=10.0,
        at_s=0.7,
        seconds=None,
        is_log=False,
    ),
    Measure(
        "join",
        "A second worker asked for at 0.7 s of 800 tasks of 10 ms",
        "joining:second_worker",
        _GROWS,
        "s in all",
        is_rate=False,
        count=800,
        ms=10.0,
        at_s=0.7,
        seconds=None,
        is_log=False,
    ),
    Measure(
        "joined",
        "A slave that joins while tasks run: registration to its first task",
        "joining:registered_to_first_task",
        ("farm",),
        "s",
        is_rate=False,
        count=400,
        ms=10.0,
        least=150,  # the slave joins before they are done
        seconds=None,
        is_log=False,
    ),
)


def told(what: Measure, system: System, scale: Scale) -> dict[str, object]:
    """Return what a job of this system is told: less to do, where it would take too long."""
    count = float(what.count)
    if what.seconds is not None and system.pace_per_s is not None:
        count = min(count, what.seconds * min(system.pace_per_s, 2e3 / what.ms if what.ms else 1e9))
    return {
        "workload": what.workload,
        "count": max(what.least, round(count * scale.share)),
        "ms": what.ms,
        "at_s": what.at_s * scale.share,
        "patience_s": what.patience_s,
    }
