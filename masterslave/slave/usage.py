"""Who else uses this machine: CPU time of others, and when somebody last typed; by system.

*Linux*: all busy CPU time (``/proc/stat``; what runs niced is not counted, it gives way) less that
of the slave and of its children's sessions; and the last input at any terminal of the machine.
*Windows*: the last input of mouse or keyboard. *macOS*: the load average less the slave's own
slots. The last two are untried.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Meter", "Use", "meter_of_this_machine"]


@dataclass(frozen=True, slots=True)
class Use:
    """What others do.

    Attributes:
        cpus: CPUs that they have kept busy since the last look; None: not known.
        input_age_s: Since somebody has typed, in seconds; None: not known.
    """

    cpus: float | None
    input_age_s: float | None


Meter = Callable[[Collection[int]], Use]
"""Looks. It is told the processes of the slave's children, each the leader of its session."""


def meter_of_this_machine() -> Meter:
    """Return what looks on a system like this one."""
    if sys.platform == "linux":
        return LinuxMeter()
    if sys.platform == "win32":
        return lambda children: Use(None, _input_age_on_windows_s())
    return lambda children: Use(max(0.0, os.getloadavg()[0] - len(children)), None)


class LinuxMeter:
    """Reads ``/proc`` and the times of terminals.

    Args:
        root: Where these are; tests have theirs.
        own_s: Returns the CPU time of this process and of the children that it has buried.
    """

    def __init__(
        self, root: Path = Path("/"), own_s: Callable[[], float] = lambda: sum(os.times()[:4])
    ) -> None:
        self._root, self._own_s = root, own_s
        self._tick_s = 1 / os.sysconf("SC_CLK_TCK")
        self._last: tuple[float, float] | None = None

    def __call__(self, children: Collection[int]) -> Use:
        """Look; *children* are the slave's, each with a session of its own."""
        now, others_s = time.monotonic(), self._others_s(frozenset(children))
        last, self._last = self._last, (now, others_s)
        cpus = None
        if last is not None and now > last[0]:
            cpus = max(0.0, others_s - last[1]) / (now - last[0])
        return Use(cpus, self._input_age_s())

    def _others_s(self, sessions: frozenset[int]) -> float:
        fields = (self._root / "proc/stat").read_text().split("\n", 1)[0].split()
        user, _nice, system, _idle, _wait, irq, softirq = map(int, fields[1:8])
        mine = 0
        for entry in (self._root / "proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):  # it has ended meanwhile
                    mine += _ticks_within(entry, sessions)
        return (user + system + irq + softirq - mine) * self._tick_s - self._own_s()

    def _input_age_s(self) -> float | None:
        """Return when a terminal was last typed at: the kernel notes that as its time of access."""
        latest = 0.0
        for terminal in (
            *(self._root / "dev").glob("tty[0-9]*"),
            *(self._root / "dev/pts").glob("[0-9]*"),
        ):
            with contextlib.suppress(OSError):
                latest = max(latest, terminal.stat().st_atime)
        return max(0.0, time.time() - latest) if latest else None


def _ticks_within(entry: Path, sessions: frozenset[int]) -> int:
    """Return the CPU time of a process and of those that it has buried, if its session is meant."""
    fields = (entry / "stat").read_text().rpartition(")")[2].split()
    if int(fields[3]) not in sessions:
        return 0
    user, system, buried_user, buried_system = map(int, fields[11:15])
    is_niced = int(fields[16]) > 0  # its user time is not among what is counted
    return system + buried_system + (0 if is_niced else user + buried_user)


def _input_age_on_windows_s() -> float | None:
    """Return the time since the last input of mouse or keyboard. Untried."""
    import ctypes

    class _LastInput(ctypes.Structure):
        _fields_ = (("size", ctypes.c_uint), ("ticks", ctypes.c_uint))

    windows = getattr(ctypes, "windll", None)
    last = _LastInput(ctypes.sizeof(_LastInput), 0)
    if windows is None or not windows.user32.GetLastInputInfo(ctypes.byref(last)):
        return None
    ticks: int = windows.kernel32.GetTickCount()
    return float((ticks - last.ticks) & 0xFFFFFFFF) / 1000
