"""Where a child's stacks are written, by C code that needs neither Python's lock nor its memory:
when the process crashes, and when its agent asks for them. That ends it, too: what it is blocked in
would be interrupted, and its task go on.
"""

from __future__ import annotations

import contextlib
import faulthandler
import signal

__all__ = ["ASK", "write_to"]

ASK: int = getattr(signal, "SIGRTMIN", -8) + 7
"""The signal by which an agent asks, and ends it: one of those that nobody else has a meaning for.
Below 0 where the system has none of these (macOS, Windows: untried)."""


def write_to(descriptor: int) -> None:
    """Have the stacks of all threads written there."""
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        faulthandler.enable(descriptor, all_threads=True)
        if ASK > 0:
            faulthandler.register(ASK, descriptor, all_threads=True, chain=True)
