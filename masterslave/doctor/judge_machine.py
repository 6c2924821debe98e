"""What is wrong with this machine, for a farm or a slave on it (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from masterslave.doctor.facts import Facts
from nameserver.doctor import judge_machine, mending
from nameserver.doctor.facts import Facts as NetworkFacts
from nameserver.doctor.judge_certificate import certificate
from nameserver.doctor.verdict import Finding, note, ok, wrong

__all__ = ["clock", "directory", "identity", "limits", "versions"]

_MIB = 1024 * 1024
_LEAST_FREE_BYTES = 16 * _MIB
_LITTLE_MEMORY_BYTES = 256 * _MIB
_LEAST_FILES, _FEW_FILES, _MANY_FILES = 128, 1024, 4096
_EARLIEST = datetime(2025, 1, 1, tzinfo=UTC).timestamp()  # nothing of this is older


def versions(facts: Facts) -> Iterator[Finding]:
    """Look at what is installed."""
    return judge_machine.versions(_for_network(facts))


def clock(facts: Facts) -> Iterator[Finding]:
    """Look at the time: certificates are valid for some of it."""
    now = datetime.fromtimestamp(facts.now, UTC)
    if facts.now < _EARLIEST:
        yield wrong(
            "clock",
            f"it is set to {now:%Y-%m-%d}, before this program was made: certificates seem not "
            "valid yet",
            mending.set_clock(_for_network(facts)),
        )
    else:
        yield ok("clock", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def directory(facts: Facts) -> Iterator[Finding]:
    """Look at the directory where farms of this machine are found, and their sockets are."""
    folder = facts.folder
    if folder.problem:
        yield wrong(
            "directory",
            folder.problem,
            "mkdir -p -m 700 ~/.remoteobj && export XDG_RUNTIME_DIR=~/.remoteobj",
        )
        return
    if folder.free_bytes is not None and folder.free_bytes < _LEAST_FREE_BYTES:
        yield wrong(
            "directory",
            f"the disk of {folder.path} is full ({folder.free_bytes // 1024} KiB are left): no "
            "farm can be registered there",
            f"df -h {folder.path}   # and delete what is not needed",
        )
    yield ok("directory", f"{folder.path} is this user's alone, and can be written")
    if folder.left:
        yield ok(
            "directory",
            f"{folder.left} file{'s' * (folder.left != 1)} in it of processes that were killed: "
            "the next farm takes them away",
        )


def limits(facts: Facts) -> Iterator[Finding]:
    """Look at CPUs, memory, and how many files may be open."""
    machine = facts.machine
    if machine.usable_cpus < machine.cpus:
        yield note(
            "limits",
            f"{machine.usable_cpus} of {machine.cpus} CPUs may be used here (affinity, or a limit "
            "of the container): a slave has so many slots",
            f"masterslave slave --slots {machine.cpus}   # for tasks that wait more than compute",
        )
    else:
        yield ok("limits", f"{machine.cpus} CPU{'s' * (machine.cpus != 1)}, all may be used")
    free = machine.free_memory_bytes
    if free is not None and free < _LITTLE_MEMORY_BYTES:
        yield wrong(
            "limits",
            f"{free // _MIB} MiB of memory are free: tasks will be killed",
            "masterslave slave --slots 1   # fewer tasks at once; or end what takes the memory",
        )
    elif free is not None:
        yield ok("limits", f"{free / 1024 / _MIB:.1f} GiB of memory are free")
    files = machine.open_files
    if files is None:
        return
    raised = min(machine.most_open_files or _MANY_FILES, _MANY_FILES)
    mend = f"ulimit -n {raised}" if raised > files else "ask who runs this machine for more files"
    if files < _LEAST_FILES:
        yield wrong("limits", f"{files} files may be open: a farm needs one a slave", mend)
    elif files < _FEW_FILES:
        yield note(
            "limits", f"{files} files may be open: enough for some {files // 4} slaves", mend
        )
    else:
        yield ok("limits", f"{files} files may be open")


def identity(facts: Facts) -> Iterator[Finding]:
    """Look at who this machine is on the network."""
    held = facts.credentials
    if held.problem or held.subject:
        yield certificate(held, facts.system)
    else:
        yield ok(
            "identity",
            "none: farms and slaves of this user on this machine need none; for other machines "
            "pair it: 'nameserver invite' where the name server is, 'nameserver join' here",
        )


def _for_network(facts: Facts) -> NetworkFacts:
    return NetworkFacts(facts.python, facts.packages, facts.now, facts.system)
