"""Slaves on this machine, as processes that end with the one that started them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

from masterslave.slave.capacity import thread_limits
from masterslave.slave.wires import own_session

__all__ = ["SIGNAL_S", "LocalSlave", "OwnSlave"]

SIGNAL_S = 0.25
"""How long a main thread waits at a time, in seconds. A signal that comes just before a wait begins
is heeded when it ends only, so no wait may be for ever."""

_AGENT = str(Path(__file__).with_name("agent.py"))


class LocalSlave:
    """One slave process.

    It reads its standard input, which is a pipe of ours: when this process ends, however it ends,
    the pipe closes and the slave leaves.

    Args:
        arguments: Of ``masterslave slave``, such as ``["--farm", uri]``.
        threads: How many threads numerical libraries run in its tasks, where the user has not said.
    """

    def __init__(self, arguments: list[str], threads: int = 1) -> None:
        self._start(["-m", "masterslave", "slave", "--until-input-ends", *arguments], threads)

    def _start(self, program: list[str], threads: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *program],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=own_session(),
            env={**os.environ, **thread_limits(threads, os.environ)},
        )

    @property
    def pid(self) -> int:
        """Process id of the slave's agent."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Tell whether it runs."""
        return self._process.poll() is None

    def watch(self, on_end: Callable[[LocalSlave, int], None]) -> None:
        """Call *on_end* with the exit code, in a thread of its own, when the process has ended."""
        Thread(
            target=lambda: on_end(self, self._process.wait()),
            name=f"local slave {self.pid}",
            daemon=True,
        ).start()

    def stop(self) -> None:
        """Tell it to leave; returns at once."""
        with contextlib.suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()

    def wait(self, deadline: float) -> None:
        """Wait until it is gone; it is killed when *deadline* (monotonic) has passed."""
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class OwnSlave(LocalSlave):
    """A slave of one slot that serves one farm; it is up in half the time of any other.

    Args:
        uri: The farm's door.
    """

    def __init__(self, uri: str, threads: int = 1) -> None:
        self._start(["-P", _AGENT, uri], threads)
