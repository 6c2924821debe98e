"""What faults are done to: processes that are started again, a disk, and clocks."""

from __future__ import annotations

import contextlib
import mmap
import os
import resource
import signal
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.conftest import children_of
from tests.lan.hosts import Running

__all__ = ["Clock", "Disk", "Member", "own_mounts"]

_CLONE_NEWNS = 0x20000
_DISK = "16m"


class Member:
    """A process of the room: a slave with its children, say.

    Args:
        name: As the journal calls it, or "master", "nameserver" and the like.
        begin: Starts it.
    """

    def __init__(self, name: str, begin: Callable[[], Running]) -> None:
        self.name = name
        self.started: list[Running] = []
        self._begin = begin
        self._stopped: list[int] = []
        self.is_wanted = False
        """Whether it is to be up: what ends then has ended by itself."""

    def start(self) -> None:
        """Start it, for the first time or again."""
        self.is_wanted = True
        self.started.append(self._begin())

    @property
    def running(self) -> Running:
        """The latest of its processes."""
        return self.started[-1]

    @property
    def is_up(self) -> bool:
        return bool(self.started) and self.running.process.poll() is None

    @property
    def is_stopped(self) -> bool:
        return bool(self._stopped)

    def children(self) -> list[int]:
        """Return its children, and theirs."""
        return list(_below(self.running.process.pid))

    def kill(self, *, with_children: bool) -> None:
        """End it at once; its children, if they are not, have to notice it."""
        self.is_wanted = False
        children = self.children() if with_children else []
        for pid in (self.running.process.pid, *children):
            _send(pid, signal.SIGKILL)
        self.running.process.wait()
        self.go_on()

    def kill_child(self, pid: int) -> None:
        """End one of its children at once."""
        _send(pid, signal.SIGKILL)

    def stop(self) -> None:
        """Let it stand still, with its children."""
        self._stopped = [self.running.process.pid, *self.children()]
        for pid in self._stopped:
            _send(pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        for pid in self._stopped:
            _send(pid, signal.SIGCONT)
        self._stopped = []

    def tell_stacks(self) -> list[int]:
        """Have it, and its children, write down what their threads do; returns who was asked."""
        asked = [self.running.process.pid, *self.children()]
        for pid in asked:
            _send(pid, signal.SIGUSR2)
        return asked


def _below(pid: int) -> Iterator[int]:
    for child in children_of(pid):
        yield child
        yield from _below(child)


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


class Clock:
    """How wrong a machine's clock of the day is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._shift = mmap.mmap(file.fileno(), 8)

    def set_back(self, by_s: float) -> None:
        """Set it back, by so many seconds more."""
        (before,) = struct.unpack("<d", self._shift[:])
        self._shift[:] = struct.pack("<d", before - by_s)

    def close(self) -> None:
        self._shift.close()


class Disk:
    """Where the journal lies: a small file system of its own where this process may mount one.

    Elsewhere the master's files may not grow any more, which SQLite takes for a disk that failed.
    """

    def __init__(self, path: Path, *, may_mount: bool) -> None:
        self.path = path
        self.is_full = False
        self._filler = path / "filler"
        path.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "none", str(path)]
        self._is_mount = may_mount and subprocess.run(command, check=False).returncode == 0

    def fill(self, master: int) -> None:
        """Leave no room."""
        self.is_full = True
        if not self._is_mount:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(master, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
            return
        with self._filler.open("wb", buffering=0) as file:
            for size in (1 << 16, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)):
                        pass

    def make_room(self, master: int) -> None:
        """Let it have room again."""
        self.is_full = False
        self._filler.unlink(missing_ok=True)
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(master, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)

    def close(self) -> None:
        if self._is_mount:
            subprocess.run(["umount", "--lazy", str(self.path)], check=True)


def own_mounts() -> bool:
    """Have this process see mounts of its own from now on; False where it may not.

    What it mounts is seen by what it starts, and by nobody else, and is gone with them. It must
    have no other thread yet.
    """
    import ctypes

    if os.geteuid() != 0 or ctypes.CDLL(None).unshare(_CLONE_NEWNS) != 0:
        return False
    private = ["mount", "--make-rprivate", "/"]
    return subprocess.run(private, stderr=subprocess.DEVNULL, check=False).returncode == 0
