"""A large array used by many tasks: its memory in all processes, and how fast the tasks go.

``python -m tests.benchmarks.share [--mib 512] [--tasks 1000] [--as-argument-mib 64] [--local]``

One slave of two slots, on this machine, or two of the farm's own with ``--local``; each task sums
another thousandth of the array. The memory is that of the script, agents and children together, as
PSS (a page that n processes have mapped counts 1/n in each), sampled while the tasks run; what they
had before the array was made, interpreters and numpy, is told apart, and what of it is which
process's. Beside that stands a ``ProcessPoolExecutor`` of two new processes that import numpy, and
do nothing else. Arguments of more than 128 MiB do not travel, so the rate beside ``share`` is that
of a smaller one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.farm.proc import descendants

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

__all__ = ["measure", "measure_apart"]

MIB = 1 << 20


def sum_of_part(array: Any, number: int) -> float:
    step = -(-len(array) // 1000)
    number %= 1000
    return float(array[number * step : (number + 1) * step].sum())


def proportional_bytes() -> int:
    """Return the PSS of this process and of those that it has started, in bytes."""
    return sum(_by_process().values())


def _by_process() -> dict[int, int]:
    """Return the PSS of each, in bytes."""
    return {pid: sizes["Pss"] for pid, sizes in _sizes_by_process().items()}


def _sizes_by_process() -> dict[int, dict[str, int]]:
    """Return what ``smaps_rollup`` says of each, in bytes."""
    found = {}
    for pid in {os.getpid(), *descendants(os.getpid())}:
        with contextlib.suppress(OSError):  # it has ended meanwhile
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
            sizes = (line.split()[:2] for line in lines)
            found[pid] = {name[:-1]: int(size) * 1024 for name, size in sizes}
    return found


class Peak:
    """The most memory that was seen, in bytes.

    The processes are read one after the other. A page of shared memory that another one maps
    meanwhile is counted whole in the first and half in the second, as if there were more of it: so
    what is in memory files counts where two readings agree, and all else always.
    """

    def __init__(self) -> None:
        self._in_files = self._beside = 0

    @property
    def bytes(self) -> int:
        """Both together."""
        return self._in_files + self._beside

    def look(self) -> None:
        """Read all processes, twice."""
        first, second = _sizes_by_process(), _sizes_by_process()
        for sizes in (first, second):
            beside = sum(each["Pss"] - each["Pss_Shmem"] for each in sizes.values())
            self._beside = max(self._beside, beside)
        in_files = [
            {pid: one["Pss_Shmem"] for pid, one in each.items()} for each in (first, second)
        ]
        if in_files[0] == in_files[1]:
            self._in_files = max(self._in_files, sum(in_files[0].values()))


def _by_role() -> dict[str, float]:
    """Return the PSS of the script, of agents, and of children, each together, in MiB."""
    found = {"script": 0.0, "agents": 0.0, "children": 0.0}
    for pid, size in _by_process().items():
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        role = "children" if b"/child/__main__.py" in command else "agents"
        found["script" if pid == os.getpid() else role] += size / MIB
    return found


def _memory_file_bytes() -> int:
    """Return the PSS of memory files in all these processes, in bytes: that of what is shared."""
    total = 0
    for pid in _by_process():
        is_one = False
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8").splitlines():
                if not line[:1].isupper():  # a mapping, and what it is of
                    is_one = "/memfd:shared" in line
                elif is_one and line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def _import_numpy(both: Barrier | None) -> None:
    """Import it in each process of two; neither goes on before the other one has."""
    import numpy as np

    np.zeros(1)
    if both is not None:
        both.wait()


def measure_pool() -> float:
    """Return the PSS of a pool of two processes, and of this one, in MiB: each has numpy only."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    _import_numpy(None)
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        2, spawning, initializer=_import_numpy, initargs=(spawning.Barrier(2),)
    ) as pool:
        list(pool.map(abs, range(4)))
        return proportional_bytes() / MIB


@contextlib.contextmanager
def _slave(label: str) -> Iterator[None]:
    command = [sys.executable, "-m", "masterslave", "slave", "--local", "--slots", "2", label]
    slave = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        slave.terminate()
        slave.wait()


