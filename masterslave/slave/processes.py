"""Processes that tasks have started: which there are, what memory they take, and their end.

Whatever a task starts is below its child, also when it has a session of its own and its parent has
gone: such *strays* go to the nearest reaper, which on Linux each child is, and its agent when the
child is gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

__all__ = [
    "become_reaper",
    "below",
    "end_strays",
    "ends_soon",
    "memory_of",
    "starting",
    "wait_for",
]

_SET_CHILD_SUBREAPER = 36  # prctl's PR_SET_CHILD_SUBREAPER, of Linux
_LONGEST_S = 1.0
_LOOK_S = 0.001

_lock = threading.Lock()
_ours: set[int] = set()
_is_reaper: list[bool] = []


@contextlib.contextmanager
def starting() -> Iterator[set[int]]:
    """Hold while a process of ours is started; its id goes into what this yields."""
    with _lock:
        yield _ours


def become_reaper() -> None:
    """Have processes whose parents die become children of this one (Linux; elsewhere nothing).

    It is for a process all of whose children were started while ``starting`` was held.
    """
    if sys.platform == "linux":
        import ctypes

        if ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0:
            _is_reaper.append(True)


def end_strays(gone: int) -> None:
    """Kill what has come to this process from a child of it that is gone. Blocks for a moment."""
    with _lock:
        _ours.discard(gone)
        deadline = time.monotonic() + _LONGEST_S
        while _is_reaper and time.monotonic() < deadline:
            strays = [pid for pid in _children_of(os.getpid()) if pid not in _ours]
            if not strays:
                return
            for pid in strays:
                with contextlib.suppress(ProcessLookupError, ChildProcessError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)


def ends_soon(pid: int, seconds: float) -> bool:
    """Wait so long for a child of this process to end, and leave it to be waited for; tells whether
    it did. Where the system has no such call (macOS, Windows: untried), it did.
    """
    if not hasattr(os, "waitid"):
        return True
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(ChildProcessError):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                if time.monotonic() > deadline:
                    return False
                time.sleep(_LOOK_S)
                continue
        return True


def wait_for(process: subprocess.Popen[bytes]) -> tuple[int, int]:
    """Wait for the end of a child of this process; returns its exit code, as ``subprocess`` tells
    it, and how many bytes of memory it had at its peak: no less than this process had when it
    started that one. Where the system does not tell (Windows: untried), 0.
    """
    if not hasattr(os, "wait4") or process.returncode is not None:
        return process.wait(), 0
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    return process.returncode, usage.ru_maxrss * unit


def below(pid: int) -> list[int]:
    """Return a process and all below it (Linux; elsewhere it alone: untried)."""
    found = [pid]
    for each in found:  # which grows meanwhile
        found += [child for child in _children_of(each) if child not in found]
    return found


def memory_of(pids: list[int], limit_bytes: int) -> int:
    """Return how many bytes of memory of their own processes take, those shared by some once.

    Args:
        limit_bytes: Up to this, what is shared may be counted more than once: that is quick.

    Linux; elsewhere 0: untried.
    """
    rough = sum(map(_anonymous_bytes, pids))
    if rough <= limit_bytes or len(pids) == 1:
        return rough
    return min(rough, sum(map(_proportional_bytes, pids)))


def _children_of(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):  # it has ended, or there is no such folder
        for thread in os.listdir(f"/proc/{pid}/task"):
            with (
                contextlib.suppress(OSError),
                open(f"/proc/{pid}/task/{thread}/children", "rb") as file,
            ):
                found += map(int, file.read().split())
    return found


def _anonymous_bytes(pid: int) -> int:
    """Return what a process has in memory that is of no file and shared with nobody but forks."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            _, resident, shared, *_ = map(int, file.read().split())
    except (OSError, ValueError):
        return 0
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")


def _proportional_bytes(pid: int) -> int:
    """Return the same, and of what it shares with forks its part."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss_Anon:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return _anonymous_bytes(pid)
