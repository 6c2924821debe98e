"""What /proc says of processes, on Linux."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["descendants", "is_alive", "marked", "peak_bytes", "reset_peak", "resident_bytes"]


def _status(pid: int | str, name: str) -> int:
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotImplementedError("memory is read from /proc, which is not here") from None
    return int(next(line for line in text.splitlines() if line.startswith(name)).split()[1]) * 1024


def resident_bytes() -> int:
    """Return the memory that this process holds."""
    return _status("self", "VmRSS")


def peak_bytes() -> int:
    """Return the most that this process has held since :func:`reset_peak`."""
    return _status("self", "VmHWM")


def reset_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        raise NotImplementedError("the peak of the memory cannot be set back here") from None


def _stat(pid: str) -> tuple[str, int] | None:
    """Return the state and the parent of a process."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:  # it has ended meanwhile
        return None
    return words[0], int(words[1])


def _pids() -> list[str]:
    return [entry for entry in os.listdir("/proc") if entry.isdigit()]


def descendants(pid: int) -> set[int]:
    """Return the children of a process, and theirs."""
    parents = {int(each): stat[1] for each in _pids() if (stat := _stat(each))}
    found: set[int] = set()
    fresh = {pid}
    while fresh:
        fresh = {child for child, parent in parents.items() if parent in fresh}
        found |= fresh
    return found


def is_alive(pid: int) -> bool:
    stat = _stat(str(pid))
    return stat is not None and stat[0] != "Z"


def marked(mark: str) -> set[int]:
    """Return the other processes whose environment has the entry *mark*."""
    found = set()
    for pid in _pids():
        try:
            entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:  # it has ended meanwhile, or is somebody else's
            continue
        if mark.encode() in entries and int(pid) != os.getpid():
            found.add(int(pid))
    return found
