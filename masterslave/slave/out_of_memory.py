"""What the system tells of memory that has run out, and whom it has killed for it (Linux).

The kernel's log names the process; it is root's to read, and in a container its ids are others.
Else there are counts: of the control group, and of the whole system.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

__all__ = ["Kills", "kills_so_far", "who_killed"]

_LOG_BYTES = 4 * 1024 * 1024
_KILLED = re.compile(r"(?:Memory cgroup out of memory|Out of memory[^:]*): Killed process (\d+) \(")
_MOST = 1 << 60

Read = Callable[[str], str]


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeError):
        return ""


def _log() -> str:
    """Return the kernel's log, as far as it may be read: one record a line."""
    records, size = [], 0
    with contextlib.suppress(OSError):
        log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        try:
            while size < _LOG_BYTES:
                with contextlib.suppress(BrokenPipeError):  # it was overwritten meanwhile
                    record = os.read(log, 8192)
                    size += len(record)
                    records.append(record.split(b"\n", 1)[0])
        finally:
            os.close(log)
    return b"\n".join(records).decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Kills:
    """How many processes the system has killed for want of memory.

    Attributes:
        system: Altogether.
        group: In this process's control group, or below it.
        limit_bytes: Of that group; 0: there is none.
        at: When that was, in seconds of ``time.monotonic()``.
    """

    system: int = 0
    group: int = 0
    limit_bytes: int = 0
    at: float = 0.0


def kills_so_far(read: Read = _read) -> Kills:
    """Return the counts, as they are now; 0 where the system does not tell."""
    system = _count_in(read("/proc/vmstat"), "oom_kill")
    group = limit = 0
    for line in read("/proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
                found = f"{root}/{path.strip('/')}".rstrip("/")
                group = group or _count_in(read(f"{found}/memory.events"), "oom_kill")
                limit = limit or _number(read(f"{found}/memory.max"))
        elif "memory" in controllers.split(","):
            for above in (path, "/"):  # in a container the path may be the host's: its root is ours
                found = f"/sys/fs/cgroup/memory{PurePosixPath(above)}".rstrip("/")
                group = group or _count_in(read(f"{found}/memory.oom_control"), "oom_kill")
                limit = limit or _number(read(f"{found}/memory.limit_in_bytes"))
    return Kills(system, group, limit if limit < _MOST else 0, time.monotonic())


def who_killed(pid: int, before: Kills, now: Kills, read_log: Callable[[], str] = _log) -> str:
    """Return what there is to say of a process that somebody has killed by SIGKILL; empty: there is
    no sign that it was for want of memory.

    Args:
        before: The counts when it was started; *now*: those after its end.
    """
    if now.system <= before.system and now.group <= before.group:
        return ""
    for line in read_log().splitlines():
        head, _, text = line.partition(";")
        match = _KILLED.search(text)
        if match is not None and int(match[1]) == pid and _moment(head) >= before.at - 1.0:
            return f"the kernel says: {text[match.start() :]}"
    if now.group > before.group:
        of = f" of {now.limit_bytes / 2**20:.0f} MiB" if now.limit_bytes else ""
        return f"the limit{of} of its control group was reached, and a process killed for it"
    return "the system has run out of memory, and killed a process for it"


def _moment(head: str) -> float:
    """Return when a record of the kernel's log was made, in seconds since the system started."""
    fields = head.split(",")
    return float(fields[2]) / 1e6 if len(fields) > 2 and fields[2].isdigit() else 0.0


def _count_in(text: str, name: str) -> int:
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return _number(value)
    return 0


def _number(text: str) -> int:
    return int(text) if text.strip().isdigit() else 0
