"""The stacks of a child, as its ``faulthandler`` writes them into memory that its agent shares."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

from masterslave.slave.child.stacks import ASK

__all__ = ["Stacks", "tidied"]

_MOST_BYTES = 64 * 1024
_ASKED_S = 0.02
"""A process that can be interrupted has written its stacks within this, in seconds."""
_TICK_S = 0.0005

_CHILD = str(Path(__file__).parent / "child")
_HEAD = "(most recent call first):"


class Stacks:
    """What one child writes.

    Attributes:
        descriptor: What the child writes to; -1 where it cannot be handed over.
    """

    def __init__(self) -> None:
        self.descriptor = -1
        if sys.platform == "win32":  # untried
            return
        if hasattr(os, "memfd_create"):
            self.descriptor = os.memfd_create("stacks")
        else:  # macOS
            with tempfile.TemporaryFile() as file:
                self.descriptor = os.dup(file.fileno())
        import fcntl

        flags = fcntl.fcntl(self.descriptor, fcntl.F_GETFL)
        fcntl.fcntl(self.descriptor, fcntl.F_SETFL, flags | os.O_APPEND)

    def ask(self, pid: int) -> None:
        """Have a child that lives write them now, and end. Blocks for a moment."""
        if ASK < 0 or self.descriptor < 0:
            return
        os.ftruncate(self.descriptor, 0)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, ASK)
        end, size = time.monotonic() + _ASKED_S, 0
        while time.monotonic() < end:
            time.sleep(_TICK_S)
            before, size = size, os.fstat(self.descriptor).st_size
            if size and size == before:
                return

    def read(self) -> str:
        """Return what was written, for people."""
        if self.descriptor < 0:
            return ""
        return tidied(os.pread(self.descriptor, _MOST_BYTES, 0).decode(errors="replace"))

    def close(self) -> None:
        """Let go of it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def tidied(text: str) -> str:
    """Return what ``faulthandler`` has written, without what is ours: of each thread the calls of
    the task, the thread that runs it first.
    """
    first: list[str] = []
    others: list[str] = []
    said: list[str] = []
    for block in text.split("\n\n"):
        lines = block.split("\n")
        at = next((at for at, line in enumerate(lines) if line.endswith(_HEAD)), -1)
        if at < 0:
            said += [line for line in lines if line and not line.startswith("Extension modules:")]
            continue
        said += [line for line in lines[:at] if line]
        calls = lines[at + 1 :]
        kept = [line for line in calls if f'File "{_CHILD}' not in line and line]
        if not any(not _is_threading(line) for line in kept):
            continue
        runs_task = any(f'File "{_CHILD}{os.sep}calls.py"' in line for line in calls)
        title = "in the task" if runs_task else "in another thread"
        (first if runs_task else others).append("\n".join([f"{title} {_HEAD}", *kept]))
    return "\n".join([*said, *first, *others])


def _is_threading(line: str) -> bool:
    return f"{os.sep}threading.py" in line
