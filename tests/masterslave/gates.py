"""Gates: where a task, in whatever process, waits until a test lets it go on."""

from __future__ import annotations

import os
import threading
from pathlib import Path

__all__ = ["wait_at"]


def wait_at(gate: str | Path) -> None:
    """Wait until there is something at this path."""
    tick = threading.Event()
    while not os.path.exists(gate):
        tick.wait(0.005)
