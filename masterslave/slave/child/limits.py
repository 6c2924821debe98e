"""What a child asks of the system, by system: descriptors out of reach, its end, its memory."""

from __future__ import annotations

import contextlib
import os
import signal
import sys

__all__ = ["become_reaper", "end_with", "lift", "limit_memory"]

_FLOOR = 8192
_SET_SIGNAL = 10  # fcntl.F_SETSIG, of Linux
_SET_CHILD_SUBREAPER = 36  # prctl's PR_SET_CHILD_SUBREAPER, of Linux


def lift(descriptor: int) -> int:
    """Move a descriptor to a high number, and keep it from the processes that tasks start.

    Tasks that close whatever is open, as programs do that go into the background, begin at 3 and
    seldom go so far; and the numbers that they close are given to files of theirs.
    """
    if sys.platform == "win32":
        return descriptor
    import fcntl
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = 2 * _FLOOR if hard == resource.RLIM_INFINITY else min(2 * _FLOOR, hard)
    floor = room // 2
    try:
        if soft < room:  # what is open may stay above the limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (room, hard))
        lifted = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, floor)
    except (OSError, ValueError):
        os.set_inheritable(descriptor, False)
        return descriptor
    finally:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    os.close(descriptor)
    return lifted


def end_with(life: int) -> None:
    """Have the system kill this process's group when the other end of a pipe closes (Linux).

    It does so also while a task holds Python's lock, when no thread of ours could.

    Source: fcntl(2), F_SETSIG and O_ASYNC; a pipe's last writer leaving counts as input.
    """
    if sys.platform != "linux":  # the watchdog alone
        return
    import fcntl

    with contextlib.suppress(OSError):
        fcntl.fcntl(life, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(life, _SET_SIGNAL, signal.SIGKILL)
        flags = fcntl.fcntl(life, fcntl.F_GETFL)
        fcntl.fcntl(life, fcntl.F_SETFL, flags | os.O_ASYNC | os.O_NONBLOCK)
    import select

    poll = select.poll()
    poll.register(life, 0)
    if poll.poll(0):  # the agent died before
        os.killpg(0, signal.SIGKILL)


def limit_memory(memory_bytes: int) -> None:
    """Have the system refuse memory that is far beyond what a task may take.

    The agent looks every now and then; this is for a task that asks for too much at once. It counts
    what is asked for, used or not, so it is twice as much as is allowed.
    """
    if sys.platform != "linux":  # elsewhere it is another count, or none: untried
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = 2 * memory_bytes
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))


def become_reaper() -> None:
    """Have processes of tasks whose parents end become children of this one (Linux)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