def measure(how: str, mib: int, tasks: int, *, local: bool = False) -> dict[str, float]:
    """Run *tasks* with an array of *mib*; *how* is "share", "empty" or "argument".

    Args:
        local: On two slaves of the farm's own, of one slot each, and not on one of two.
    """
    import numpy as np

    from masterslave import Farm

    label = f"bench-{os.getpid()}"
    slave = contextlib.nullcontext() if local else _slave(label)
    with slave, Farm(label, local_slaves=2 if local else 0) as farm:
        for _ in range(50):  # not at once: arguments that wait are memory, too
            for future in [farm.submit(sum_of_part, np.ones(1000), n) for n in range(4)]:
                future.result()
        before, roles = proportional_bytes(), _by_role()
        shape = mib * MIB // 8
        array = farm.empty(shape) if how == "empty" else np.empty(shape)
        array[:] = 1.0
        start = time.perf_counter()
        given: Any = array if how == "argument" else farm.share(array)
        shared_s = time.perf_counter() - start
        peak, is_over = Peak(), threading.Event()

        def sample() -> None:
            while not is_over.wait(0.05):
                peak.look()

        sampler = threading.Thread(target=sample)
        if how != "argument":
            sampler.start()
        start = time.perf_counter()
        total = 0.0
        window = 4 if how == "argument" else tasks  # else they all wait in this process's memory
        for first in range(0, tasks, window):
            futures = [farm.submit(sum_of_part, given, n) for n in range(first, first + window)]
            total += sum(future.result() for future in futures)
        seconds = time.perf_counter() - start
        assert tasks % 1000 or total == shape * (tasks // 1000)
        is_over.set()
        if how != "argument":
            sampler.join()
            peak.look()
        in_files = _memory_file_bytes()
        own = 0 if how == "empty" else mib * MIB
        return {
            "mib": mib,
            "tasks": tasks,
            "share_s": shared_s,
            "tasks_per_s": tasks / seconds,
            "times_in_all": (peak.bytes - own) / (mib * MIB),
            "times_beyond_before": (peak.bytes - own - before) / (mib * MIB),
            "before_mib": before / MIB,
            "times_in_memory_files": in_files / (mib * MIB),
            **roles,
        }


def measure_apart(how: str, mib: int, tasks: int, *, local: bool = False) -> dict[str, float]:
    """Do so in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.share", "--one", how]
    command += ["--mib", str(mib), "--tasks", str(tasks)] + ["--local"] * local
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--as-argument-mib", type=int, default=64)
    parser.add_argument("--local", action="store_true", help="two slaves of the farm's own")
    ones = ("share", "empty", "argument", "pool")
    parser.add_argument("--one", choices=ones, help=argparse.SUPPRESS)
    options = parser.parse_args()
    local = options.local
    if options.one == "pool":
        print(json.dumps({"pool": measure_pool()}))
        return
    if options.one:
        print(json.dumps(measure(options.one, options.mib, options.tasks, local=local)))
        return
    for how in ("share", "empty"):
        found = measure_apart(how, options.mib, options.tasks, local=local)
        beyond = "beyond the script's array " if how == "share" else ""
        print(
            f"{how:8} {options.mib} MiB, {options.tasks} tasks on 2 slots: "
            f"{found['tasks_per_s']:,.0f} tasks/s, {found['share_s']:.2f} s to share; memory of "
            f"all processes {beyond}{found['times_in_all']:.2f} x the array, "
            f"{found['times_beyond_before']:.2f} x without the {found['before_mib']:.0f} MiB that "
            f"they had before ({found['script']:.0f} script, {found['agents']:.0f} agents, "
            f"{found['children']:.0f} children); {found['times_in_memory_files']:.2f} x in memory "
            "files"
        )
    pool = measure_apart("pool", 0, 0)["pool"]
    print(f"pool     {pool:.0f} MiB, {pool / options.mib:.2f} x the array: two processes, and this")
    small = options.as_argument_mib
    shared = measure_apart("share", small, options.tasks, local=local)
    sent = measure_apart("argument", small, min(options.tasks, 40), local=local)
    print(
        f"argument {small} MiB: {sent['tasks_per_s']:,.1f} tasks/s, shared "
        f"{shared['tasks_per_s']:,.0f}: {shared['tasks_per_s'] / sent['tasks_per_s']:,.0f} times"
    )


if __name__ == "__main__":
    main()
