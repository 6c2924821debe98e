"""The systems that are measured. A system's module is imported in the processes that use it."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
from dataclasses import dataclass

from tests.benchmarks.farm.systems.pool import Pool

__all__ = ["BY_KEY", "SYSTEMS", "Pool", "System", "missing", "pool_of"]


@dataclass(frozen=True, slots=True)
class System:
    """One way to run tasks in other processes.

    Attributes:
        key: Its name on the command line.
        where: Module, below this one, and class of its pool.
        distribution: Whose version is named; "" is Python's own.
        modules: What must be importable.
        pace_per_s: About how many null tasks it does in a second, where that is little: it is given
            as many as it does in the seconds of a measure. None is given all of them.
        command: What its script is started with, in place of ``python -m``.
    """

    key: str
    title: str
    where: str
    distribution: str = ""
    modules: tuple[str, ...] = ()
    pace_per_s: float | None = None
    command: tuple[str, ...] = ()


_MPIRUN = ("mpirun", "-n", "3", "--oversubscribe", "--bind-to", "none")
SYSTEMS = (
    System("farm", "Farm", "ours:OurFarm", "remoteobj-farm"),
    System("ppe", "ProcessPoolExecutor", "executors:StandardExecutor"),
    System("pool", "multiprocessing.Pool", "executors:StandardPool"),
    System("loky", "loky", "executors:LokyExecutor", "loky", ("loky",)),
    System(
        "mpi4py",
        "mpi4py.futures",
        "executors:MpiExecutor",
        "mpi4py",
        ("mpi4py",),
        pace_per_s=4500,
        command=(*_MPIRUN, "{python}", "-m", "mpi4py.futures"),
    ),
    System("ray", "Ray", "on_ray:RayPool", "ray", ("ray",), pace_per_s=1800),
    System("dask", "dask.distributed", "on_dask:DaskPool", "distributed", ("distributed",), 500),
    System("wool", "wool", "on_wool:WoolPool", "wool", ("wool",), pace_per_s=370),
    System(
        "ipyparallel",
        "ipyparallel",
        "on_ipyparallel:EnginesPool",
        "ipyparallel",
        ("ipyparallel",),
        pace_per_s=380,
    ),
    System("dispy", "dispy", "on_dispy:DispyPool", "dispy", ("dispy",), pace_per_s=100),
)
BY_KEY = {system.key: system for system in SYSTEMS}


def missing(system: System) -> str:
    """Return in words what has to be installed to run it; empty if nothing."""
    modules = [name for name in system.modules if importlib.util.find_spec(name) is None]
    programs = [name for name in system.command[:1] if shutil.which(name) is None]
    return f"not installed: {', '.join(modules + programs)}" if modules or programs else ""


def pool_of(system: System) -> type[Pool]:
    """Import the class that starts its workers."""
    module, _, name = system.where.partition(":")
    found = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    assert issubclass(found, Pool)
    return found
