"""What the workers run. Small, and imported by nothing that a worker does not need."""

from __future__ import annotations

import os
import time
from typing import Any

__all__ = ["burn", "first_of", "nothing", "rest", "say_who", "trace", "wait_for"]

_PATIENCE_S = 120.0


def nothing(*_: object) -> None:
    """Do nothing: the cost of it is the system's own."""


def burn(ms: float, number: int = 0) -> int:
    """Compute for so many milliseconds of this thread's CPU time."""
    end = time.thread_time() + ms / 1e3
    while time.thread_time() < end:
        pass
    return number


def rest(ms: float) -> None:
    time.sleep(ms / 1e3)


def say_who(ms: float) -> int:
    """Return the process that runs it, which is busy for a moment."""
    burn(ms)
    return os.getpid()


def first_of(array: Any) -> float:
    return float(array[0])


def wait_for(started: str, opened: str) -> None:
    """Make the file *started*, and keep the worker until there is a file *opened*."""
    with open(started, "w", encoding="ascii"):
        pass
    deadline = time.monotonic() + _PATIENCE_S
    while not os.path.exists(opened) and time.monotonic() < deadline:
        time.sleep(0.005)


def trace(ms: float) -> tuple[float, list[int]]:
    """Return when it began, on the machine's clock, and the process that runs it with its parents.

    Burns so many milliseconds.
    """
    began = time.monotonic()
    pids = [os.getpid()]
    while pids[-1] > 1:
        with open(f"/proc/{pids[-1]}/stat", encoding="utf-8") as stat:
            pids.append(int(stat.read().rpartition(")")[2].split()[1]))
    burn(ms)
    return began, pids
