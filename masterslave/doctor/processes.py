"""See the slaves of this machine, and how processes are; where ``/proc`` shows them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from masterslave.doctor.facts import SlaveSeen

__all__ = ["is_stopped", "python_of", "see_slaves"]

_PROC = Path("/proc")


def see_slaves(
    folder: str, label_of: Callable[[list[str]], str | None]
) -> tuple[SlaveSeen, ...] | None:
    """Return the processes that are slaves; None where this system does not show them.

    Args:
        folder: This user's private directory.
        label_of: Returns for which farms a slave is that was started with these arguments; None
            for one that belongs to a script.
    """
    if sys.platform != "linux" or not _PROC.is_dir():
        return None
    found = []
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):  # it has ended meanwhile, or is hidden from us
                seen = _see_slave(entry, folder, label_of)
                if seen is not None:
                    found.append(seen)
    return tuple(sorted(found, key=lambda slave: slave.pid))


def is_stopped(pid: int) -> bool:
    """Tell whether a process of this machine is stopped by a signal."""
    with suppress(OSError):
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] in "Tt"
    return False


def python_of(pid: int) -> str:
    """Return the minor version of the Python that a process runs, such as 3.11; empty: not known.

    Its program may be called ``python3``, a link, but the file is named by its version.
    """
    with suppress(OSError):
        match = re.fullmatch(
            r"python(3\.\d+)t?", os.path.basename(os.readlink(_PROC / f"{pid}/exe"))
        )
        return match[1] if match else ""
    return ""


def _see_slave(
    entry: Path, folder: str, label_of: Callable[[list[str]], str | None]
) -> SlaveSeen | None:
    arguments = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    rest = _arguments_of_slave(arguments)
    label = None if rest is None else label_of(rest)
    if label is None:
        return None
    pid, owner = int(entry.name), entry.stat().st_uid
    user, other = "", ""
    if owner != os.getuid():
        user = _name_of(owner)
    else:
        other = _folder_of(entry, folder)
    return SlaveSeen(pid, label, user, other, is_stopped(pid), python_of(pid))


def _arguments_of_slave(arguments: list[str]) -> list[str] | None:
    """Return what follows ``masterslave slave`` in a command line; None where that is not run."""
    for place, argument in enumerate(arguments[:4]):
        is_ours = argument == "masterslave" and arguments[place - 1] == "-m"
        if (is_ours or argument.endswith("/masterslave")) and arguments[place + 1 :][:1] == [
            "slave"
        ]:
            return arguments[place + 2 :]
    return None


def _folder_of(entry: Path, ours: str) -> str:
    """Return where a process of this user looks for farms, if that is elsewhere."""
    for line in (entry / "environ").read_bytes().decode(errors="replace").split("\0"):
        name, _, value = line.partition("=")
        if name == "XDG_RUNTIME_DIR" and os.path.isabs(value):
            there = os.path.join(value, "remoteobj")
            break
    else:
        there = f"/tmp/remoteobj-{os.getuid()}"
    return "" if os.path.realpath(there) == os.path.realpath(ours) else there


def _name_of(uid: int) -> str:
    import pwd  # not on Windows

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
