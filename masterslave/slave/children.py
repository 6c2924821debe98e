"""Child processes: started, given calls, killed, and their deaths told in words."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import BinaryIO, cast

import msgspec

from masterslave.protocol import KnownFunctions
from masterslave.slave import child as child_program
from masterslave.slave.child import Finished, Ready, read_frame, write_frame

__all__ = ["Child", "describe_exit", "own_session"]


class Child:
    """One process that runs one task at a time.

    Args:
        on_frame: Called with the child and a frame that came from it, in a thread of the child's.
        on_death: Called once, with the child and how it died in words, in the same thread.
    """

    def __init__(
        self,
        on_frame: Callable[[Child, Ready | Finished], None],
        on_death: Callable[[Child, str], None],
    ) -> None:
        self.is_ready = False
        self.is_doomed = False
        """Whether it is being killed, though it may still say something."""
        self.known_functions = KnownFunctions()
        self.known_paths: set[tuple[str, ...]] = set()
        self._on_frame = on_frame
        self._on_death = on_death
        self._write_lock = threading.Lock()
        self._end_lock = threading.Lock()
        self._has_ended = False
        self._process = subprocess.Popen(
            [sys.executable, "-P", child_program.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=own_session(),
        )
        self._reader = threading.Thread(
            target=self._read, name=f"child {self._process.pid}", daemon=True
        )
        self._reader.start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def takes_tasks(self) -> bool:
        """Whether a task that is sent now would be run."""
        return self.is_ready and not self.is_doomed

    def send(self, *frames: msgspec.Struct) -> None:
        """Write frames to the child; one that has died meanwhile is told by ``on_death``."""
        with self._write_lock, contextlib.suppress(OSError, ValueError):
            for frame in frames:
                write_frame(cast(BinaryIO, self._process.stdin), frame)

    def kill(self) -> None:
        """End the process at once, and what its task has started."""
        with self._end_lock:
            if not self._has_ended:
                _kill_group(self._process)

    def wait(self) -> None:
        """Wait until the process is gone and its last words are told."""
        self._reader.join()

    def _read(self) -> None:
        source = cast(BinaryIO, self._process.stdout)
        try:
            while (frame := read_frame(source)) is not None:
                self._on_frame(self, frame)
        except msgspec.DecodeError:
            self.kill()
        with self._end_lock:  # while it is not waited for, its id means nobody else
            _kill_group(self._process)
            code = self._process.wait()
            self._has_ended = True
        source.close()
        with self._write_lock, contextlib.suppress(OSError):
            cast(BinaryIO, self._process.stdin).close()
        self._on_death(self, describe_exit(code))


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a child, and with it what its task has forked or started and left behind."""
    if own_session():
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says so of a zombie
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def own_session() -> bool:
    """Tell whether ``Popen(start_new_session=)`` keeps the terminal's Ctrl-C from a child here.

    On Windows, where it means nothing, a child gets Ctrl-C like everybody in its console.
    """
    return os.name != "nt"


def describe_exit(code: int) -> str:
    """Say how a process ended, from its exit code as ``subprocess`` tells it."""
    if code >= 0:
        return f"its process ended itself with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"its process was killed by {name}"
