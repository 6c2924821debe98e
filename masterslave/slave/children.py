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
        self.known_functions: set[bytes] = set()
        self.known_paths: set[tuple[str, ...]] = set()
        self._on_frame = on_frame
        self._on_death = on_death
        self._write_lock = threading.Lock()
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

    def send(self, *frames: msgspec.Struct) -> None:
        """Write frames to the child; one that has died meanwhile is told by ``on_death``."""
        with self._write_lock, contextlib.suppress(BrokenPipeError, ValueError):
            for frame in frames:
                write_frame(cast(BinaryIO, self._process.stdin), frame)

    def kill(self) -> None:
        """End the process at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

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
        code = self._process.wait()
        source.close()
        with self._write_lock, contextlib.suppress(BrokenPipeError):
            cast(BinaryIO, self._process.stdin).close()
        self._on_death(self, describe_exit(code))


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
