"""A large array used by many tasks: its memory in all processes, and how fast the tasks go.

``python -m tests.benchmarks.share [--mib 512] [--tasks 1000] [--as-argument-mib 64]``

One slave of two slots, on this machine; each task sums another thousandth of the array. The memory
is that of the script, the agent and its children together, as PSS (a page that n processes have
mapped counts 1/n in each), sampled while the tasks run; what they had before the array was made,
interpreters and numpy, is told apart. Arguments of more than 128 MiB do not travel, so the rate
beside ``share`` is that of a smaller one.
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
from typing import Any

from tests.benchmarks.farm.proc import descendants

__all__ = ["measure", "measure_apart"]

MIB = 1 << 20


def sum_of_part(array: Any, number: int) -> float:
    step = -(-len(array) // 1000)
    number %= 1000
    return float(array[number * step : (number + 1) * step].sum())


def proportional_bytes() -> int:
    """Return the PSS of this process and of those that it has started, in bytes."""
    total = 0
    for pid in {os.getpid(), *descendants(os.getpid())}:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
        except OSError:  # it has ended meanwhile
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total * 1024


@contextlib.contextmanager
def _slave(label: str) -> Iterator[None]:
    command = [sys.executable, "-m", "masterslave", "slave", "--local", "--slots", "2", label]
    slave = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        slave.terminate()
        slave.wait()


def measure(how: str, mib: int, tasks: int) -> dict[str, float]:
    """Run *tasks* with an array of *mib*; *how* is "share", "empty" or "argument"."""
    import numpy as np

    from masterslave import Farm

    label = f"bench-{os.getpid()}"
    with _slave(label), Farm(label, local_slaves=0) as farm:
        for future in [farm.submit(sum_of_part, np.ones(1000), n) for n in range(200)]:
            future.result()
        before = proportional_bytes()
        shape = mib * MIB // 8
        array = farm.empty(shape) if how == "empty" else np.empty(shape)
        array[:] = 1.0
        start = time.perf_counter()
        given: Any = array if how == "argument" else farm.share(array)
        shared_s = time.perf_counter() - start
        peak, is_over = 0, threading.Event()

        def sample() -> None:
            nonlocal peak
            while not is_over.wait(0.05):
                peak = max(peak, proportional_bytes())

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
            peak = max(peak, proportional_bytes())
        own = 0 if how == "empty" else mib * MIB
        return {
            "mib": mib,
            "tasks": tasks,
            "share_s": shared_s,
            "tasks_per_s": tasks / seconds,
            "times_in_all": (peak - own) / (mib * MIB),
            "times_beyond_before": (peak - own - before) / (mib * MIB),
            "before_mib": before / MIB,
        }


def measure_apart(how: str, mib: int, tasks: int) -> dict[str, float]:
    """Do so in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.share", "--one", how]
    command += ["--mib", str(mib), "--tasks", str(tasks)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--as-argument-mib", type=int, default=64)
    parser.add_argument("--one", choices=("share", "empty", "argument"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.mib, options.tasks)))
        return
    for how in ("share", "empty"):
        found = measure_apart(how, options.mib, options.tasks)
        beyond = "beyond the script's array " if how == "share" else ""
        print(
            f"{how:8} {options.mib} MiB, {options.tasks} tasks on 2 slots: "
            f"{found['tasks_per_s']:,.0f} tasks/s, {found['share_s']:.2f} s to share; memory of "
            f"all processes {beyond}{found['times_in_all']:.2f} x the array, "
            f"{found['times_beyond_before']:.2f} x without the {found['before_mib']:.0f} MiB that "
            "they had before"
        )
    small = options.as_argument_mib
    shared = measure_apart("share", small, options.tasks)
    sent = measure_apart("argument", small, min(options.tasks, 40))
    print(
        f"argument {small} MiB: {sent['tasks_per_s']:,.1f} tasks/s, shared "
        f"{shared['tasks_per_s']:,.0f}: {shared['tasks_per_s'] / sent['tasks_per_s']:,.0f} times"
    )


if __name__ == "__main__":
    main()
