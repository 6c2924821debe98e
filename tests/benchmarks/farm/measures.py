"""What is measured: one table of the page each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from tests.benchmarks.farm.systems import SYSTEMS, System

__all__ = ["MEASURES", "START", "Measure", "Scale", "told"]

_ALL = tuple(system.key for system in SYSTEMS)
_STANDARD = ("farm", "ppe", "pool", "loky")
_MAPS = (*_STANDARD, "mpi4py", "ray", "dask", "ipyparallel")
_GROWS = ("farm", "ray", "dask", "ipyparallel")
_NOT_DISPY = tuple(key for key in _ALL if key != "dispy")  # it has a process for each task
_OURS = ("farm",)


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
        words: What it is called, where ``{count}``, ``{ms}`` and ``{at_s}`` are its own.
        workload: Module, in ``workloads/``, and function.
        unit: Of the value.
        systems: Keys of those that are measured.
        is_rate: More is better.
        is_log: How its axis is drawn.
        count: Tasks.
        ms: Of one task.
        at_s: When something happens to the workers.
        least: Tasks that it makes no sense without, on any scale.
        seconds: For how long slow systems are given tasks; None gives them all of them.
        patience_s: How long one run of the workload may take.
    """

    key: str
    words: str
    workload: str
    unit: str
    systems: tuple[str, ...] = _ALL
    is_rate: bool = False
    is_log: bool = True
    count: int = 1
    ms: float = 0.0
    at_s: float = 0.0
    least: int = 1
    seconds: float | None = 2.0
    patience_s: float = 60.0

    @property
    def title(self) -> str:
        return self.words.format(count=f"{self.count:,}", ms=f"{self.ms:g}", at_s=self.at_s)


_rate = partial(Measure, is_rate=True)
_efficiency = partial(Measure, unit="ideal / actual time", is_rate=True, is_log=False)
_change = partial(Measure, is_log=False, ms=10.0, seconds=None)  # of the workers, while tasks run

START = Measure("start", "Start of the script to the first result", "start:first_result", "s")
MEASURES = (
    _rate(
        "submit",
        "{count} null tasks, each by submit",
        "rates:each_by_submit",
        "tasks/s",
        count=20_000,
    ),
    _rate(
        "map",
        "map of {count} null items; the farm chooses its chunks, the others take 64 items in one",
        "rates:mapped",
        "items/s",
        _MAPS,
        count=200_000,
        seconds=6.0,
    ),
    _efficiency(
        "efficiency-1ms", "{count} tasks of {ms} ms of CPU time", "rates:busy", count=2000, ms=1.0
    ),
    _efficiency(
        "efficiency-10ms", "{count} tasks of {ms} ms of CPU time", "rates:busy", count=1000, ms=10.0
    ),
    _rate(
        "arrays",
        "{count} tasks, each with an array of 1 MiB",
        "rates:arrays",
        "tasks/s",
        _NOT_DISPY,
        count=200,
    ),
    Measure(
        "memory",
        "The script's memory for a task, {count} null tasks in flight",
        "memory:in_flight",
        "KB a task",
        _MAPS,
        count=100_000,
        seconds=5.0,
        patience_s=120.0,
    ),
    Measure(
        "one",
        "One task at a time: submit(null).result()",
        "rates:one_at_a_time",
        "us a task",
        count=1000,
    ),
    _efficiency(
        "computing",
        "The script computes in Python while {count} tasks of {ms} ms run",
        "rates:computing",
        systems=(*_STANDARD, "ray", "dask"),
        count=400,
        ms=10.0,
    ),
    Measure(
        "stream",
        "Growth of the script's memory while {count} null items stream through",
        "memory:streamed",
        "MB",
        _STANDARD,
        count=1_000_000,
    ),
    START,
    _change(
        "child-killed",
        "One of 2 workers killed at {at_s} s of {count} tasks of {ms} ms",
        "losses:child_killed",
        "s more than undisturbed",
        _NOT_DISPY,
        count=400,
        at_s=0.7,
    ),
    _change(
        "agent-killed",
        "One of 2 agents killed at {at_s} s of {count} tasks of {ms} ms",
        "losses:agent_killed",
        "s more than undisturbed",
        _OURS,
        count=400,
        at_s=0.7,
    ),
    _change(
        "join",
        "A second worker asked for at {at_s} s of {count} tasks of {ms} ms",
        "joining:second_worker",
        "s in all",
        _GROWS,
        count=800,
        at_s=0.7,
    ),
    _change(
        "joined",
        "A slave that joins while tasks run: registration to its first task",
        "joining:registered_to_first_task",
        "s",
        _OURS,
        count=400,
        least=150,  # the slave joins before they are done
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
