"""dispy, with a node of one CPU on each of two loopback addresses.

It starts a process for each job, and loses sight of jobs that end before it has noted their
process; so jobs last 5 ms longer here, and one that it gives up for that reason is sent again.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dispy

from tests.benchmarks.farm.systems.pool import Pool

__all__ = ["DispyPool"]

_SENT_AGAIN = 20
_LISTENS_S = 15.0


def call(name, *args):
    """Run a task. Its text alone is sent, so it names nothing from outside, not even types."""
    import time

    from tests.benchmarks.farm import tasks

    result = getattr(tasks, name)(*args)
    time.sleep(0.005)
    return result


def _await_port(address: str, port: int) -> None:
    deadline = time.monotonic() + _LISTENS_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex((address, port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(f"a dispynode does not listen within {_LISTENS_S:g} s")


class DispyPool(Pool):
    def __init__(self, workers: int) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="dispy-"))
        program = shutil.which("dispynode.py", path=str(Path(sys.executable).parent))
        if program is None:
            raise NotImplementedError("dispynode.py is not beside this python")
        addresses = [f"127.0.0.{number + 1}" for number in range(workers)]
        self._nodes = [
            subprocess.Popen(
                [
                    *(sys.executable, program, "--cpus", "1", "-i", address),
                    *("--daemon", "--clean", "--dest_path_prefix", str(self._folder / address)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for address in addresses
        ]
        for address in addresses:  # a cluster that asks before they listen waits for ever
            _await_port(address, dispy.config.DispyPort + 1)
        self._cluster = dispy.JobCluster(
            call,
            nodes=addresses,
            host="127.0.0.1",
            pulse_interval=1,
            reentrant=True,
            loglevel=dispy.logger.CRITICAL,
        )

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        return (fn, args, self._cluster.submit(fn.__name__, *args))

    def result(self, handle: Any, timeout_s: float | None = None) -> Any:
        fn, args, job = handle
        for _ in range(_SENT_AGAIN):
            if not job.finish.wait(timeout_s):
                raise TimeoutError
            result = job()
            if job.status == dispy.DispyJob.Finished:
                return result
            if job.status not in (dispy.DispyJob.Terminated, dispy.DispyJob.Cancelled):
                break
            job = self._cluster.submit(fn.__name__, *args)
        raise RuntimeError(f"job is {job.status}: {job.exception}")

    def close(self) -> None:
        self._cluster.close(terminate=True, timeout=1)
        for node in self._nodes:
            node.kill()
            node.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
